"""A server from its options: in this process, or as replicas of Ray Serve."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import socket
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ..inference.predictor import Florence2, load
from ..io.fetch import UrlFetcher
from .request_limits import RequestLimits

# Requests at a time beside those whose answers wait: reading, writing.
_SPARE_REQUESTS = 256
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# Files that are open beside connections.
_SPARE_FILES = 128


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
    limits: RequestLimits = field(default_factory=RequestLimits)
    hosts: tuple[str, ...] = ()
    prefix: str = ""
    access_log: bool = False

    def __post_init__(self) -> None:
        if self.prefix and not _PREFIX.fullmatch(self.prefix):
            raise ValueError(
                f"root path must be a path such as /florence2, got {self.prefix!r}: start it with "
                "a slash, and use letters, digits, '-', '_', '.' and '~'"
            )

    @property
    def url(self) -> str:
        """Where the server is found."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.prefix}/"

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
    from .engine_worker import Worker
    from .middleware import ACCESS_LOG

    if options.access_log and not ACCESS_LOG.handlers:
        ACCESS_LOG.setLevel(logging.INFO)
        ACCESS_LOG.addHandler(_access_handler())
        ACCESS_LOG.propagate = False
    model = model or load(options.model, **options.loading)
    worker = Worker(model, options.limits, most=options.most, memory=options.memory)
    fetch = UrlFetcher(options.limits.body) if options.allow_urls else None
    return create_app(
        worker,
        key=options.key,
        fetch=fetch,
        local=options.is_local,
        hosts=options.hosts,
        prefix=options.prefix,
    )


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of a host, so that a port in use is known before any work.

    Raises ``ValueError`` that says what to change.
    """
    found: list[socket.socket] = []
    try:
        addresses = dict.fromkeys(
            (family, address)
            for family, _, _, _, address in socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        )
        for family, address in addresses:
            bound = socket.socket(family, socket.SOCK_STREAM)
            found.append(bound)
            if os.name == "posix":
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _check_free(family, address)
            bound.bind(address)
    except OSError as error:
        for bound in found:
            bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port {port} of {host} is in use: stop what listens there, or take another --port"
            ) from error
        reason = error.strerror or str(error)
        raise ValueError(f"cannot listen at {host}, port {port}: {reason}") from error
    return found


def _check_free(family: int, address: Any) -> None:
    """Raise ``OSError`` where another program listens; nothing listens when this returns."""
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        if os.name == "posix":
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tried.bind(address)
        tried.listen(1)


def serve(
    options: ServerOptions,
    model: Florence2 | None = None,
    sockets: list[socket.socket] | None = None,
) -> None:
    """Serve until a signal; SIGTERM and SIGINT let what was taken finish.

    ``sockets`` are those of ``bind``, which is called where they are not given.
    """
    from .connections import protocol_of
    from .middleware import LONGEST_HEAD
    from .shutdown import draining_server

    sockets = sockets or bind(options.host, options.port)
    # It writes a line for every damaged form.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    limits = _with_room(options.limits)
    options = replace(options, limits=limits)
    draining_server(
        app_of(options, model),
        log_level="error",
        access_log=False,
        ws="none",
        timeout_keep_alive=10,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
        server_header=False,
        http=protocol_of(limits),
        h11_max_incomplete_event_size=LONGEST_HEAD,
    ).run(sockets)


def _with_room(limits: RequestLimits) -> RequestLimits:
    """The limits with as many connections as the queue needs and the system has files for."""
    requests = limits.queue + _SPARE_REQUESTS
    connections = 2 * requests
    try:
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            connections = min(connections, max(16, files - _SPARE_FILES))
    except ImportError:  # not on this system
        pass
    return replace(limits, requests=requests, connections=connections)


def _access_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler


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

    for bound in bind(options.host, options.port):
        bound.close()
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
