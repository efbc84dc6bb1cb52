"""The type, the choices and the range of a command's parameter."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

from ..io.messages import describe_choice

# Click's names of types, which older versions of Typer store instead of annotations.
_CLICK_TYPES = {
    "integer": int,
    "integer range": int,
    "float": float,
    "float range": float,
    "path": Path,
}


def choose(*choices: str) -> Callable[[Any], Any]:
    """A callback for ``typer.Option`` that takes only ``choices``, once or several times.

    Raises ``typer.BadParameter`` with the nearest choice for any other value.
    """

    def check(value: Any) -> Any:
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if item is not None and item not in choices:
                raise typer.BadParameter(describe_choice(item, choices))
        return value

    check.choices = choices  # type: ignore[attr-defined]
    return check


def complete(*choices: str) -> Callable[[str], list[str]]:
    """``autocompletion`` of an option with these choices."""

    def find(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return find


def find_choices(parameter: Any) -> tuple[str, ...]:
    """The only values of an option, if it has choices."""
    choices = getattr(parameter.callback, "choices", None)
    if choices is not None:
        return tuple(choices)
    kind = find_value_type(parameter)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(each.value) for each in kind)
    return tuple(getattr(getattr(parameter, "type", None), "choices", ()))


def find_number_type(parameter: Any) -> type | None:
    """``int`` or ``float`` for an option with numbers, else None."""
    kind = find_value_type(parameter)
    return kind if kind in (int, float) else None


def find_range(parameter: Any) -> tuple[float | None, float | None]:
    """The smallest and the largest value of an option with numbers."""
    holder = parameter if hasattr(parameter, "min") else getattr(parameter, "type", None)
    return getattr(holder, "min", None), getattr(holder, "max", None)


def find_value_type(parameter: Any) -> Any:
    """The Python type of one value of ``parameter``."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None:
        return _CLICK_TYPES.get(getattr(parameter.type, "name", ""), str)
    inner = get_args(descriptor.annotation)
    return inner[0] if inner else descriptor.annotation
