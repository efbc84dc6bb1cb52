"""Old names that keep working for one release: each use warns and names the new one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class")


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that ``old`` is now called ``new``."""
    warnings.warn(
        f"{old} is now {new}; the old name will be removed in the next release",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def renamed_attributes(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module-level ``__getattr__`` that finds attributes by their old names.

    Args:
        module: ``__name__`` of the module.
        names: old name -> new name in this module, or ``package.module.name`` in another.
    """

    def get_attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", names[name])
        home, _, new_name = names[name].rpartition(".")
        return getattr(import_module(home or module), new_name)

    return get_attribute


def rename_keys(
    values: Mapping[str, Any], names: Mapping[str, str], owner: str, stacklevel: int = 3
) -> dict[str, Any]:
    """``values`` with old keys replaced by new ones.

    Args:
        values: keyword arguments or fields of a stored object.
        names: old key -> new key.
        owner: what the keys belong to, for the warning.
        stacklevel: as for ``warnings.warn``; 0 gives no warning, for files that are read.

    Raises:
        TypeError: ``values`` has a key under both names.
    """
    renamed: dict[str, Any] = {}
    for key, value in values.items():
        new = names.get(key, key)
        if new in renamed or (new != key and new in values):
            raise TypeError(f"{owner} got both {key!r} and {new!r}, which is its new name")
        if new != key and stacklevel:
            warn_renamed(f"{owner} {key!r}", repr(new), stacklevel + 1)
        renamed[new] = value
    return renamed


def add_old_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """``values`` with each renamed key under its old name too, for programs that read our files.

    Args:
        values: a JSON object that is written.
        names: old key -> new key, as for ``rename_keys``.
    """
    return {**values, **{old: values[new] for old, new in names.items() if new in values}}


def drop_old_keys(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """``values`` without the keys that ``add_old_keys`` added."""
    return {
        key: value for key, value in values.items() if key not in names or names[key] not in values
    }


def renamed_arguments(**names: str) -> Callable[[_Function], _Function]:
    """A decorator for a function whose keyword arguments were renamed: ``old="new"``."""

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            return function(*arguments, **rename_keys(options, names, f"{function.__qualname__}()"))

        return call  # type: ignore[return-value]

    return decorate


def renamed_fields(**names: str) -> Callable[[type[_Class]], type[_Class]]:
    """A class decorator for a dataclass whose fields were renamed: ``old="new"``.

    The old names still work as keyword arguments, in ``dataclasses.replace`` and as attributes.
    """

    def decorate(cls: type[_Class]) -> type[_Class]:
        initialize: Callable[..., None] = cls.__init__

        @functools.wraps(initialize)
        def renamed_init(self: _Class, *arguments: Any, **options: Any) -> None:
            for old in names.keys() & options.keys():
                # ``replace`` gives the new name too, with the value before.
                options.pop(names[old], None)
            initialize(self, *arguments, **rename_keys(options, names, f"{cls.__name__}()"))

        def get_attribute(self: _Class, name: str) -> Any:
            if name not in names:
                raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
            warn_renamed(f"{cls.__name__}.{name}", names[name])
            return getattr(self, names[name])

        type.__setattr__(cls, "__init__", renamed_init)
        type.__setattr__(cls, "__getattr__", get_attribute)
        return cls

    return decorate
