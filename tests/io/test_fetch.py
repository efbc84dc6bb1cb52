"""URLs: public hosts only, whatever names and redirects say, within size and time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from florence2.io import fetch
from florence2.io.fetch import FetchError, StatusError, UrlFetcher, is_public_address

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize("number", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses(number: str) -> None:
    assert is_public_address(number)


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "198.18.0.1", "240.0.0.1", "no number", "fec0::1", "::127.0.0.1", "64:ff9b:1::7f00:1",
        "2001:db8::1", "3fff::1", "192.0.0.8", "192.88.99.1", "2001::7f00:1", "4000::1",
    ],
)  # fmt: skip
def test_all_others(number: str) -> None:
    assert not is_public_address(number)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        places = {
            "/moved": "/picture", "/loop": "/loop", "/inside": "http://127.0.0.1/secret",
            "/name": "http://inside.example/secret", "/file": "file:///etc/passwd",
            "/ten": "http://10.0.0.1/",
        }  # fmt: skip
        if self.path in places:
            self.send_response(302)
            self.send_header("Location", places[self.path])
            self.end_headers()
            return
        found = self.path == "/picture" or self.path == "/long"
        body = b"x" * (300_000 if self.path == "/long" else 10)
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(307 if self.path == "/moved" else 429)
        self.send_header("Location", "http://other.example/")
        self.send_header("Retry-After", "7")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[UrlFetcher]:
    """A fetcher to whom ``public.example`` is a server on loopback at a public number."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connect = socket.create_connection

    def create(address: tuple[str, int], timeout: Any = None) -> socket.socket:
        assert address[0] == PUBLIC, f"connected to {address}"
        return connect(("127.0.0.1", server.server_port), timeout)

    monkeypatch.setattr(fetch.socket, "create_connection", create)
    names = {"public.example": [PUBLIC], "inside.example": ["192.168.7.7"],
             "both.example": [PUBLIC, "127.0.0.1"], "127.0.0.1": ["127.0.0.1"],
             "10.0.0.1": ["10.0.0.1"]}  # fmt: skip
    yield UrlFetcher(max_bytes=200_000, seconds=5, lookup=lambda host, port: names.get(host, []))
    server.shutdown()


def test_bodies_and_redirects(web: UrlFetcher) -> None:
    assert web("http://public.example/picture") == b"x" * 10
    assert web("http://public.example/moved") == b"x" * 10


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://public.example/inside", "private address"),
        ("http://public.example/name", "private address"),
        ("http://public.example/ten", "private address"),
        ("http://public.example/file", "only http and https"),
        ("http://public.example/loop", "redirects"),
        ("http://public.example/long", "more than 200000 bytes"),
        ("http://public.example/none", "status 404"),
        ("http://inside.example/", "private address"),
        ("http://both.example/", "private address"),
        ("http://127.0.0.1/", "private address"),
        ("http://unknown.example/", "has no address"),
        ("ftp://public.example/", "only http and https"),
        ("http://user:pass@public.example/", "user name"),
        ("http://public.example:99999/", "cannot be fetched"),
        ("http://[::1/", "cannot be fetched"),
    ],
)
def test_what_is_refused(web: UrlFetcher, address: str, words: str) -> None:
    with pytest.raises(FetchError, match=words):
        web(address)


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f000001", "127.1", "localhost.localdomain"]
)
def test_spellings_of_this_machine_are_looked_up_and_refused(host: str) -> None:
    with pytest.raises(FetchError):
        UrlFetcher(seconds=5)(f"http://{host}:1/")


def test_posts_carry_nothing_to_another_host(web: UrlFetcher) -> None:
    with pytest.raises(FetchError, match=r"redirects to http://other\.example"):
        web.post_json("http://public.example/moved", {}, {"Authorization": "Bearer key"})
    with pytest.raises(StatusError) as caught:
        web.post_json("http://public.example/", {"a": 1})
    assert (caught.value.status, caught.value.retry_after) == (429, "7")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


def trickle(parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield part
        time.sleep(0.05)


SLOW = {
    "nothing": lambda: trickle(b"" for _ in range(100)),
    "status line": lambda: trickle(b"H" for _ in range(100)),
    "head": lambda: trickle([b"HTTP/1.1 200 OK\r\n", *(b"A: b\r\n" for _ in range(90))]),
    "long field": lambda: trickle([HEAD, *(b"a" for _ in range(100))]),
    "continues": lambda: trickle(b"HTTP/1.1 100 Continue\r\n\r\n" for _ in range(100)),
    "body": lambda: trickle([HEAD, b"\r\n", *(b"x" for _ in range(100))]),
    "chunks": lambda: trickle(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *(b"1\r\nx\r\n" for _ in range(100))]
    ),
    "chunk size": lambda: trickle(
        [HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *(b"0" for _ in range(100))]
    ),
}


@pytest.mark.parametrize("kind", sorted(SLOW))
def test_a_trickling_server_meets_the_deadline(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                for part in SLOW[kind]():
                    connection.sendall(part)

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        fetcher = UrlFetcher(seconds=0.3, allowed_hosts=frozenset({f"127.0.0.1:{port}"}))
        start = time.monotonic()
        with pytest.raises(FetchError):
            fetcher(f"http://127.0.0.1:{port}/a.png")
        # The deadline, not the five seconds that the server would take.
        assert time.monotonic() - start < 3


def test_a_body_that_ends_early_is_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(HEAD + b"Content-Length: 10\r\n\r\nxxx")

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        monkeypatch.setenv("FLORENCE2_ALLOWED_HOSTS", f"other.example, 127.0.0.1:{port}")
        with pytest.raises(FetchError, match="early"):
            UrlFetcher(seconds=5)(f"http://127.0.0.1:{port}/a.png")


def test_a_resolver_that_hangs_meets_the_deadline() -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        release.wait(10)
        return [PUBLIC]

    with pytest.raises(FetchError, match="not found in time"):
        UrlFetcher(seconds=0.1, lookup=lookup)("http://public.example/")
    release.set()
