"""Checks before every route: host, key, size and duration of bodies; counts and the access log."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any

from . import openai_chat as chat
from .prometheus import Metrics
from .request_limits import RequestLimits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADER_BYTES = 32 * 2**10

_PROTECTED = "/v1/"
_PAGES = ("/docs", "/redoc", "/page")
_CLOSE_HEADER = {"connection": "close"}
# Status of a request whose client disconnected, as in nginx.
_CLIENT_GONE = 499
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:/@\[\]]+)(:[0-9]*)?")

ACCESS_LOG = logging.getLogger("florence2.access")


@dataclass(frozen=True)
class Admission:
    """Access rules.

    Attributes:
        key: key that requests below ``/v1/`` must have.
        hosts: accepted host names; ``None`` for any.
        prefix: path that a proxy puts before the routes.
    """

    key: str | None = None
    hosts: Collection[str] | None = None
    prefix: str = ""


class _BodyError(Exception):
    """A body that is too large or too slow, or too many bodies; with the status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**_CLOSE_HEADER, **({"retry-after": "1"} if status == 503 else {})}


class AuthLimitMiddleware:
    """An ASGI middleware for authorization and limits.

    Below ``/v1/`` a request needs the key, if there is one, as ``Authorization: Bearer`` or
    ``X-API-Key``. Bodies are read completely, within ``limits``, before the route is called. When
    the client disconnects, its request is canceled.
    """

    def __init__(
        self, app: App, limits: RequestLimits, metrics: Metrics, admission: Admission = Admission()
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._admission = admission
        self._bytes_held = self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._normalize(scope)
        begin, status = time.perf_counter(), 0

        async def send_and_count(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if getattr(scope["app"].state, "draining", False):
                    # The server is stopping: the connection is closed after this response.
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
            await send(message)

        try:
            await self._check_and_run(scope, receive, send_and_count)
            status = status or _CLIENT_GONE
        finally:
            seconds = time.perf_counter() - begin
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.count_request(route, status or 500, seconds)
            if ACCESS_LOG.isEnabledFor(logging.INFO):
                ACCESS_LOG.info("%s", _format_access_line(scope, status or 500, seconds))

    def _normalize(self, scope: Scope) -> Scope:
        """Normalize method and path: HEAD is handled as GET, the proxy's prefix and a trailing
        slash are removed, but for pages with relative links."""
        prefix, path = self._admission.prefix, scope["path"]
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            path, scope = path[len(prefix) :], {**scope, "root_path": ""}
        if not path.startswith(_PAGES):
            path = path.removesuffix("/") or "/"
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return {**scope, "path": path, "method": method}

    async def _check_and_run(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            await _send_error(
                send, path, 431, f"headers have at most {MAX_HEADER_BYTES} bytes", _CLOSE_HEADER
            )
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        rejection = self._check_origin(headers)
        if rejection is not None:
            await _send_error(send, path, *rejection, {})
            return
        is_protected = path.startswith(_PROTECTED)
        if is_protected and not self._is_authorized(headers):
            challenge = {"www-authenticate": "Bearer"}
            await _send_error(send, path, 401, "the key is missing or wrong", challenge)
            return
        body = bytearray()
        self._active += is_protected
        try:
            if is_protected and self._active > self._limits.requests:
                raise _BodyError(503, "too many requests are running")
            await self._read(body, headers, receive)
            await self._run_app(scope, bytes(body), receive, send)
        except _BodyError as error:
            await _send_error(send, path, error.status, str(error), error.headers)
        except ConnectionError:
            return
        finally:
            self._active -= is_protected
            self._bytes_held -= len(body)

    async def _run_app(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application until it is done or the client disconnects."""
        disconnected, finished = asyncio.Event(), False

        async def send_and_note(message: MutableMapping[str, Any]) -> None:
            nonlocal finished
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                finished = True

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            disconnected.set()

        work = asyncio.ensure_future(
            self._app(scope, _replay_body(body, disconnected), send_and_note)
        )
        watcher = asyncio.ensure_future(watch())
        try:
            await asyncio.wait({work, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not finished:
                work.cancel()
                await asyncio.wait({work})
                raise ConnectionError
            await work
        finally:
            watcher.cancel()
            work.cancel()

    def _check_origin(self, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """The status and message for a wrong host, origin or encoding; None if they are right."""
        hosts = self._admission.hosts
        if hosts is not None:
            name = headers.get(b"host", b"").decode("latin-1")
            if _parse_host(name) not in hosts:
                return 400, f"the host {name[:100]!r} is not allowed: start with --allow-host"
            # Browsers send forms of other origins without a preflight request.
            origin = headers.get(b"origin", b"").decode("latin-1")
            if origin and _parse_host(origin.partition("://")[2]) not in hosts:
                return 403, (
                    f"requests from {origin[:100]!r} are not allowed: start with --allow-host"
                )
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b""):
            shown = encoding[:40].decode("latin-1")
            return (
                415,
                f"content encoding {shown!r} is not supported: send the body uncompressed",
            )
        return None

    def _is_authorized(self, headers: dict[bytes, bytes]) -> bool:
        key = self._admission.key
        if key is None:
            return True
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        keys = [
            headers.get(b"x-api-key", b""),
            token.strip() if scheme.lower() == b"bearer" else b"",
        ]
        return any(hmac.compare_digest(each, key.encode()) for each in keys)

    async def _read(self, body: bytearray, headers: dict[bytes, bytes], receive: Receive) -> None:
        """Read the request into ``body`` and count the bytes in memory."""
        limits = self._limits
        too_large = _BodyError(413, f"a request has at most {limits.body} bytes")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > 19 or int(declared) > limits.body):
            raise too_large
        try:
            async with asyncio.timeout(limits.upload_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    part = message.get("body", b"")
                    body += part
                    self._bytes_held += len(part)
                    if len(body) > limits.body:
                        raise too_large
                    if self._bytes_held > limits.bodies:
                        raise _BodyError(503, "too many requests arrive at the same time")
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            raise _BodyError(408, "the request took too long to arrive") from None


def error_body(path: str, status: int, message: str) -> dict[str, Any]:
    """The body of an error; routes of OpenAI's API have its format."""
    if path == chat.PATH or path.startswith("/v1/models"):
        scheme = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(
            status, "invalid_request_error" if status < 500 else "server_error"
        )
        return {"error": {"message": message, "type": scheme, "param": None, "code": status}}
    return {"error": message}


def _parse_host(authority: str) -> str | None:
    """The host of ``host`` or ``host:port`` in lower case; None for other text."""
    found = _HOST.fullmatch(authority.lower())
    return found[1] if found else None


def _replay_body(body: bytes, disconnected: asyncio.Event) -> Receive:
    """A ``receive`` that returns the body that was read, then waits for the disconnect."""
    was_read = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal was_read
        if was_read:
            await disconnected.wait()
            return {"type": "http.disconnect"}
        was_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _format_access_line(scope: Scope, status: int, seconds: float) -> str:
    """One line of the access log; the path is escaped and shortened."""
    client = (scope.get("client") or ("-",))[0]
    path = ascii(scope["path"][:200])[1:-1]
    return f"{client} {scope['method'][:20]} {path} {status} {1000 * seconds:.0f} ms"


async def _send_error(
    send: Send, path: str, status: int, message: str, headers: dict[str, str]
) -> None:
    content = json.dumps(error_body(path, status, message)).encode()
    all_headers = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        **headers,
    }
    pairs = [(name.encode(), value.encode()) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
