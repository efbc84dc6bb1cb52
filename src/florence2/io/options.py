"""Options of config dataclasses, described once for Python, the command line and HTTP.

A field made with ``option(...)`` carries its help text, its range and its choices.
``cli/signature.py`` turns such fields into command-line options.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import get_annotations
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .messages import describe_choice, describe_number

_KEY = "florence2.option"
# Keywords of ``option`` that few fields need.
_DEFAULTS: dict[str, Any] = {
    "old_flags": (),
    "completion": (),
    "shown_default": None,
    "argument": False,
    "parse": None,
}


@dataclass(frozen=True)
class Option:
    """The description of a field besides its name, type and default; see ``option``."""

    help: str
    flags: tuple[str, ...]
    old_flags: tuple[str, ...]
    metavar: str | None
    min: float | None
    max: float | None
    choices: tuple[str, ...]
    completion: tuple[str, ...]
    shown_default: str | None
    argument: bool
    parse: Callable[[str], Any] | None


def option(
    default: Any,
    *,
    help: str,
    flags: Sequence[str] = (),
    metavar: str | None = None,
    min: float | None = None,
    max: float | None = None,
    choices: Sequence[str] = (),
    **more: Any,
) -> Any:
    """A dataclass field with a description; use it as the default of the field.

    Example: ``beams: int | None = option(None, min=1, max=100, help="Number of beams.")``

    Args:
        default: value of the field; ``...`` for a field that is required.
        help: one sentence.
        flags: all spellings on the command line, such as ``("--task", "-t")`` or
            ``("--clip/--no-clip",)``. Without any it is the name of the field, for a bool that is
            true by default with its negation.
        metavar: name of the value in the help.
        min: smallest number, inclusive.
        max: greatest number, inclusive.
        choices: the only values. A field of a ``Literal`` type needs none.
        more: ``old_flags``, spellings of the release before, which work with a warning;
            ``completion``, words that the shell offers where others are allowed too;
            ``shown_default``, the default in words, ``""`` for none; ``argument=True`` for a
            positional argument; ``parse``, which makes a value of the text on the command line,
            for types that Typer does not support.

    Raises:
        TypeError: a keyword is not known.
    """
    unknown = more.keys() - _DEFAULTS.keys()
    if unknown:
        raise TypeError(f"option() got an unknown keyword {sorted(unknown)[0]!r}")
    more = {**_DEFAULTS, **more}
    described = Option(
        help=help,
        flags=tuple(flags),
        old_flags=tuple(more["old_flags"]),
        metavar=metavar,
        min=min,
        max=max,
        choices=tuple(choices),
        completion=tuple(more["completion"]),
        shown_default=more["shown_default"],
        argument=more["argument"],
        parse=more["parse"],
    )
    if default is ...:
        return dataclasses.field(metadata={_KEY: described})
    return dataclasses.field(default=default, metadata={_KEY: described})


@dataclass(frozen=True)
class OptionField:
    """One field of a dataclass with its type and description."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def is_required(self) -> bool:
        """Whether the field has no default."""
        return self.default is dataclasses.MISSING

    @property
    def is_repeated(self) -> bool:
        """Whether the field is a tuple of any number of values."""
        if self.option.parse is not None:
            return isinstance(self.default, tuple)
        return get_origin(self.type) is tuple and get_args(self.type)[-1:] == (...,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values, where there are few."""
        return self.option.choices or tuple(_literals(self.type))


def option_fields(config: Any) -> list[OptionField]:
    """The fields of a dataclass or an instance that were made with ``option``, in their order.

    The names in their annotations must be available at run time, except those of fields with
    ``parse``, whose type is ``str`` on the command line.
    """
    cls = config if isinstance(config, type) else type(config)
    return [
        OptionField(each.name, _field_type(cls, each), each.default, each.metadata[_KEY])
        for each in dataclasses.fields(cls)
        if _KEY in each.metadata
    ]


def has_options(value: Any) -> bool:
    """Whether ``value`` is a dataclass with a field made with ``option``."""
    return (
        isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and any(_KEY in each.metadata for each in dataclasses.fields(value))
    )


def check_options(config: Any) -> None:
    """Raise ``ValueError`` for a field outside its range or choices.

    Call it in ``__post_init__``. ``None`` and non-numbers are not compared with a range.
    """
    for each in option_fields(config):
        value = getattr(config, each.name)
        for item in value if each.is_repeated else (value,):
            if item is not None:
                _check_value(each, item)


def _field_type(cls: type, field: dataclasses.Field[Any]) -> Any:
    if field.metadata[_KEY].parse is not None:
        return str if field.default is dataclasses.MISSING else str | None
    if not isinstance(field.type, str):
        return field.type
    owner = next(each for each in cls.__mro__ if field.name in get_annotations(each))
    # A name that is not in the class's module is an error of the class, and raises NameError.
    return get_type_hints(
        SimpleNamespace(__annotations__={field.name: field.type}),
        globalns=vars(sys.modules[owner.__module__]),
    )[field.name]


def _check_value(field: OptionField, value: Any) -> None:
    if field.choices and value not in field.choices:
        raise ValueError(f"{field.name}: {describe_choice(str(value), field.choices)}")
    low, high = field.option.min, field.option.max
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    is_inside = (low is None or value >= low) and (high is None or value <= high)
    if not is_inside or not math.isfinite(value):
        wanted = describe_number(type(value), low, high)
        raise ValueError(f"{field.name} must be {wanted}, got {value!r}")


def _literals(kind: Any) -> Iterator[str]:
    """The values of a ``Literal`` inside ``kind``."""
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
        return
    for inner in get_args(kind):
        yield from _literals(inner)
