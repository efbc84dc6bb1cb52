"""The server as a process: its options, and shutdown under load."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from florence2.serving.launcher import bind_sockets
from florence2.serving.serve_config import ServeConfig

from .conftest import DEMO, start_server


def test_only_loopback_counts_as_local() -> None:
    local = ("127.0.0.1", "::1", "localhost")
    for host in (*local, "0.0.0.0", "192.168.1.2", "a.example"):
        assert ServeConfig(host=host).is_local is (host in local)


async def clients(address: str, count: int, server: subprocess.Popen[bytes]) -> list[str]:
    """The outcomes of requests while the server is stopped."""
    outcomes: list[str] = []

    async def one() -> None:
        async with httpx.AsyncClient(timeout=60) as web:
            while True:
                try:
                    answer = await web.post(
                        f"{address}/v1/run",
                        files={"image": DEMO},
                        data={"task": "caption", "options": '{"beams": 1}'},
                    )
                except httpx.ConnectError:
                    return
                except httpx.HTTPError as error:
                    outcomes.append(type(error).__name__)
                    return
                outcomes.append(str(answer.status_code))

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(3)
    server.send_signal(signal.SIGTERM)
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    return outcomes


def test_sigterm_under_load_completes_accepted_requests(tmp_path: Path) -> None:
    address, server = start_server(tmp_path / "log")
    outcomes = asyncio.run(clients(address, 12, server))
    assert set(outcomes) == {"200"} and len(outcomes) >= 12
    server.wait(60)
    assert "Traceback" not in (tmp_path / "log").read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_a_port_in_use_is_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "florence2", "serve", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert f"port {port} of 127.0.0.1 is in use" in line and "--port" in line


def test_an_invalid_host_is_an_error() -> None:
    with pytest.raises(ValueError, match="cannot listen on"):
        bind_sockets("no.such.host.invalid", 8000)
    (bound,) = bind_sockets("127.0.0.1", 0)
    bound.close()


def test_urls_of_servers() -> None:
    assert ServeConfig(host="::1", port=1, root_path="/a").url == "http://[::1]:1/a/"
