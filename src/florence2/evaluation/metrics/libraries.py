"""The heavy libraries of the ``evaluate`` extra, imported when a metric needs them."""

from __future__ import annotations

from typing import Any

from ...io.extras import optional_import


def load_library(name: str) -> Any:
    """The module ``name``; ``ImportError`` with the extra to install when it is missing."""
    package = name.partition(".")[0].replace("_", "-")
    return optional_import(name, package, '"florence2[evaluate]"')
