"""``florence2 serve`` and ``florence2 mcp``: a model behind HTTP, or for an agent (MCP)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..inference.call_options import LoadOptions
from ..serving.serve_config import KEY_VARIABLE, ServeConfig
from .errors import user_errors
from .loading import is_default, load_model
from .signature import expand_options

if TYPE_CHECKING:
    from ..inference.predictor import Florence2

_LOADING_SECONDS = 10.0


@expand_options
def serve(context: typer.Context, source: LoadOptions, config: ServeConfig) -> None:
    """Serve a model over HTTP, with a web page.

    POST /v1/run, /v1/batch, /v1/chat/completions; GET /health, /ready, /metrics, /docs.
    """
    with user_errors():
        from ..serving.launcher import bind_sockets, serve_replicas
        from ..serving.launcher import serve as serve_here

        config = replace(config, api_key=config.api_key or os.environ.get(KEY_VARIABLE) or None)
        if not config.is_local and config.api_key is None:
            typer.echo(
                f"florence2: {config.host} is reachable from other machines without an API "
                "key: anyone can send requests; set --api-key",
                err=True,
            )
        if config.replicas > 1 or config.ray_address:
            serve_replicas(config, source)
            return
        # A port in use is an error before the model is loaded.
        sockets = bind_sockets(config.host, config.port)
        by_default = is_default(context, "model")
        model = load_model(source.model, by_default=by_default, **source.load_arguments)
        url = config.url
        typer.echo(f"florence2: {source.model} at {url} (docs at {url}docs)", err=True)
        serve_here(config, model, sockets)


@expand_options
def mcp(
    context: typer.Context,
    source: LoadOptions,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Allow images to be fetched from public URLs.")
    ] = False,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Directory that files are read from. Repeatable. [default: any]"),
    ] = None,
) -> None:
    """Serve a model to agents over standard input and output (Model Context Protocol)."""
    with user_errors():
        from ..serving.mcp_server import create_mcp

        by_default = is_default(context, "model")
        model = _run_in_background(
            lambda: load_model(source.model, by_default=by_default, **source.load_arguments)
        )
        # Invalid arguments are reported at once. A model that is converted for the first time
        # takes longer than agents wait for a server, so the tools wait for it.
        with contextlib.suppress(TimeoutError):
            model.result(_LOADING_SECONDS)
        create_mcp(model.result, allow_urls=allow_urls, roots=root or ()).run()


def _run_in_background(load: Callable[[], Florence2]) -> Future[Florence2]:
    """The future of what ``load`` returns in a thread."""
    future: Future[Florence2] = Future()

    def run() -> None:
        try:
            future.set_result(load())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="florence2-loading", daemon=True).start()
    return future
