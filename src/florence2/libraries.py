"""Libraries that come with an extra, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(name: str, package: str, install: str | None = None) -> Any:
    """The module ``name``; an ``ImportError`` that tells what to install when it is missing.

    ``package`` is what the reader knows it by, ``install`` what brings it, if that is another.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"this needs {package}, which could not be imported ({error}); install it with: "
            f"pip install {install or package}"
        ) from error
