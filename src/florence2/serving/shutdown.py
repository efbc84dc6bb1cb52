"""Stopping without losing a request: first no new connections, then no idle ones, then the end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

# How long open connections may still bring a request that was on its way.
_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class DrainingServer(uvicorn.Server):
    """uvicorn's own end closes idle connections at once, and with them a request on its way.

    Here they stay open for a moment: what comes on them is answered, with ``Connection: close``.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no connection more, wait for the open ones, then go uvicorn's way."""
        for server in self.servers:
            server.close()
        application: Any = self.config.app
        application.state.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + _GRACE_SECONDS
        while self.server_state.connections and loop.time() < until and not self.force_exit:
            await asyncio.sleep(_LOOK_SECONDS)
        await super().shutdown(sockets)


def draining_server(application: Any, **settings: Any) -> DrainingServer:
    """A server of an application; ``settings`` are uvicorn's."""
    return DrainingServer(uvicorn.Config(application, **settings))
