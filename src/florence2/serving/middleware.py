"""What stands before every route: the host, the key, the size and time of bodies, the counts."""

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

# Bytes of all headers together.
LONGEST_HEAD = 32 * 2**10

_GUARDED = "/v1/"
_PAGES = ("/docs", "/redoc", "/page")
_CLOSE = {"connection": "close"}
# What a request is counted as whose client went away, as other servers count it.
_CLIENT_GONE = 499
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:/@\[\]]+)(:[0-9]*)?")

ACCESS_LOG = logging.getLogger("florence2.access")


@dataclass(frozen=True)
class Admission:
    """Who is let in: ``key`` guards what lies below ``/v1/``, ``hosts`` are the names that the
    server is called by (``None`` for any), ``prefix`` is the path that a proxy puts before all
    others."""

    key: str | None = None
    hosts: Collection[str] | None = None
    prefix: str = ""


class _TooMuchError(Exception):
    """A body that is too long or too slow, or one too many, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**_CLOSE, **({"retry-after": "1"} if status == 503 else {})}


class AuthLimitMiddleware:
    """An ASGI application around another.

    Below ``/v1/`` a request needs the key, if there is one, as ``Authorization: Bearer`` or
    ``X-API-Key``. Bodies are read whole, within ``limits``, before a route sees them. When the
    client goes away, the work for it is cancelled.
    """

    def __init__(
        self, app: App, limits: RequestLimits, metrics: Metrics, admission: Admission = Admission()
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._admission = admission
        self._held = self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._normalize(scope)
        begin, status = time.perf_counter(), 0

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if getattr(scope["app"].state, "draining", False):
                    # The server is stopping: this connection takes no further request.
                    headers = [*message.get("headers", ()), (b"connection", b"close")]
                    message = {**message, "headers": headers}
            await send(message)

        try:
            await self._guarded(scope, receive, counted)
            status = status or _CLIENT_GONE
        finally:
            seconds = time.perf_counter() - begin
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.count_request(route, status or 500, seconds)
            if ACCESS_LOG.isEnabledFor(logging.INFO):
                ACCESS_LOG.info("%s", _access_line(scope, status or 500, seconds))

    def _normalize(self, scope: Scope) -> Scope:
        """The scope with method and path as the routes know them: HEAD is a GET without its body,
        and a slash at the end of a path changes nothing, but for pages with relative links."""
        prefix, path = self._admission.prefix, scope["path"]
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            path, scope = path[len(prefix) :], {**scope, "root_path": ""}
        if not path.startswith(_PAGES):
            path = path.removesuffix("/") or "/"
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return {**scope, "path": path, "method": method}

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEAD:
            await _refuse(send, path, 431, f"headers have at most {LONGEST_HEAD} bytes", _CLOSE)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refused = self._check_origin(headers)
        if refused is not None:
            await _refuse(send, path, *refused, {})
            return
        is_guarded = path.startswith(_GUARDED)
        if is_guarded and not self._may(headers):
            challenge = {"www-authenticate": "Bearer"}
            await _refuse(send, path, 401, "the key is missing or wrong", challenge)
            return
        body = bytearray()
        self._active += is_guarded
        try:
            if is_guarded and self._active > self._limits.requests:
                raise _TooMuchError(503, "too many requests are under way")
            await self._read(body, headers, receive)
            await self._answer(scope, bytes(body), receive, send)
        except _TooMuchError as error:
            await _refuse(send, path, error.status, str(error), error.headers)
        except ConnectionError:
            return
        finally:
            self._active -= is_guarded
            self._held -= len(body)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application until it is done or its client is gone."""
        gone, finished = asyncio.Event(), False

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal finished
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                finished = True

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        work = asyncio.ensure_future(self._app(scope, _again(body, gone), noted))
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
        """The status and message for a host, or a web page of one, that is not served."""
        hosts = self._admission.hosts
        if hosts is not None:
            name = headers.get(b"host", b"").decode("latin-1")
            if _host_of(name) not in hosts:
                return 400, f"the host {name[:100]!r} is not served here: start with --allow-host"
            # A page elsewhere may send forms and plain text here without asking first.
            origin = headers.get(b"origin", b"").decode("latin-1")
            if origin and _host_of(origin.partition("://")[2]) not in hosts:
                return 403, (
                    f"pages of {origin[:100]!r} may not ask this server: start with --allow-host"
                )
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b""):
            shown = encoding[:40].decode("latin-1")
            return 415, f"the content encoding {shown!r} is not supported: send the body as it is"
        return None

    def _may(self, headers: dict[bytes, bytes]) -> bool:
        key = self._admission.key
        if key is None:
            return True
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        keys = [headers.get(b"x-api-key", b""), token.strip() if kind.lower() == b"bearer" else b""]
        return any(hmac.compare_digest(each, key.encode()) for each in keys)

    async def _read(self, body: bytearray, headers: dict[bytes, bytes], receive: Receive) -> None:
        """Fill ``body`` from the wire, counting what is held."""
        limits = self._limits
        too_long = _TooMuchError(413, f"a request has at most {limits.body} bytes")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > 19 or int(declared) > limits.body):
            raise too_long
        try:
            async with asyncio.timeout(limits.upload_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError
                    part = message.get("body", b"")
                    body += part
                    self._held += len(part)
                    if len(body) > limits.body:
                        raise too_long
                    if self._held > limits.bodies:
                        raise _TooMuchError(503, "too many requests arrive at a time")
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            raise _TooMuchError(408, "the request took too long to arrive") from None


def error_body(path: str, status: int, message: str) -> dict[str, Any]:
    """An error as the clients of a route look for it: OpenAI's have an object."""
    if path == chat.PATH or path.startswith("/v1/models"):
        kind = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}.get(
            status, "invalid_request_error" if status < 500 else "server_error"
        )
        return {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return {"error": message}


def _host_of(authority: str) -> str | None:
    """The host of ``host`` or ``host:port`` in lower case; None for anything else."""
    found = _HOST.fullmatch(authority.lower())
    return found[1] if found else None


def _again(body: bytes, gone: asyncio.Event) -> Receive:
    """A body that was read, to be read once more; after it comes the end of the connection."""
    given = False

    async def once() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            await gone.wait()
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _access_line(scope: Scope, status: int, seconds: float) -> str:
    """One line of the access log; what a client wrote is escaped and cut."""
    client = (scope.get("client") or ("-",))[0]
    path = ascii(scope["path"][:200])[1:-1]
    return f"{client} {scope['method'][:20]} {path} {status} {1000 * seconds:.0f} ms"


async def _refuse(
    send: Send, path: str, status: int, message: str, headers: dict[str, str]
) -> None:
    content = json.dumps(error_body(path, status, message)).encode()
    every = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    pairs = [(name.encode(), value.encode()) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
