"""A server over the bundled model, within this process and on loopback."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

import florence2
from florence2.serving import RequestLimits, Worker, create_app

DEMO = (files("florence2") / "nano" / "demo.png").read_bytes()
ENCODED = base64.b64encode(DEMO).decode()
LOCAL = "http://localhost"
FAST = {"beams": 1, "max_new_tokens": 24}


def free_port() -> int:
    """A free port of loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start_server(log: Path, *options: str) -> tuple[str, subprocess.Popen[bytes]]:
    """The URL of ``florence2 serve`` in a separate process, once it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "florence2", "serve", "--port", str(port),
               "--runtime", "torch", *options]  # fmt: skip
    with log.open("wb") as stream:
        server = subprocess.Popen(command, stderr=stream, stdout=stream)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/ready", timeout=2)
            break
        except httpx.HTTPError:
            time.sleep(0.2)
    return address, server


@pytest.fixture(scope="session")
def model() -> florence2.Florence2:
    return florence2.load("nano", runtime="torch", device="cpu")


@pytest.fixture
def worker(model: florence2.Florence2) -> Iterator[Worker]:
    worker = Worker(model, RequestLimits(queue=40, seconds=60))
    yield worker
    worker.close(finish=False, seconds=20)


@pytest.fixture
def client(worker: Worker) -> Iterator[TestClient]:
    with TestClient(create_app(worker), LOCAL, raise_server_exceptions=True) as client:
        yield client


@pytest.fixture
def address(worker: Worker) -> Iterator[str]:
    """The URL of a server on a port of loopback."""
    import uvicorn

    port = free_port()
    settings = uvicorn.Config(create_app(worker), port=port, log_level="error")
    server: Any = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(20)
