"""Libraries that come with an extra, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(name: str, package: str, install: str | None = None) -> Any:
    """The module ``name``; an ``ImportError`` that tells what to install when it is missing.

    ``package`` is what the reader knows it by, ``install`` what brings it, if that is another:
    other packages, or an extra of this one (``florence2[serve]``).
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise missing_library(package, error, install) from error


def missing_library(package: str, error: BaseException, install: str | None = None) -> ImportError:
    """The error for a library that could not be imported, with the command that installs it."""
    return ImportError(
        f"this needs {package}, which could not be imported ({error}); install it with: "
        f"{install_command(install or package)}"
    )


def install_command(what: str) -> str:
    """The command that installs a package, or an extra of this one, from a checkout too."""
    what = what.strip("'\"")
    if not what.startswith("florence2["):
        return f"pip install {what}"
    extra = what.removeprefix("florence2")
    return f"pip install '{what}' (in a checkout: pip install -e '.{extra}')"
