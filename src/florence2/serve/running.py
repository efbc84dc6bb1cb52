"""A server from its options: in this process, or as replicas of Ray Serve."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from typing import Any, cast

from ..io.fetch import UrlFetcher
from ..predictor import Florence2, load
from .limits import Limits

# Connections at a time beside those whose answers wait: reading, writing, idle.
_SPARE_CONNECTIONS = 256


@dataclass(frozen=True)
class ServerOptions:
    """Which model, and how it is served. ``loading`` are the options of ``florence2.load``."""

    model: str = "nano"
    loading: dict[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    allow_urls: bool = False
    most: int = 16
    memory: int | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def app_of(options: ServerOptions, model: Florence2 | None = None) -> Any:
    """The application over a model, which is loaded unless it is given."""
    from .app import create_app
    from .worker import Worker

    model = model or load(options.model, **options.loading)
    worker = Worker(model, options.limits, most=options.most, memory=options.memory)
    fetch = UrlFetcher(options.limits.body) if options.allow_urls else None
    return create_app(worker, key=options.key, fetch=fetch, local=options.is_local)


def serve(options: ServerOptions, model: Florence2 | None = None) -> None:
    """Serve until a signal; SIGTERM and SIGINT let what was taken finish."""
    from .draining import draining_server
    from .guard import LONGEST_HEAD

    limits = options.limits
    draining_server(
        app_of(options, model), host=options.host, port=options.port, log_level="warning",
        limit_concurrency=limits.queue + _SPARE_CONNECTIONS, timeout_keep_alive=10,
        timeout_graceful_shutdown=int(limits.seconds) + 1, server_header=False,
        http="h11", h11_max_incomplete_event_size=LONGEST_HEAD,
    ).run()  # fmt: skip


def serve_replicas(options: ServerOptions, replicas: int, address: str | None) -> None:
    """Serve ``replicas`` copies through Ray Serve, on the cluster at ``address`` or this machine.

    Every copy has its own model and engine; Ray sends requests to the one with the shortest
    queue. Returns when it is interrupted. Raises ``ImportError`` without Ray Serve.
    """
    try:
        import ray
        from ray import serve as ray_serve
    except ImportError as error:
        raise ImportError("replicas need Ray Serve: pip install 'florence2[replicas]'") from error

    ray.init(address=address, ignore_reinit_error=True, logging_level=logging.WARNING)
    ray_serve.start(http_options={"host": options.host, "port": options.port})
    ray_serve.run(deployment_of(options, replicas), name="florence2", blocking=True)


def deployment_of(options: ServerOptions, replicas: int) -> Any:
    """The Ray Serve application of ``replicas`` copies of a server."""
    from ray import serve as ray_serve

    def build() -> Any:
        return app_of(options)

    @ray_serve.deployment(
        num_replicas=replicas,
        max_ongoing_requests=options.limits.queue,
        graceful_shutdown_timeout_s=options.limits.seconds,
    )
    @ray_serve.ingress(build)
    class Replica:
        """One copy: Ray makes the application in the copy's own process."""

    return cast(Any, Replica).bind()
