"""Rules for all commands: how arguments are checked, and how errors are printed.

All apps are a ``CommandLine``, whose commands and groups follow these rules:

- refused are an option of one value that is given twice, an empty value, and a value that is the
  name of an option
- numbers must be finite and in their range, choices one of the list
- for an unknown option, command or choice the nearest known one is suggested
- an error is one short message on standard error; Ctrl-C and SIGTERM print the progress
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from ..io.messages import describe_choice, describe_number, find_near_miss, shorten, suggest
from .errors import (
    COMMAND_OPTIONS,
    EXIT_USAGE,
    end_interrupted,
    print_message,
    user_errors,
)
from .help_format import name_argument, usage_pieces, write_examples, write_parameters
from .parameters import find_choices, find_number_type, find_range
from .signature import rename_old_flags

# Options that may be empty: no prefix, no suffix.
MAY_BE_EMPTY = frozenset({"prefix", "suffix"})
HELP_OPTIONS = ("--help", "-h")
# Option names of other programs -> the option here.
SYNONYMS = {
    "--output": "--out",
    "--output-dir": "--out",
    "--outdir": "--out",
    "--dest": "--out",
    "--input": "SOURCE",
    "--num-beams": "--beams",
    "--max-length": "--max-new-tokens",
    "--dtype": "--precision",
    "--backend": "--runtime",
    "--conf": "--min-score",
    "--iou": "--nms-iou",
    "--force": "--overwrite",
    "--lr": "--set optimizer.learning_rate=VALUE",
    "--learning-rate": "--set optimizer.learning_rate=VALUE",
    "--epochs": "--set schedule.epochs=VALUE",
    "--batch-size": "--set batch.size=VALUE",
    "--batch": "--batch-size",
}
_Function = TypeVar("_Function", bound=Callable[..., Any])
# Click's UsageError, in whichever copy of Click this Typer uses.
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]


class StrictCommand(TyperCommand):
    """A command whose arguments are checked by the rules of this module."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse ``args`` into ``ctx``. Raises a usage error for arguments that are unusable."""
        if not ctx.resilient_parsing:
            args = rename_old_flags(self.callback, args)
        if not ctx.resilient_parsing and not set(args) & set(ctx.help_option_names):
            try:
                self._check(ctx, args)
            except _USAGE_ERROR as error:
                error.ctx = error.ctx or ctx
                raise
        return super().parse_args(ctx, args)

    def _check(self, ctx: Any, args: Sequence[str]) -> None:
        _refuse_single_dash(self, args)
        given, left, order = self.make_parser(ctx).parse_args(list(args))
        if left:
            raise _USAGE_ERROR(f"unexpected argument {shorten(left[0])!r}")
        _refuse_repeated(order)
        for parameter in self.get_params(ctx):
            for value in _raw_values(given.get(parameter.name)):
                _check_value(self, parameter, value)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors that the user can fix end it with one message."""
        token = COMMAND_OPTIONS.set(_long_options(self))
        try:
            with user_errors():
                return super().invoke(ctx)
        finally:
            COMMAND_OPTIONS.reset(token)

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence of the help; the list of commands wraps it."""
        return _first_line(self)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The usage line; required arguments have no brackets."""
        return [*usage_pieces(self, ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options, lists and examples."""
        write_parameters(self, ctx, formatter)
        write_examples(ctx, formatter)


class StrictGroup(TyperGroup):
    """A group of commands that suggests names and prints one message for an error."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that ``args`` name. Raises a usage error for an unknown one."""
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            names = [name for name, command in self.commands.items() if not command.hidden]
            near = suggest(args[0], names) or f"; available: {', '.join(names)}"
            raise _USAGE_ERROR(f"unknown command {shorten(args[0])!r}{near}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt prints its progress."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            if ctx.parent is not None:
                raise
            raise end_interrupted(interrupt) from None

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence of the help; the list of commands wraps it."""
        return _first_line(self)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and end the process, as ``click.Command.main`` does."""
        settings = {
            **extra,
            "complete_var": complete_var,
            "standalone_mode": False,
            "windows_expand_args": windows_expand_args,
        }
        try:
            status = super().main(args, prog_name, **settings)
        except _USAGE_ERROR as error:
            if not standalone_mode:
                raise
            _show(error)
            sys.exit(EXIT_USAGE)
        if not standalone_mode:
            return status
        sys.exit(status if isinstance(status, int) else 0)


class CommandLine(typer.Typer):
    """A Typer app whose commands and groups follow the rules of this module."""

    def __init__(self, **settings: Any) -> None:
        defaults = {
            "cls": StrictGroup,
            "no_args_is_help": True,
            "rich_markup_mode": None,
            "context_settings": {
                "help_option_names": [*HELP_OPTIONS],
                "max_content_width": 100,
            },
        }
        super().__init__(**{**defaults, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[_Function], _Function]:
        """``typer.Typer.command`` with ``StrictCommand`` as the class."""
        return super().command(name, **{"cls": StrictCommand, **settings})


def _refuse_single_dash(command: Any, args: Sequence[str]) -> None:
    """Refuse ``-task``, which would be parsed as ``-t ask``."""
    names = _all_options(command)
    for word in args:
        if word == "--":
            return
        option = f"-{word.partition('=')[0]}"
        if len(option) > 3 and word[0] == "-" and word[1] != "-" and option in names:
            raise _USAGE_ERROR(f"unknown option {word}; did you mean {option}?")


def _refuse_repeated(order: Sequence[Any]) -> None:
    counts = Counter(id(parameter) for parameter in order)
    for parameter in order:
        single = parameter.param_type_name == "option" and not (
            parameter.multiple or parameter.count or parameter.is_eager
        )
        if single and counts[id(parameter)] > 1:
            raise _USAGE_ERROR(
                f"{_option_name(parameter)} is given {counts[id(parameter)]} times; give it once"
            )


def _check_value(command: Any, parameter: Any, value: str) -> None:
    """Raise a usage error when one value of ``parameter`` is unusable."""
    name = _option_name(parameter)
    if not value.strip() and parameter.name not in MAY_BE_EMPTY:
        raise _USAGE_ERROR(f"{name} is empty; give it a value or leave it out")
    if parameter.param_type_name == "option" and value in _all_options(command):
        raise _USAGE_ERROR(f"{name} has no value: {value} follows it")
    choices = find_choices(parameter)
    if choices and value not in choices:
        raise _USAGE_ERROR(f"{name}: {describe_choice(value, choices)}")
    number = find_number_type(parameter)
    if number is not None:
        _check_number(name, value, number, *find_range(parameter))


def _check_number(
    name: str, value: str, number: type, low: float | None, high: float | None
) -> None:
    try:
        parsed = number(value)
    except (ValueError, OverflowError):
        parsed = math.nan
    # Whole numbers of any length are finite, and too long for a float.
    finite = isinstance(parsed, int) or math.isfinite(parsed)
    if finite and (low is None or parsed >= low) and (high is None or parsed <= high):
        return
    wanted = describe_number(number, low, high)
    raise _USAGE_ERROR(f"{name} must be {wanted}, got {shorten(value)!r}")


def _raw_values(value: Any) -> Iterator[str]:
    """The strings of one parameter before conversion; flags have none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _raw_values(item)


def _option_name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return name_argument(parameter).rstrip(".")
    return _full_name(parameter.opts)


def _full_name(names: Sequence[str]) -> str:
    return max(names, key=len)


def _all_options(command: Any) -> set[str]:
    names = {*HELP_OPTIONS}
    for parameter in command.params:
        if parameter.param_type_name == "option":
            names.update(parameter.opts, parameter.secondary_opts)
    return names


def _long_options(command: Any) -> Mapping[str, str]:
    options = [each for each in command.params if each.param_type_name == "option"]
    names = {each.name.rstrip("_"): _full_name(each.opts) for each in options}
    negations = {f"{each.name}=False": each.secondary_opts for each in options}
    return names | {name: _full_name(flags) for name, flags in negations.items() if flags}


def _first_line(command: Any) -> str:
    return (command.help or "").strip().partition("\n")[0]


def _show(error: Any) -> None:
    """Print a usage error and how to get help."""
    ctx = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    print_message(_describe_usage(error))
    if ctx is not None:
        typer.echo(f"Try '{ctx.command_path} --help' for help.", err=True)


def _describe_usage(error: Any) -> str:
    name, parameter = type(error).__name__, getattr(error, "param", None)
    if name == "BadOptionUsage":
        return str(error.message).removeprefix("Option ").replace("'", "").rstrip(".")
    if name == "NoSuchOption":
        return _describe_unknown(error)
    if name == "MissingParameter" and parameter is not None:
        what = (parameter.help or "").partition(". ")[0].rstrip(".")
        return f"{_option_name(parameter)} is missing" + (f" ({what})" if what else "")
    if parameter is not None:
        return f"{_option_name(parameter)}: {error.message}"
    return str(error.message)


def _describe_unknown(error: Any) -> str:
    option, ctx = error.option_name, error.ctx
    message = f"unknown option {shorten(option)}"
    if ctx is None:
        return message
    names = sorted(_all_options(ctx.command))
    synonym = SYNONYMS.get(option, "")
    known = {*names, *(_option_name(each) for each in ctx.command.params)}
    if synonym.partition(" ")[0] in known:
        return f"{message}; did you mean {synonym}?"
    if ctx.parent is not None and option in _all_options(ctx.parent.command):
        path = ctx.parent.command_path
        rest = ctx.command_path.removeprefix(path).strip()
        return f"{message} here; write it before the command: {path} {option} {rest}"
    # Leading dashes would make all names similar.
    by_word = {name.lstrip("-"): name for name in names}
    near = find_near_miss(option.lstrip("-"), by_word)
    if near is not None:
        return f"{message}; did you mean {by_word[near]}?"
    return message
