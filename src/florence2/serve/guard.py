"""What stands before every route: the key, the size and time of bodies, the count of requests."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .limits import Limits
from .metrics import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Bytes of all headers together.
LONGEST_HEAD = 32 * 2**10

_GUARDED = "/v1/"
_CLOSE = {"connection": "close"}


class _TooMuchError(Exception):
    """A body that is too long or too slow, or one too many, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**_CLOSE, **({"retry-after": "1"} if status == 503 else {})}


class Guard:
    """An ASGI application around another.

    Below ``/v1/`` a request needs ``key``, if there is one, as ``Authorization: Bearer`` or
    ``X-API-Key``. Bodies are read whole, within ``limits``, before a route sees them.
    """

    def __init__(self, app: App, limits: Limits, metrics: Metrics, key: str | None) -> None:
        self._app, self._limits, self._metrics, self._key = app, limits, metrics, key
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

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
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.count_request(route, status, time.perf_counter() - begin)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEAD:
            await _refuse(send, 431, f"headers have at most {LONGEST_HEAD} bytes", _CLOSE)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if scope["path"].startswith(_GUARDED) and not self._may(headers):
            await _refuse(send, 401, "the key is missing or wrong", {"www-authenticate": "Bearer"})
            return
        body = bytearray()
        try:
            await self._read(body, headers, receive)
            await self._app(scope, _again(bytes(body), receive), send)
        except _TooMuchError as error:
            await _refuse(send, error.status, str(error), error.headers)
        except ConnectionError:
            return
        finally:
            self._held -= len(body)

    def _may(self, headers: dict[bytes, bytes]) -> bool:
        if self._key is None:
            return True
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        keys = [headers.get(b"x-api-key", b""), token.strip() if kind.lower() == b"bearer" else b""]
        return any(hmac.compare_digest(each, self._key.encode()) for each in keys)

    async def _read(self, body: bytearray, headers: dict[bytes, bytes], receive: Receive) -> None:
        """Fill ``body`` from the wire, counting what is held."""
        limits = self._limits
        too_long = _TooMuchError(413, f"a request has at most {limits.body} bytes")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limits.body:
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


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, to be read once more; what comes after it is from the wire."""
    given = False

    async def once() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


async def _refuse(send: Send, status: int, message: str, headers: dict[str, str]) -> None:
    content = json.dumps({"error": message}).encode()
    every = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    pairs = [(name.encode(), value.encode()) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": content})
