"""Commands whose options are the fields of config dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from ..io.options import OptionField, has_options, option_fields
from .errors import print_message, print_warnings
from .parameters import choose, complete

# Name of the attribute of a command's function that maps old spellings of options to new ones.
OLD_FLAGS = "__old_flags__"


def expand_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A Typer command that takes config dataclasses, as one that takes their fields as options.

    Each parameter of ``function`` whose annotation is a dataclass with ``option`` fields is
    replaced by one option for each field, in their order; ``function`` gets the instance. Other
    parameters stay as they are. Errors that a dataclass raises are printed as those of a command.

    Example::

        @app.command("export")
        @expand_options
        def export(config: ExportConfig) -> None: ...

    Raises:
        TypeError: two fields of a command have the same name.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: dict[str, Parameter] = {}
    configs: dict[str, type] = {}
    old_flags: dict[str, str] = {}
    for parameter in inspect.signature(function).parameters.values():
        kind = hints.get(parameter.name, parameter.annotation)
        if has_options(kind):
            configs[parameter.name] = kind
            found = [_make_parameter(each) for each in option_fields(kind)]
            old_flags.update(pair for each in option_fields(kind) for pair in _old_flags(each))
        else:
            found = [parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY)]
        for each in found:
            if each.name in parameters:
                raise TypeError(f"{function.__name__} has two options named {each.name!r}")
            parameters[each.name] = each

    @wraps(function)
    def command(**values: Any) -> Any:
        arguments = {}
        with print_warnings():
            for name, kind in configs.items():
                fields = option_fields(kind)
                chosen = {each.name: _convert(each, values.pop(each.name)) for each in fields}
                arguments[name] = kind(**chosen)
        return function(**arguments, **values)

    command.__signature__ = inspect.Signature([*parameters.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {name: each.annotation for name, each in parameters.items()}
    setattr(command, OLD_FLAGS, old_flags)
    return command


def rename_old_flags(function: Any, words: Sequence[str]) -> list[str]:
    """The arguments of a command with new spellings of its options; each old one warns."""
    renamed: Mapping[str, str] = getattr(function, OLD_FLAGS, {})
    words = list(words)
    for position, word in enumerate(words):
        if word == "--":
            break
        flag, equals, value = word.partition("=")
        if flag in renamed:
            new = renamed[flag]
            print_message(f"{flag} is now {new}; the old name will be removed in the next release")
            words[position] = f"{new}{equals}{value}"
    return words


def _make_parameter(field: OptionField) -> Parameter:
    """The parameter that Typer reads for ``field``."""
    described = field.option
    default: Any = Parameter.empty if field.is_required else field.default
    if field.is_repeated and not field.is_required:
        default = (list(field.default) if described.parse is None else None) or None
    settings: dict[str, Any] = {
        "help": described.help,
        "metavar": described.metavar,
        "min": described.min,
        "max": described.max,
    }
    if field.choices:
        settings["callback"] = choose(*field.choices)
    if field.choices or described.completion:
        settings["autocompletion"] = complete(*(described.completion or field.choices))
    if described.shown_default is not None:
        settings["show_default"] = described.shown_default or False
    info = (
        typer.Argument(**settings)
        if described.argument
        else typer.Option(*_flags(field), **settings)
    )
    kind = _plain_type(field.type)
    if field.is_repeated and described.parse is not None:
        kind = str
    if field.is_repeated:
        kind = list[kind] if field.is_required else list[kind] | None  # type: ignore[valid-type]
    return Parameter(
        field.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _flags(field: OptionField) -> tuple[str, ...]:
    if field.option.flags:
        return field.option.flags
    name = field.name.strip("_").replace("_", "-")
    return (f"--{name}/--no-{name}" if field.default is True else f"--{name}",)


def _old_flags(field: OptionField) -> Iterator[tuple[str, str]]:
    """Each old spelling with the new one; the two of a switch by their order."""
    new = max(_flags(field), key=len).split("/")
    for old in field.option.old_flags:
        yield from zip(old.split("/"), new, strict=False)


def _plain_type(kind: Any) -> Any:
    """The type of one value for Typer, which supports no ``Literal`` and no tuple of any length."""
    if get_origin(kind) is Literal:
        return str
    inner = get_args(kind)
    if get_origin(kind) is tuple and inner[-1:] == (...,):
        return _plain_type(inner[0])
    if type(None) in inner:
        (value,) = (each for each in inner if each is not type(None))
        return Union[_plain_type(value), None]  # noqa: UP007
    return kind


def _convert(field: OptionField, value: Any) -> Any:
    parse = field.option.parse
    if field.is_repeated:
        values = value or (() if field.is_required else field.default)
        return tuple(values if parse is None or values is field.default else map(parse, values))
    return value if parse is None or not isinstance(value, str) else parse(value)
