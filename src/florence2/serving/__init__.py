"""The model behind HTTP, a page in the browser, and MCP, over one batching engine."""

from .app import create_app
from .engine_worker import Worker
from .request_limits import RequestLimits

__all__ = ["RequestLimits", "Worker", "create_app"]
