"""The heavy libraries of the `evaluate` extra, imported when a metric first needs one."""

from __future__ import annotations

from typing import Any

from ...io.extras import optional_import


def load_library(name: str) -> Any:
    """The module `name`; an ImportError that names the extra when it is not installed."""
    package = name.partition(".")[0].replace("_", "-")
    return optional_import(name, package, '"florence2[evaluate]"')
