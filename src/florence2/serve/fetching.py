"""Pictures from addresses that strangers name: public hosts only, within limits.

A name is looked up once; every address it has must be public, and the connection goes to the one
that was checked, so that a name cannot point elsewhere between the check and the use. Redirects
are followed by hand and checked like the first address.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

MAX_REDIRECTS = 4
_REDIRECTS = (301, 302, 303, 307, 308)

# Host and port to the addresses that they have.
Lookup = Callable[[str, int], list[str]]


class FetchError(ValueError):
    """An address that is not fetched; the message says why."""


@dataclass(frozen=True)
class Fetcher:
    """Gets the bodies of http(s) addresses of at most ``most`` bytes within ``seconds``."""

    most: int = 32 * 2**20
    seconds: float = 15.0
    lookup: Lookup | None = None

    def __call__(self, address: str) -> bytes:
        """The body. Raises ``FetchError``."""
        deadline = time.monotonic() + self.seconds
        for _ in range(MAX_REDIRECTS + 1):
            try:
                found = self._get(address, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if isinstance(error, FetchError):
                    raise
                reason = str(error) or type(error).__name__
                raise FetchError(f"{address[:200]} cannot be fetched ({reason})") from error
            if isinstance(found, bytes):
                return found
            address = urljoin(address, found)
        raise FetchError(f"more than {MAX_REDIRECTS} redirects, at last to {address[:200]}")

    def _get(self, address: str, deadline: float) -> bytes | str:
        """The body, or where it has moved."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise FetchError(f"only http and https addresses are fetched, not {address[:200]!r}")
        if parts.username or parts.password:
            raise FetchError("addresses with a user name are not fetched")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        number = self._public(parts.hostname, port)
        connection = _Pinned(parts.hostname, port, number, _left(deadline), parts.scheme == "https")
        try:
            path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            connection.request(
                "GET", path, headers={"User-Agent": "florence2", "Accept": "image/*"}
            )
            response = connection.getresponse()
            if response.status in _REDIRECTS:
                return response.getheader("Location") or ""
            if response.status != 200:
                raise FetchError(f"{address[:200]} answers with status {response.status}")
            return self._body(connection, response, address, deadline)
        finally:
            connection.close()

    def _body(
        self,
        connection: _Pinned,
        response: http.client.HTTPResponse,
        address: str,
        deadline: float,
    ) -> bytes:
        body = bytearray()
        while part := response.read1(2**16):
            body += part
            if len(body) > self.most:
                raise FetchError(f"{address[:200]} has more than {self.most} bytes")
            if connection.sock is not None:
                connection.sock.settimeout(_left(deadline))
        return bytes(body)

    def _public(self, host: str, port: int) -> str:
        """An address of a host all of whose addresses are public."""
        numbers = (self.lookup or _look_up)(host, port)
        if not numbers:
            raise FetchError(f"{host} has no address")
        for number in numbers:
            if not is_public(number):
                raise FetchError(f"{host} is not a public address: only public ones are fetched")
        return numbers[0]


def is_public(number: str) -> bool:
    """Whether an IP address belongs to the public internet; so must one that is wrapped in it."""
    try:
        found = ipaddress.ip_address(number.partition("%")[0])
    except ValueError:
        return False
    if not found.is_global or found.is_multicast or found.is_reserved:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        wrapped = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in _TRANSLATED:
            wrapped.append(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
        return all(each is None or each.is_global for each in wrapped)
    return True


# Addresses that a translator turns into IPv4 (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


class _Pinned(http.client.HTTPConnection):
    """A connection to a host at an address that was chosen before."""

    def __init__(self, host: str, port: int, number: str, seconds: float, secure: bool) -> None:
        super().__init__(host, port, timeout=seconds)
        self._number, self._secure = number, secure

    def connect(self) -> None:
        self.sock = socket.create_connection((self._number, self.port), self.timeout)
        if self._secure:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{host} is not known ({error})") from error
    return [str(each[4][0]) for each in found]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchError("the picture took too long to fetch")
    return left
