"""Pictures from addresses: public hosts only, whatever names and redirects say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from florence2.serve import fetching
from florence2.serve.fetching import Fetcher, FetchError, is_public

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize("number", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses(number: str) -> None:
    assert is_public(number)


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "198.18.0.1", "240.0.0.1", "no number",
    ],
)  # fmt: skip
def test_all_others(number: str) -> None:
    assert not is_public(number)


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

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetcher]:
    """A fetcher to whom ``public.example`` is a server on loopback at a public number."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connect = socket.create_connection

    def create(address: tuple[str, int], timeout: Any = None) -> socket.socket:
        assert address[0] == PUBLIC, f"connected to {address}"
        return connect(("127.0.0.1", server.server_port), timeout)

    monkeypatch.setattr(fetching.socket, "create_connection", create)
    names = {"public.example": [PUBLIC], "inside.example": ["192.168.7.7"],
             "both.example": [PUBLIC, "127.0.0.1"], "127.0.0.1": ["127.0.0.1"],
             "10.0.0.1": ["10.0.0.1"]}  # fmt: skip
    yield Fetcher(most=200_000, seconds=5, lookup=lambda host, port: names.get(host, []))
    server.shutdown()


def test_bodies_and_redirects(web: Fetcher) -> None:
    assert web("http://public.example/picture") == b"x" * 10
    assert web("http://public.example/moved") == b"x" * 10


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://public.example/inside", "not a public address"),
        ("http://public.example/name", "not a public address"),
        ("http://public.example/ten", "not a public address"),
        ("http://public.example/file", "only http and https"),
        ("http://public.example/loop", "redirects"),
        ("http://public.example/long", "more than 200000 bytes"),
        ("http://public.example/none", "status 404"),
        ("http://inside.example/", "not a public address"),
        ("http://both.example/", "not a public address"),
        ("http://127.0.0.1/", "not a public address"),
        ("http://unknown.example/", "has no address"),
        ("ftp://public.example/", "only http and https"),
        ("http://user:pass@public.example/", "user name"),
        ("http://public.example:99999/", "cannot be fetched"),
        ("http://[::1/", "cannot be fetched"),
    ],
)
def test_what_is_refused(web: Fetcher, address: str, words: str) -> None:
    with pytest.raises(FetchError, match=words):
        web(address)


@pytest.mark.parametrize(
    "host", ["localhost", "2130706433", "0x7f000001", "127.1", "localhost.localdomain"]
)
def test_spellings_of_this_machine_are_looked_up_and_refused(host: str) -> None:
    with pytest.raises(FetchError):
        Fetcher(seconds=5)(f"http://{host}:1/")
