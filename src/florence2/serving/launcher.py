"""Starts a server from its config: in this process, or as replicas on Ray Serve."""

from __future__ import annotations

import errno
import logging
import os
import socket
from dataclasses import replace
from typing import Any, cast

from ..inference.call_options import LoadOptions
from ..inference.predictor import Florence2, load
from ..io.fetch import UrlFetcher
from .request_limits import RequestLimits
from .serve_config import ServeConfig

# Concurrent requests besides the queued ones: those that are read or written.
_EXTRA_REQUESTS = 256
# Open files besides connections.
_RESERVED_FILES = 128


def build_app(
    config: ServeConfig, model: Florence2 | LoadOptions, limits: RequestLimits | None = None
) -> Any:
    """The ASGI application of a model, which is loaded first if its options are given.

    ``limits`` replace those of ``config``.
    """
    from .app import create_app
    from .engine_worker import Worker
    from .middleware import ACCESS_LOG

    if config.access_log and not ACCESS_LOG.handlers:
        ACCESS_LOG.setLevel(logging.INFO)
        ACCESS_LOG.addHandler(_make_access_handler())
        ACCESS_LOG.propagate = False
    if isinstance(model, LoadOptions):
        model = load(model.model, **model.load_arguments)
    limits = limits or config.limits
    worker = Worker(
        model,
        limits,
        max_num_seqs=config.batch_size,
        memory=int(config.max_kv_memory * 2**30),
    )
    return create_app(
        worker,
        key=config.api_key,
        fetch=UrlFetcher(limits.body) if config.allow_urls else None,
        local=config.is_local,
        hosts=config.allow_host,
        prefix=config.root_path,
    )


def bind_sockets(host: str, port: int) -> list[socket.socket]:
    """Bind sockets to every address of a host, before the model is loaded.

    Raises ``ValueError`` for a port in use or an unknown host.
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
                f"port {port} of {host} is in use: stop the other server, or use another --port"
            ) from error
        reason = error.strerror or str(error)
        raise ValueError(f"cannot listen on {host}, port {port}: {reason}") from error
    return found


def _check_free(family: int, address: Any) -> None:
    """Raise ``OSError`` if another program listens at the address."""
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        if os.name == "posix":
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tried.bind(address)
        tried.listen(1)


def serve(
    config: ServeConfig,
    model: Florence2 | LoadOptions,
    sockets: list[socket.socket] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, after which the accepted requests are completed.

    ``sockets`` are those of ``bind_sockets``, which is called without them.
    """
    from .connections import make_protocol
    from .middleware import MAX_HEADER_BYTES
    from .shutdown import make_draining_server

    sockets = sockets or bind_sockets(config.host, config.port)
    # It logs a line for every damaged form.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    limits = _limit_connections(config.limits)
    make_draining_server(
        build_app(config, model, limits),
        log_level="error",
        access_log=False,
        ws="none",
        timeout_keep_alive=10,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
        server_header=False,
        http=make_protocol(limits),
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    ).run(sockets)


def _limit_connections(limits: RequestLimits) -> RequestLimits:
    """The limits with as many connections as the queue needs and the system has files for."""
    requests = limits.queue + _EXTRA_REQUESTS
    connections = 2 * requests
    try:
        import resource

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files != resource.RLIM_INFINITY:
            connections = min(connections, max(16, files - _RESERVED_FILES))
    except ImportError:  # not on this system
        pass
    return replace(limits, requests=requests, connections=connections)


def _make_access_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    return handler


def serve_replicas(config: ServeConfig, model: LoadOptions) -> None:
    """Serve ``config.replicas`` replicas on Ray Serve, until interrupted.

    Each replica has its own model and engine; Ray sends a request to the one with the shortest
    queue. Raises ``ImportError`` without Ray Serve.
    """
    try:
        import ray
        from ray import serve as ray_serve
    except ImportError as error:
        raise ImportError("replicas need Ray Serve: pip install 'florence2[replicas]'") from error

    for bound in bind_sockets(config.host, config.port):
        bound.close()
    ray.init(address=config.ray_address, ignore_reinit_error=True, logging_level=logging.WARNING)
    ray_serve.start(http_options={"host": config.host, "port": config.port})
    ray_serve.run(build_deployment(config, model), name="florence2", blocking=True)


def build_deployment(config: ServeConfig, model: LoadOptions) -> Any:
    """The Ray Serve application of ``config.replicas`` replicas."""
    from ray import serve as ray_serve

    def build() -> Any:
        return build_app(config, model)

    @ray_serve.deployment(
        num_replicas=config.replicas,
        max_ongoing_requests=config.queue,
        graceful_shutdown_timeout_s=config.timeout,
    )
    @ray_serve.ingress(build)
    class Replica:
        """One replica: Ray makes the application in the replica's own process."""

    return cast(Any, Replica).bind()
