"""Names of a package that are imported at first use, so that importing the package is quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .deprecation import warn_renamed


def import_lazily(
    package: str, homes: Mapping[str, str], renamed: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """A module-level ``__getattr__`` for ``package``.

    Args:
        package: ``__name__`` of the package.
        homes: public name -> module below the package that defines it; one more dot in front
            names a module next to the package.
        renamed: old public name -> new public name; the old one warns.
    """

    def get_attribute(name: str) -> Any:
        if renamed and name in renamed:
            warn_renamed(f"{package}.{name}", f"{package}.{renamed[name]}")
            name = renamed[name]
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{homes[name]}", package), name)

    return get_attribute
