"""Start the server, wait until it is ready, send it an image, and stop it.

    python examples/serve_and_request.py photo.jpg --model microsoft/Florence-2-base-ft

Needs ``pip install 'florence2[serve]'``. The client needs nothing of this package: the request is
JSON with the image in base64, so any language can send it.
"""

import argparse
import base64
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path

DEMO = Path(str(files("florence2") / "nano" / "demo.png"))


def post(url: str, content: dict[str, object]) -> dict[str, object]:
    """Send ``content`` as JSON and return the JSON that comes back."""
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return dict(json.load(response))


def wait_until_ready(url: str, server: "subprocess.Popen[bytes]", seconds: float = 300) -> None:
    """Return when ``url`` answers with status 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ["serve", "--model", arguments.model, "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "florence2", *command])
    try:
        wait_until_ready(url, server)
        # Several tasks in one request share one encoding of the image.
        response = post(
            f"{url}/v1/run",
            {
                "image": base64.b64encode(arguments.image.read_bytes()).decode(),
                "tasks": [{"task": "caption"}, {"task": "object-detection"}],
                "options": {"beams": 1},
            },
        )
        print(json.dumps(response, indent=2))
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    main()
