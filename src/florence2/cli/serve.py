"""``florence2 serve`` and ``florence2 mcp``: a model behind HTTP, or behind an agent."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as option
from .errors import user_errors
from .loading import is_default, load_model

if TYPE_CHECKING:
    from ..inference.predictor import Florence2

KEY = "FLORENCE2_API_KEY"
_LOADING_SECONDS = 10.0


def serve(
    context: typer.Context,
    model: option.Model = "nano",
    revision: option.Revision = None,
    adapter: option.Adapter = None,
    device: option.Device = None,
    precision: option.Precision = None,
    runtime: option.Runtime = None,
    host: Annotated[str, typer.Option(help="Host to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(help=f"Key that requests must have. [default: the environment's {KEY}]"),
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Allow images to be fetched from public URLs.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, max=65_536, help="Max number of answers decoded together.")
    ] = 16,
    memory: option.Memory = 4.0,
    queue: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Max number of waiting and running requests.")
    ] = 256,
    max_body: Annotated[
        float, typer.Option(min=0.01, max=100_000, help="Max size of a request in MiB.")
    ] = 32.0,
    max_pixels: Annotated[
        float, typer.Option(min=0.01, max=100_000, help="Max size of an image in megapixels.")
    ] = 50.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=604_800, help="Max seconds for a request.")
    ] = 120.0,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name that a proxy calls this server by. Repeatable."),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path that a proxy puts before the routes.", show_default=False)
    ] = "",
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Write a line for every request.")
    ] = False,
    replicas: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="Replicas of the model; more than one run on Ray Serve."
        ),
    ] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster to serve on. [default: this machine]")
    ] = None,
) -> None:
    """Serve a model over HTTP, with a page for people.

    POST /v1/run, /v1/batch, /v1/chat/completions; GET /health, /ready, /metrics, /docs.
    """
    with user_errors():
        from ..serving.launcher import ServerOptions, bind, serve_replicas
        from ..serving.launcher import serve as serve_here
        from ..serving.request_limits import RequestLimits

        loading = option.given(
            revision=revision, adapter=adapter, device=device, precision=precision, runtime=runtime
        )
        options = ServerOptions(
            model=model,
            loading=loading,
            host=host,
            port=port,
            key=api_key or os.environ.get(KEY) or None,
            allow_urls=allow_urls,
            most=batch_size,
            memory=option.in_bytes(memory),
            limits=RequestLimits(
                body=int(max_body * 2**20),
                pixels=int(max_pixels * 1e6),
                queue=queue,
                seconds=timeout,
            ),
            hosts=tuple(allow_host or ()),
            prefix=root_path.rstrip("/"),
            access_log=access_log,
        )
        if not options.is_local and options.key is None:
            typer.echo(
                f"florence2: {host} can be reached from elsewhere and there is no key: whoever "
                "reaches it is answered; set --api-key",
                err=True,
            )
        if replicas > 1 or ray_address:
            serve_replicas(options, replicas, ray_address)
            return
        # A port in use is told before the model is loaded.
        sockets = bind(host, port)
        loaded = load_model(model, by_default=is_default(context, "model"), **loading)
        typer.echo(f"florence2: {model} at {options.url} (docs at {options.url}docs)", err=True)
        serve_here(options, loaded, sockets)


def mcp(
    context: typer.Context,
    model: option.Model = "nano",
    revision: option.Revision = None,
    adapter: option.Adapter = None,
    device: option.Device = None,
    precision: option.Precision = None,
    runtime: option.Runtime = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Allow images to be fetched from public URLs.")
    ] = False,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder that files are read from. Repeatable. [default: any]"),
    ] = None,
) -> None:
    """Serve a model to agents over standard input and output (Model Context Protocol)."""
    with user_errors():
        from ..serving.mcp_server import create_mcp

        loading = option.given(
            revision=revision, adapter=adapter, device=device, precision=precision, runtime=runtime
        )
        by_default = is_default(context, "model")
        loaded = _in_background(lambda: load_model(model, by_default=by_default, **loading))
        # Unusable arguments are told at once. A model that is converted for the first time takes
        # longer than agents wait for a server: tools wait for it instead.
        with contextlib.suppress(TimeoutError):
            loaded.result(_LOADING_SECONDS)
        server = create_mcp(loaded.result, allow_urls=allow_urls, roots=root or ())
        server.run()


def _in_background(load: Callable[[], Florence2]) -> Future[Florence2]:
    """A future of what ``load`` returns, which a thread of its own runs."""
    future: Future[Florence2] = Future()

    def run() -> None:
        try:
            future.set_result(load())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="florence2-loading", daemon=True).start()
    return future
