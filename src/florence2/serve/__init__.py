"""The model behind HTTP, a page in the browser, and MCP, over one batching engine."""

from .app import create_app
from .limits import Limits
from .worker import Worker

__all__ = ["Limits", "Worker", "create_app"]
