"""The heavy libraries of the `evaluate` extra, imported when a metric first needs one."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load_library(name: str) -> Any:
    """The module `name`; an ImportError that names the extra when it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0].replace("_", "-")
        raise ImportError(
            f"this metric needs {package}, which could not be imported ({error}); "
            'install it with: pip install "florence2[evaluate]"'
        ) from error
