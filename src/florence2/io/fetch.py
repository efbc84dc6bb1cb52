"""The one way by which a URL is fetched: public hosts only, within limits of size and time.

A host name is looked up once. Every address it has must be public, and the connection goes to the
address that was checked, so that the name cannot point elsewhere between the check and the use.
Redirects are followed here, each checked like the first URL, and carry no header of the caller.
One deadline covers everything after the look-up, however slowly a server sends.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import SplitResult, quote, urljoin, urlsplit

MAX_REDIRECTS = 4
MAX_URL_LENGTH = 8192
ALLOWED_HOSTS_VARIABLE = "FLORENCE2_ALLOWED_HOSTS"
_REDIRECTS = (301, 302, 303, 307, 308)
_USER_AGENT = "florence2"
_EXCERPT_BYTES = 500

# Host and port to the IP addresses that they have.
Lookup = Callable[[str, int], list[str]]


class FetchError(ValueError):
    """A URL that was not fetched; the message gives the reason."""


class StatusError(FetchError):
    """The server answered with a status other than 200; ``excerpt`` is the start of its body."""

    def __init__(
        self, message: str, status: int, retry_after: str | None = None, excerpt: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.excerpt = excerpt


@dataclass(frozen=True)
class UrlFetcher:
    """Fetches http(s) URLs.

    Args:
        max_bytes: The largest body that is read.
        seconds: The deadline for one URL, its redirects included.
        allowed_hosts: Hosts (``"name"`` or ``"name:port"``) that may have private addresses. Those
            of the environment variable ``FLORENCE2_ALLOWED_HOSTS`` (separated by commas) are
            added.
        lookup: Gives the addresses of a host; by default the system's resolver.
    """

    max_bytes: int = 32 * 2**20
    seconds: float = 15.0
    allowed_hosts: frozenset[str] = frozenset()
    lookup: Lookup | None = None

    def __call__(self, url: str) -> bytes:
        """Fetch the body at ``url``. Raises ``FetchError``."""
        deadline = time.monotonic() + self.seconds
        for _ in range(MAX_REDIRECTS + 1):
            body, location = self._request("GET", url, deadline, {"Accept": "image/*, */*;q=0.5"})
            if location is None:
                return body
            url = urljoin(url, location)
        raise FetchError(f"more than {MAX_REDIRECTS} redirects, the last to {url[:200]}")

    def post_json(self, url: str, payload: Any, headers: Mapping[str, str] | None = None) -> bytes:
        """Post ``payload`` as JSON and give the body of the answer.

        Redirects are refused, so ``headers`` with a key go to the host of ``url`` only. Raises
        ``StatusError`` for a status other than 200, ``FetchError`` for all else.
        """
        fields = {"Content-Type": "application/json", "Accept": "application/json"}
        fields.update(headers or {})
        deadline = time.monotonic() + self.seconds
        content = json.dumps(payload).encode()
        body, location = self._request("POST", url, deadline, fields, content)
        if location is not None:
            raise FetchError(f"{url[:200]} redirects to {location[:200]}; name that URL instead")
        return body

    def _request(
        self,
        method: str,
        url: str,
        deadline: float,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> tuple[bytes, str | None]:
        """The body, or the location that a redirect names."""
        try:
            parts, port = _split(url)
            address = self._find_address(parts.hostname or "", port, deadline)
            secure = parts.scheme == "https"
            connection = _PinnedConnection(parts.hostname or "", port, address, deadline, secure)
            try:
                fields = {"User-Agent": _USER_AGENT, **headers}
                connection.request(method, _target(parts), body=content, headers=fields)
                return self._read(connection.getresponse(), url)
            finally:
                connection.close()
        except FetchError:
            raise
        except TimeoutError as error:
            raise FetchError(f"{url[:200]} took too long to answer") from error
        # http.client, ssl and the socket below them share no base class.
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise FetchError(f"{url[:200]} cannot be fetched ({reason})") from error

    def _read(self, response: http.client.HTTPResponse, url: str) -> tuple[bytes, str | None]:
        if response.status in _REDIRECTS:
            return b"", response.getheader("Location") or ""
        if response.status != 200:
            raise StatusError(
                f"{url[:200]} answers with status {response.status}",
                response.status,
                response.getheader("Retry-After"),
                response.read(_EXCERPT_BYTES).decode("utf-8", "replace"),
            )
        body = bytearray()
        declared = response.length or 0
        while declared <= self.max_bytes and (part := response.read1(2**16)):
            body += part
            declared = max(declared, len(body))
        if declared > self.max_bytes:
            raise FetchError(f"{url[:200]} has more than {self.max_bytes} bytes")
        if response.length:
            raise FetchError(f"{url[:200]} ended {response.length} bytes early")
        return bytes(body), None

    def _find_address(self, host: str, port: int, deadline: float) -> str:
        """An address of the host; every address of it must be public."""
        addresses = _look_up(self.lookup or _resolve, host, port, deadline)
        if not addresses:
            raise FetchError(f"{host} has no address")
        allowed = self.allowed_hosts | _hosts_of_environment()
        if host.lower() in allowed or f"{host.lower()}:{port}" in allowed:
            return addresses[0]
        if not all(is_public_address(address) for address in addresses):
            raise FetchError(
                f"{host[:200]} has a private address, and only public hosts are fetched from; "
                f"name the host in {ALLOWED_HOSTS_VARIABLE} if you trust it"
            )
        return addresses[0]


def is_public_address(address: str) -> bool:
    """Whether an IP address belongs to the public internet, and so does one wrapped in it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv4Address):
        return _is_public_v4(found)
    if found in _TRANSLATED:
        return _is_public_v4(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF))
    if found.ipv4_mapped is not None:
        return _is_public_v4(found.ipv4_mapped)
    wrapped = [found.sixtofour, *(found.teredo or ())]
    if found not in _GLOBAL_UNICAST or any(found in network for network in _SPECIAL_V6):
        return False
    return found.is_global and all(each is None or _is_public_v4(each) for each in wrapped)


# Addresses that a translator turns into IPv4 (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
# All that IANA has given out for use on the internet (RFC 4291); the rest is local or unused.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Special-purpose networks that older Python versions take for global ones (RFC 6890, RFC 9637).
_SPECIAL_V6 = tuple(map(ipaddress.IPv6Network, ("2001:db8::/32", "3fff::/20", "2001:2::/48")))
_SPECIAL_V4 = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))


def _is_public_v4(found: ipaddress.IPv4Address) -> bool:
    if not found.is_global or found.is_multicast or found.is_reserved:
        return False
    return not any(found in network for network in _SPECIAL_V4)


def _split(url: str) -> tuple[SplitResult, int]:
    if len(url) > MAX_URL_LENGTH:
        raise FetchError(f"a URL of {len(url)} characters; the limit is {MAX_URL_LENGTH}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"only http and https URLs are fetched, not {url[:200]!r}")
    if parts.username is not None or parts.password is not None:
        raise FetchError("URLs with a user name are not fetched")
    port = parts.port
    return parts, (443 if parts.scheme == "https" else 80) if port is None else port


def _target(parts: SplitResult) -> str:
    """The path and query as they are sent: what is not ASCII, and spaces, are escaped."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return f"{path}?{query}" if query else path


def _hosts_of_environment() -> frozenset[str]:
    names = os.environ.get(ALLOWED_HOSTS_VARIABLE, "").split(",")
    return frozenset(name.strip().lower() for name in names if name.strip())


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to a URL that was chosen before, all of it within one deadline."""

    def __init__(self, host: str, port: int, address: str, deadline: float, secure: bool) -> None:
        self.default_port = 443 if secure else 80
        super().__init__(host.encode("idna").decode() if not host.isascii() else host, port)
        self._address, self._deadline, self._secure = address, deadline, secure

    def connect(self) -> None:
        found = socket.create_connection((self._address, self.port), _left(self._deadline))
        try:
            if self._secure:
                context = ssl.create_default_context()
                found.settimeout(_left(self._deadline))
                found = context.wrap_socket(found, server_hostname=self.host)
        except BaseException:
            found.close()
            raise
        self.sock = _DeadlineSocket(found, self._deadline)


class _DeadlineSocket:
    """What ``http.client`` needs of a socket; each wait ends at the deadline."""

    def __init__(self, wrapped: socket.socket, deadline: float) -> None:
        self._wrapped, self._deadline = wrapped, deadline

    def sendall(self, content: bytes) -> None:
        self._wrapped.settimeout(_left(self._deadline))
        self._wrapped.sendall(content)

    def makefile(self, mode: str) -> BinaryIO:
        return io.BufferedReader(_DeadlineReader(self._wrapped, self._deadline))

    def close(self) -> None:
        self._wrapped.close()


class _DeadlineReader(io.RawIOBase):
    """Reads a socket with what is left of the time."""

    def __init__(self, wrapped: socket.socket, deadline: float) -> None:
        self._wrapped, self._deadline = wrapped, deadline
        # Keeps the socket open until this reader is closed too.
        self._raw = wrapped.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wrapped.settimeout(_left(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _look_up(lookup: Lookup, host: str, port: int, deadline: float) -> list[str]:
    """The addresses of a host. A resolver cannot be stopped, so it waits in a thread of its own."""
    outcome: list[list[str] | Exception] = []

    def work() -> None:
        try:
            outcome.append(lookup(host, port))
        except (OSError, ValueError) as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="look-up", daemon=True)
    thread.start()
    thread.join(_left(deadline))
    if not outcome:
        raise FetchError(f"{host[:200]} was not found in time")
    if isinstance(outcome[0], Exception):
        raise FetchError(f"{host[:200]} is not known ({outcome[0]})") from outcome[0]
    return outcome[0]


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchError("the server took too long to answer")
    return left
