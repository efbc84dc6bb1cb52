"""Responses of a caption endpoint: a text or a failure, never an empty caption."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from PIL import Image

from florence2.data_engine.annotators.endpoint import (
    VisionEndpoint,
    check_endpoint,
    read_completion,
)
from florence2.data_engine.chunk_files import is_failure
from florence2.datasets.importers.image_files import record_from_bytes
from florence2.results.records import Record


def completion(message: Any, reason: str | None = "stop") -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": reason}]}).encode()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" A cat. ", "A cat."),
        ([{"type": "text", "text": "A cat"}, {"type": "text", "text": " sits."}], "A cat sits."),
        (["A cat", {"type": "image_url", "image_url": {}}], "A cat"),
        ([{"type": "text", "text": {"value": "A cat"}}], "A cat"),
        ("<think>what is it?\n</think>\nA cat.", "A cat."),
        ("<thinking>what?</thinking>A cat\0.", "A cat."),
        ("None of the cats can't be seen.", "None of the cats can't be seen."),
        ("I 5 cats", "I 5 cats"),
    ],
)
def test_the_text_of_a_completion(content: Any, text: str) -> None:
    assert read_completion(completion({"content": content})) == text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (completion({"content": None}, "length"), "no text .*cut off by max_tokens"),
        (completion({"content": ""}), "no text"),
        (completion({"content": " \n"}), "no text"),
        (completion({"content": "\u200b..."}), "no text"),
        (completion({"content": "None"}), "no text"),
        (completion({"content": '"null".'}), "no text"),
        (completion({"content": "<html><body>502"}), "HTML page"),
        (completion({"content": "I'm sorry, but I can't assist with that."}), "refused: I'm sorry"),
        (completion({"content": "I cannot view images."}), "refused"),
        (completion({"content": []}), "no text"),
        (completion({"content": [{"type": "text", "text": None}]}), "no text"),
        (completion({"content": 7}), "not text: 7"),
        (completion({"content": {"a": 1}}), "not text"),
        (completion({"content": "<think>is it a cat", "finish_reason": "length"}), "no text"),
        (completion({"content": None, "refusal": "I will not"}), "refused: I will not"),
        (completion({"content": [{"type": "refusal", "refusal": "no"}]}), "refused: no"),
        (completion({"content": "a c"}, "content_filter"), "content filter"),
        (completion(None), "no message"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": [null]}', "no choices"),
        (b"{}", "no choices"),
        (b"[]", "not an object"),
        (b'{"error": {"message": "overloaded"}}', "reports an error: .*overloaded"),
        (b"<!doctype html><title>Hello</title>", "not JSON .*doctype.* URL of an API"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
    ],
)
def test_a_completion_without_text_is_an_error(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_completion(body)


class Server(BaseHTTPRequestHandler):
    """A server that sends the given replies in order, and records requests."""

    replies: ClassVar[list[tuple[int, dict[str, str], bytes]]] = []
    bodies: ClassVar[list[Any]] = []
    keys: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        Server.bodies.append(json.loads(content))
        Server.keys.append(self.headers.get("Authorization"))
        status, headers, body = Server.replies.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    started = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=started.serve_forever, daemon=True).start()
    Server.replies, Server.bodies, Server.keys = [], [], []
    yield f"http://127.0.0.1:{started.server_port}"
    started.shutdown()
    started.server_close()


def endpoint(address: str, prompts: int = 1, **options: Any) -> VisionEndpoint:
    asked = dict(list({"<CAPTION>": "a?", "<DETAILED_CAPTION>": "b?"}.items())[:prompts])
    return VisionEndpoint(f"{address}/v1", "m", prompts=asked, pause=0, **options)


def image(kind: str = "PNG", **options: Any) -> Record:
    stream = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(stream, kind, **options)
    return record_from_bytes(stream.getvalue(), "a.jpg")


GOOD = (200, {}, completion({"content": "A cat."}))
EMPTY = (200, {}, completion({"content": None}))


def test_a_prompt_without_text_does_not_affect_others(server: str) -> None:
    Server.replies = [GOOD, EMPTY]
    ((first, second),) = endpoint(server, 2).annotate([image()])
    assert first.answer.plain_text == "A cat." and is_failure(second)
    assert second.decision.reason.startswith("failed: <DETAILED_CAPTION>: http://127.0.0.1")


def test_a_record_without_text_does_not_affect_others_and_is_sent_once(server: str) -> None:
    Server.replies = [GOOD, EMPTY, GOOD]
    given = endpoint(server).annotate([image(), image(), image()])
    assert [is_failure(each[0]) for each in given] == [False, True, False]
    assert len(Server.bodies) == 3


def test_the_key_is_not_sent_to_the_target_of_a_redirect(server: str) -> None:
    Server.replies = [(307, {"Location": f"{server}/elsewhere"}, b""), GOOD]
    with pytest.raises(ConnectionError, match="redirects to"):
        endpoint(server).annotate([image()])
    assert Server.keys == ["Bearer secret"]


def test_temporary_errors_are_retried_after_the_time_in_retry_after(server: str) -> None:
    Server.replies = [(429, {"Retry-After": "0"}, b"slow down"), (503, {}, b""), GOOD]
    ((given,),) = endpoint(server).annotate([image()])
    assert given.answer.plain_text == "A cat."
    Server.replies = [(429, {"Retry-After": "86400"}, b"come back tomorrow")]
    with pytest.raises(ConnectionError, match=r"come back tomorrow.*requests a wait of 86400 s"):
        endpoint(server).annotate([image()])


def test_an_endless_response_ends(server: str) -> None:
    Server.replies = [(200, {"Content-Length": str(10**12)}, b"{")]
    with pytest.raises(ConnectionError, match="more than"):
        endpoint(server).annotate([image()])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
def test_images_are_sent_in_a_supported_media_type(server: str, kind: str) -> None:
    Server.replies = [GOOD]
    record = image(kind)
    endpoint(server).annotate([record])
    head, _, data = Server.bodies[0]["messages"][0]["content"][1]["image_url"]["url"].partition(",")
    sent = base64.b64decode(data)
    with Image.open(io.BytesIO(sent)) as opened:
        assert head == f"data:image/{str(opened.format).lower()};base64"
        assert opened.size == (40, 20)
    assert (sent == record.image) == (kind in ("JPEG", "PNG", "WEBP", "GIF"))


def test_a_rotated_image_is_sent_upright(server: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Server.replies = [GOOD]
    endpoint(server).annotate([image("JPEG", exif=exif)])
    url = Server.bodies[0]["messages"][0]["content"][1]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as opened:
        assert opened.size == (20, 40) and not opened.getexif()


def test_a_private_host_is_reached_only_if_it_is_the_named_one() -> None:
    assert check_endpoint("http://127.0.0.1:8000/v1") == "127.0.0.1:8000"
    assert check_endpoint("https://Host.example/v1") == "host.example:443"
    for wrong in ("host:8000/v1", "ftp://h/v1", "http:///v1", "http://h:x/v1"):
        with pytest.raises(ValueError, match=r"URL"):
            check_endpoint(wrong)
