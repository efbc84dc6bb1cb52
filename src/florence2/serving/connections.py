"""Limits for connections without requests: a timeout for headers, a maximum number.

uvicorn has neither, so that silent connections could use up all connections.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .request_limits import RequestLimits


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with timeouts for the headers of a request and for slow readers.

    Above ``limits.connections`` the oldest connection without a complete request is closed. Set
    ``limits`` in a subclass.
    """

    limits = RequestLimits()
    _header_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer, and close another connection if there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._start_timer()
        if len(self.connections) > self.limits.connections:
            self._close_oldest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read bytes; headers must be complete before the timeout."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_timer()
        elif self._is_idle and self._header_timer is None and not self.transport.is_closing():
            # Headers of the next request of a keep-alive connection.
            self._start_timer()

    def on_response_complete(self) -> None:
        """The connection is idle; uvicorn has a timeout for that."""
        super().on_response_complete()
        self._since = self.loop.time()
        self._stop_timer()

    def pause_writing(self) -> None:
        """The client does not read: start its timer."""
        super_pause: Any = getattr(super(), "pause_writing", None)
        if super_pause is not None:
            super_pause()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self.limits.upload_seconds, self.transport.abort
            )

    def resume_writing(self) -> None:
        """The client reads: stop its timer."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super_resume: Any = getattr(super(), "resume_writing", None)
        if super_resume is not None:
            super_resume()

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being handled."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_arriving(self) -> bool:
        """Whether the request of this connection has not arrived completely."""
        return self._is_idle or self.cycle.more_body

    def _close_oldest(self) -> None:
        waiting = [
            each
            for each in self.connections
            if isinstance(each, TimedProtocol)
            and each is not self
            and each._is_arriving
            and not each.transport.is_closing()
        ]
        if waiting:
            # Connections without any request first.
            oldest = min(waiting, key=lambda each: (each.cycle is not None, each._since))
            oldest.transport.abort()

    def _start_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.head_seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _on_timeout(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.abort()


def make_protocol(limits: RequestLimits) -> type[TimedProtocol]:
    """The protocol class of a server with these limits."""
    return type("LimitedProtocol", (TimedProtocol,), {"limits": limits})
