"""Malicious requests: costly ones are rejected early and do not affect other clients."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

import florence2
from florence2.processing.processor import Processor
from florence2.serving import RequestLimits, Worker, create_app
from florence2.serving.connections import make_protocol
from florence2.serving.fair_pool import FairPool, JobKey
from florence2.serving.uploaded_file import WHOLE_FILE, is_large_file

from .conftest import DEMO, ENCODED, FAST, LOCAL, free_port
from .test_app import bomb

LONG = "a b " * 10_000
CHAT = "/v1/chat/completions"


def asked(**question: Any) -> dict[str, Any]:
    return {"image": ENCODED, "tasks": [{"task": "grounding", **question}], "options": FAST}


def chat(words: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": words},
             {"type": "image_url", "image_url": f"data:image/png;base64,{ENCODED}"}]  # fmt: skip
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": 3, **more}


def test_long_texts_are_rejected_before_tokenizing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokenized(*_: Any, **__: Any) -> Any:
        raise AssertionError("a long text was tokenized")

    monkeypatch.setattr(Processor, "prompt", tokenized)
    answers = [
        client.post("/v1/run", json=asked(text=LONG)),
        client.post("/v1/run", json=asked(text=["cat"] * 600)),
        client.post("/v1/run", json=asked(task=LONG)),
        client.post("/v1/run", files={"image": DEMO}, data={"task": "grounding", "text": LONG}),
        client.post("/v1/run", data={"image": ENCODED, "task": "grounding", "text": LONG}),
        client.post(CHAT, json=chat(LONG)),
        client.post("/v1/run", content=b'{"image": "A", "tasks": [' + b"0," * 200_000),
    ]
    assert {each.status_code for each in answers} == {413, 422}
    assert all(any(word in each.text for word in ("at most", "maximum")) for each in answers)


def test_nothing_is_tokenized_or_decoded_on_the_event_loop(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    prompt, pixels = Processor.prompt, Processor.pixels

    def prompting(*given: Any, **named: Any) -> Any:
        names.append(threading.current_thread().name)
        return prompt(*given, **named)

    def reading(*given: Any, **named: Any) -> Any:
        names.append(threading.current_thread().name)
        return pixels(*given, **named)

    monkeypatch.setattr(Processor, "prompt", prompting)
    monkeypatch.setattr(Processor, "pixels", reading)
    with TestClient(create_app(worker), LOCAL) as client:
        assert client.post("/v1/run", json=asked(text="a cake")).status_code == 200
        assert client.post(CHAT, json=chat("<CAPTION>")).status_code == 200
    assert names and all(each.startswith("florence2-") for each in names), names


@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
        b'{"messages": [{"role": "\\ud800", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": [{"type": "\\udfff"}]}]}',
        b"[" * 50_000, b'{"a":' * 50_000, b"\xff\xfe{}", b"",
    ],
)  # fmt: skip
def test_invalid_json(client: TestClient, content: bytes) -> None:
    for path in (CHAT, "/v1/run", "/v1/batch"):
        found = client.post(path, content=content)
        assert 400 <= found.status_code < 500 and found.json()["error"]


@pytest.mark.parametrize("charset", ["utf-8", "utf-7", "utf-16-le", "unicode_escape", "rot13"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("text", b"[" * 5000), ("text", b"\\ud800"), ("tasks", b"[" * 5000), ("region", b"nan,1,2,3"),
     ("region", b"1e999,0,1,1"), ("options", b'{"seed": 1' + b"0" * 5000 + b"}"),
     ("\\ud800", b"x")],
)  # fmt: skip
def test_invalid_forms(client: TestClient, charset: str, name: str, value: bytes) -> None:
    head = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    body = head.format("image", '; filename="a"').encode() + DEMO + b"\r\n"
    if name != "tasks":
        body += head.format("task", "").encode() + b"<REGION_TO_OCR>\r\n"
    body += head.format(name, "").encode() + value + b"\r\n--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    found = client.post("/v1/run", content=body, headers={"content-type": kind})
    assert found.status_code == 422 and found.json()["error"]


def test_options_at_their_limits(worker: Worker) -> None:
    odd: list[dict[str, Any]] = [
        {"temperature": 1e-320}, {"temperature": 0.001}, {"temperature": 100},
        {"top_p": 1e-300, "seed": 1}, {"top_p": 5e-324}, {"top_k": 2**31 - 1},
    ]  # fmt: skip

    async def all_at_once() -> list[int]:
        transport = httpx.ASGITransport(create_app(worker))
        async with httpx.AsyncClient(transport=transport, base_url=LOCAL, timeout=60) as web:
            bodies = [asked(text="a cake") | {"options": {"max_new_tokens": 12, **each}}
                      for each in [*odd, *[{"beams": 1}] * 6]]  # fmt: skip
            found = await asyncio.gather(*(web.post("/v1/run", json=each) for each in bodies))
        return [each.status_code for each in found]

    assert asyncio.run(all_at_once()) == [422, *[200] * 11]


def test_threads_alternate_between_clients_and_requests() -> None:
    pool, begun, order = FairPool(1, "test"), threading.Event(), []
    pool.submit(JobKey(), begun.wait)

    def noted(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    futures = [pool.submit(JobKey("a", 1), noted("a1")) for _ in range(3)]
    futures += [pool.submit(JobKey("a", 2), noted("a2")) for _ in range(2)]
    futures += [pool.submit(JobKey("b", 3), noted("b3")) for _ in range(2)]
    dropped = pool.submit(JobKey("b", 3), noted("never"))
    dropped.cancel()
    begun.set()
    for each in futures:
        each.result(10)
    assert order == ["a1", "b3", "a2", "b3", "a1", "a2", "a1"]
    pool.close()
    with pytest.raises(RuntimeError):
        pool.submit(JobKey(), begun.wait)


def test_large_images_have_their_own_thread() -> None:
    assert not is_large_file(DEMO, WHOLE_FILE)
    assert is_large_file(bomb(7_000, 7_000), WHOLE_FILE)
    assert is_large_file(b"%PDF-1.4", WHOLE_FILE)
    assert not is_large_file(b"nothing", WHOLE_FILE)


@pytest.fixture
def timed(model: florence2.Florence2) -> Iterator[tuple[str, int, Worker]]:
    """The URL and port of a server with short timeouts, and its worker."""
    limits = RequestLimits(head_seconds=0.5, upload_seconds=2, connections=20, seconds=60)
    worker, port = Worker(model, limits, max_num_seqs=1), free_port()
    settings = uvicorn.Config(
        create_app(worker), port=port, log_level="error", http=make_protocol(limits)
    )
    server: Any = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}", port, worker
    server.should_exit = True
    thread.join(20)


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(20)
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:
        return True


def test_silent_and_slow_connections_are_closed(timed: tuple[str, int, Worker]) -> None:
    address, port, _ = timed
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    # More than may be open: those who speak are served all the same.
    assert httpx.get(f"{address}/health", timeout=20).status_code == 200
    assert all(map(is_closed, silent))
    with httpx.Client(base_url=address) as kept:
        assert kept.get("/health").status_code == 200
    trickling = socket.create_connection(("127.0.0.1", port))
    trickling.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
    assert is_closed(trickling)
    # The head of a second request is timed as that of the first.
    second = socket.create_connection(("127.0.0.1", port))
    second.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    second.settimeout(20)
    while not second.recv(1000).endswith(b"}"):
        pass
    second.sendall(b"GET /health HT")
    assert is_closed(second)
    assert httpx.get(f"{address}/health").status_code == 200


def idle(worker: Worker) -> bool:
    deadline = time.monotonic() + 30
    while worker.load and time.monotonic() < deadline:
        time.sleep(0.02)
    return worker.load == 0


@pytest.mark.parametrize("kind", ["json", "form", "chat", "stream", "cascade"])
def test_requests_of_disconnected_clients_are_canceled(
    timed: tuple[str, int, Worker], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, port, worker = timed
    finished: list[Any] = []
    step = worker._engine.step

    def slow() -> Any:
        # So slow that nothing would be done before the client is missed.
        time.sleep(0.05)
        done = step()
        finished.extend(done)
        return done

    monkeypatch.setattr(worker._engine, "step", slow)
    long = {"beams": 1, "max_new_tokens": 500}
    task = "detect-then-describe" if kind == "cascade" else "more-detailed-caption"
    path, headers = "/v1/run", {"content-type": "application/json"}
    if kind == "form":
        form = httpx.Request(
            "POST", address, files={"image": DEMO},
            data={"task": [task] * 8, "options": json.dumps(long)},
        )  # fmt: skip
        body, headers = form.read(), dict(form.headers)
    elif kind in ("chat", "stream"):
        path, words = CHAT, "<MORE_DETAILED_CAPTION>"
        body = json.dumps(chat(words, stream=kind == "stream", max_tokens=500)).encode()
    else:
        many = [{"task": task}] * (1 if kind == "cascade" else 8)
        body = json.dumps({"image": ENCODED, "tasks": many, "options": long}).encode()
    connection = socket.create_connection(("127.0.0.1", port))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {headers['content-type']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    deadline = time.monotonic() + 30
    while not worker.load and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker.load
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert idle(worker)
    assert len(finished) < 2
