"""Modules under their names of release 0.1, for one release: they warn and hand over.

``import florence2.shards`` gives a module whose attributes are those of
``florence2.datasets.shards``, classes and functions by their old names too. A module that is not
in the table moved with its package.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .io.deprecation import warn_renamed

_PACKAGE = __package__ or "florence2"


@cache
def read_modules() -> dict[str, str]:
    """Old name -> new name of every module that moved, below the package."""
    from ._old_names import MODULES

    return dict(line.split() for line in MODULES.strip().split("\n"))


@cache
def read_attributes() -> dict[str, list[str]]:
    """Old name -> new names of classes, functions and constants."""
    from ._old_names import ATTRIBUTES

    return {old: new for old, *new in (line.split() for line in ATTRIBUTES.strip().split("\n"))}


class _MovedModule(ModuleType):
    """A module under its old name; its attributes are looked up where it is now."""

    __path__: list[str]
    target: ModuleType

    def __getattr__(self, name: str) -> Any:
        found = (new for new in read_attributes().get(name, ()) if hasattr(self.target, new))
        return getattr(self.target, next(found, name))

    def __dir__(self) -> list[str]:
        return dir(self.target)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """``florence2.train(...)``, after ``import florence2.train`` has put the module there."""
        return self.target.train(*arguments, **options)


class _MovedModules:
    """Finds and loads modules by their old names, after every other finder has failed.

    It has no base of ``importlib.abc``, which would double the time of ``import florence2``.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if find_new_name(fullname) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new_name = find_new_name(spec.name)
        assert new_name is not None
        module = _MovedModule(spec.name)
        # Not the path of the target: modules found on it would be loaded a second time.
        module.__path__ = []
        module.target = import_module(new_name)
        module.__doc__ = module.target.__doc__
        warn_renamed(spec.name, new_name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module at the new place has run."""


def find_new_name(old_name: str) -> str | None:
    """The full name of the module that release 0.1 called ``old_name``; None for another name."""
    inner = old_name.removeprefix(f"{_PACKAGE}.")
    if inner == old_name:
        return None
    modules = read_modules()
    if inner in modules:
        return f"{_PACKAGE}.{modules[inner]}"
    parent, _, leaf = inner.rpartition(".")
    if parent not in modules:
        return None
    new_name = f"{_PACKAGE}.{modules[parent]}.{leaf}"
    return new_name if find_spec(new_name) else None


def install_moved_modules() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
