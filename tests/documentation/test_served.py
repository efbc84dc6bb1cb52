"""The commands of the pages that serve, and what the pages send to them."""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .extraction import Snippet, read_snippets
from .inputs import SCENE, make_scene
from .test_snippets import check_printed

PORT = "8000"


def find_snippets(kind: str, start: str) -> list[Snippet]:
    """The snippets of README and docs/serving.md that begin so."""
    found = [each for page in ("README.md", "docs/serving.md") for each in read_snippets(page)
             if each.kind == kind and each.text.startswith(start)]  # fmt: skip
    assert found, start
    return found


def start_command(*words: str, **pipes: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "FLORENCE2_RUNTIME": "torch"}
    command = [sys.executable, "-m", "florence2", *words]
    return subprocess.Popen(command, text=True, env=environment, **pipes)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where ``florence2 serve`` listens, as the README calls it but for the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (snippet, *_) = find_snippets("sh", "florence2 serve")
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("w") as stream:
        server = start_command(*snippet.words[1:], "--port", port, stdout=stream, stderr=stream)
    try:
        wait_for(f"http://127.0.0.1:{port}/ready", server, log)
        yield port
    finally:
        server.terminate()
        server.wait(60)
    assert "Traceback" not in log.read_text()


def wait_for(address: str, server: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_boxes(port: str, tmp_path: Path) -> None:
    make_scene(tmp_path / "photo.jpg")
    for snippet in find_snippets("sh", "curl"):
        words = shlex.split(snippet.text.replace(f":{PORT}/", f":{port}/"))
        done = subprocess.run(
            [*words, "--silent"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        (answer,) = json.loads(done.stdout)["answers"]
        assert answer["task"] == "<OD>" and answer["answer"]["bboxes"]
        check_printed(snippet, done.stdout)


def test_the_client_of_openai_gets_a_caption(port: str) -> None:
    pytest.importorskip("openai")
    (snippet,) = find_snippets("python", "client = openai.OpenAI")
    image = base64.b64encode(SCENE.read_bytes()).decode()
    text = snippet.text.replace(f":{PORT}/", f":{port}/").replace("base64,...", f"base64,{image}")
    text = text.replace("client.chat.", "answer = client.chat.")
    names: dict[str, Any] = {"openai": __import__("openai")}
    exec(compile(text, str(snippet.page), "exec"), names)
    assert names["answer"].choices[0].message.content


def test_agents_find_tools(tmp_path: Path) -> None:
    (snippet, *_) = find_snippets("sh", "florence2 mcp")
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-03-26", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"}}}  # fmt: skip
    process = start_command(
        *snippet.words[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(hello) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert "tools" in answer["result"]["capabilities"]
    finally:
        process.stdin.close()
        process.terminate()
        process.wait(60)
