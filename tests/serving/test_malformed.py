"""Malformed requests: a client error, no failure, no hang, no growth of memory.

By default a few hundred; the slow test sends 5,000 to a server in a process of its own.
"""

from __future__ import annotations

import io
import json
import random
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from starlette.testclient import TestClient

from florence2.serving import Worker, create_app

from .conftest import DEMO, ENCODED, LOCAL, start_server

TASKS = ("caption", "<OD>", "nonsense", "", "\0", "grounding", "<REGION_TO_OCR>", "💥" * 500)


def damaged_picture(rng: random.Random) -> bytes:
    """A real image, cut, with bytes changed, or with a size that it does not have."""
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(
        stream, rng.choice(["PNG", "JPEG", "WEBP", "GIF", "BMP"])
    )
    content = bytearray(rng.choice([stream.getvalue(), DEMO]))
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(content[: rng.randrange(len(content))])
    if kind == 1:
        for _ in range(rng.randrange(1, 60)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        return bytes(content)
    if kind == 2:
        return rng.randbytes(rng.randrange(2000))
    head = struct.pack(">IIBBBBB", rng.choice([1, 60_000, 2**31 - 1]), 60_000, 8, 2, 0, 0, 0)
    body = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def bad_json(rng: random.Random) -> bytes:
    """An almost valid request."""
    values: list[Any] = [None, True, -1, 1e308, "", "x", [], {}, [[]], {"a": 1}, ENCODED, "AAAA"]
    body: dict[str, Any] = {
        "image": rng.choice([*values, ENCODED]),
        "tasks": rng.choice([*values, [{"task": rng.choice(TASKS), "text": rng.choice(values),
                                        "region": rng.choice([*values, [1, 2, 3, 4],
                                                              [9e300, -5, 0, 1]])}]]),
        "options": rng.choice([*values, {"beams": rng.choice(values)}, {"beams": 1},
                               {"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 3}]),
    }  # fmt: skip
    for name in list(body):
        if rng.random() < 0.15:
            del body[name]
    content = json.dumps(body).encode()
    if rng.random() < 0.2:
        return content[: rng.randrange(len(content))]
    return b"[" * 5000 if rng.random() < 0.02 else content


def malformed(seed: int) -> dict[str, Any]:
    """The arguments of a request, different for every seed."""
    rng = random.Random(seed)
    path = rng.choice(["/v1/run", "/v1/run", "/v1/batch", "/v1/chat/completions"])
    kind = rng.randrange(4)
    if kind == 0:
        return {
            "url": "/v1/run",
            "files": {"image": damaged_picture(rng)},
            "data": {"task": rng.choice(TASKS[:3]), "options": '{"beams": 1, "max_new_tokens": 4}'},
        }
    if kind == 1:
        return {"url": path, "content": bad_json(rng),
                "headers": {"content-type": "application/json"}}  # fmt: skip
    if kind == 2:
        boundary = rng.choice(["x", "", "x" * 300])
        parts = (
            f'--x\r\nContent-Disposition: form-data; name="image"; filename="{rng.randrange(9)}"'
        )
        return {
            "url": path,
            "content": parts.encode() + rng.randbytes(rng.randrange(200)),
            "headers": {"content-type": f"multipart/form-data; boundary={boundary}"},
        }
    return {"url": path, "content": rng.randbytes(rng.randrange(500)),
            "headers": {"content-type": rng.choice(["text/plain", "application/json", "", "a/b"]),
                        "x-api-key": "k" * rng.randrange(3000)}}  # fmt: skip


def test_almost_valid_requests(worker: Worker) -> None:
    with TestClient(create_app(worker), LOCAL, raise_server_exceptions=False) as client:
        for seed in range(250):
            answer = client.post(**malformed(seed))
            assert answer.status_code < 500, (seed, answer.text)
        assert worker.load == 0 and client.get("/ready").status_code == 200


def test_requests_that_the_schema_allows(worker: Worker) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(worker, local=False))
    operations = [each.ok() for each in schema.get_all_operations()]
    assert {each.path for each in operations} >= {"/v1/run", "/v1/batch", "/v1/chat/completions"}
    for operation in operations:

        @settings(max_examples=20, deadline=None, database=None, derandomize=True,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            assert case.call().status_code < 500

        send()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    address, server = start_server(tmp_path / "log", "--max-body", "1")
    yield address, server
    server.terminate()
    assert server.wait(60) in (0, -15, 143)
    assert "Traceback" not in (tmp_path / "log").read_text()


def resident(server: subprocess.Popen[bytes]) -> float:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return int(next(each for each in lines if each.startswith("VmRSS")).split()[1]) / 1024


def talk(address: str, sent: bytes, seconds: float) -> bytes:
    """The response of a server to raw bytes, until it closes or a timeout."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.settimeout(seconds)
        found = b""
        try:
            connection.sendall(sent)
            while part := connection.recv(65536):
                found += part
        except (TimeoutError, ConnectionError):
            pass
        return found


@pytest.mark.slow
def test_5000_malformed_slow_and_large_requests(
    process: tuple[str, subprocess.Popen[bytes]],
) -> None:
    address, server = process
    with httpx.Client(base_url=address, timeout=60) as client:
        for seed in range(1000, 1500):
            client.post(**malformed(seed))
        before = resident(server)
        for seed in range(5000):
            answer = client.post(**malformed(seed))
            assert answer.status_code < 500, (seed, answer.text)
        grown = resident(server) - before
        assert grown < 60, f"{grown:.0f} MiB more after 5,000 requests"
        huge = client.get("/health", headers={"x-long": "y" * 100_000})
        assert huge.status_code in (400, 431)
        assert client.post("/v1/run", content=b"x" * 2**21).status_code == 413
    # A body that never comes is given up, while others are served.
    head = b"POST /v1/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"
    begin = time.monotonic()
    slow = talk(address, head, 45)
    assert b" 408 " in slow.splitlines()[0] and time.monotonic() - begin < 40
    assert httpx.get(f"{address}/ready").status_code == 200
    assert b" 400 " in talk(address, b"NONSENSE\r\n\r\n", 5).splitlines()[0]
