"""The model behind HTTP, a page in the browser, and MCP, over one batching engine."""

from .app import create_app
from .engine_worker import Worker
from .request_limits import Limits

__all__ = ["Limits", "Worker", "create_app"]
