"""Serves the model over HTTP, a web page and MCP, with one batching engine."""

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .app import create_app
    from .engine_worker import Worker
    from .request_limits import RequestLimits

__all__ = ["RequestLimits", "Worker", "create_app"]

__getattr__ = import_lazily(
    __name__,
    {"RequestLimits": "request_limits", "Worker": "engine_worker", "create_app": "app"},
)
