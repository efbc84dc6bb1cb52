"""Graceful shutdown: no new connections, then no idle ones, then the end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

# How long open connections may still deliver a request.
_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05


class DrainingServer(uvicorn.Server):
    """uvicorn closes idle connections at once, and so loses requests that are in flight.

    Here they stay open for a short time; requests get a response with ``Connection: close``.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, wait for the open ones, then shut down as uvicorn."""
        for server in self.servers:
            server.close()
        application: Any = self.config.app
        application.state.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + _GRACE_SECONDS
        while self.server_state.connections and loop.time() < until and not self.force_exit:
            await asyncio.sleep(_POLL_SECONDS)
        await super().shutdown(sockets)


def make_draining_server(application: Any, **settings: Any) -> DrainingServer:
    """A server for an application; ``settings`` are uvicorn's."""
    return DrainingServer(uvicorn.Config(application, **settings))
