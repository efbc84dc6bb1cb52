"""Connections that do not speak: a time limit for heads, and an end to the oldest of too many.

uvicorn limits neither: connections on which no request arrives would fill the server.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .request_limits import RequestLimits


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a time limit for the head of every request and for slow readers.

    Past ``limits.connections`` the oldest connection on which a request is still to arrive is
    closed, so that those who do speak are always served. Set ``limits`` in a subclass.
    """

    limits = RequestLimits()
    _arrival: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, and make room where there is none."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._start_clock()
        if len(self.connections) > self.limits.connections:
            self._close_oldest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_clock()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; a head that has begun is timed until it is whole."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_clock()
        elif self._is_idle and self._arrival is None and not self.transport.is_closing():
            # The next head of a connection that is kept open.
            self._start_clock()

    def on_response_complete(self) -> None:
        """The connection is idle again; uvicorn times how long."""
        super().on_response_complete()
        self._since = self.loop.time()
        self._stop_clock()

    def pause_writing(self) -> None:
        """The client does not read: give it some time."""
        super_pause: Any = getattr(super(), "pause_writing", None)
        if super_pause is not None:
            super_pause()
        if self._stuck is None:
            self._stuck = self.loop.call_later(self.limits.upload_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super_resume: Any = getattr(super(), "resume_writing", None)
        if super_resume is not None:
            super_resume()

    @property
    def _is_idle(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _is_arriving(self) -> bool:
        """Whether nobody works for this connection: its request is still to come, or to end."""
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
            # Those that never asked for anything go first.
            oldest = min(waiting, key=lambda each: (each.cycle is not None, each._since))
            oldest.transport.abort()

    def _start_clock(self) -> None:
        self._arrival = self.loop.call_later(self.limits.head_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _too_slow(self) -> None:
        self._arrival = None
        if not self.transport.is_closing():
            self.transport.abort()


def protocol_of(limits: RequestLimits) -> type[TimedProtocol]:
    """The protocol of a server with these limits."""
    return type("LimitedProtocol", (TimedProtocol,), {"limits": limits})
