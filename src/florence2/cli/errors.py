"""Errors of a command: one message on standard error, and an exit status."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

import typer

from ..io.extras import add_checkout_hint, find_extra, install_command
from ..io.messages import shorten

EXIT_PARTIAL = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_TERMINATED = 143  # 128 + SIGTERM
EXIT_PIPE_CLOSED = 141  # what a shell reports for a program that SIGPIPE ended
# Longer messages are shortened in the middle: the remedy is at the end.
MAX_MESSAGE_CHARS = 900

# The options of the running command by their Python names, for error messages; "name=False" ->
# the option that turns a switch off.
COMMAND_OPTIONS: ContextVar[Mapping[str, str]] = ContextVar("COMMAND_OPTIONS", default={})  # noqa: B039
# Whether errors are printed with their tracebacks.
VERBOSE: ContextVar[bool] = ContextVar("VERBOSE", default=False)
# In every warning about a renamed option, field or argument.
_OLD_NAME = "the old name will be removed in the next release"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class Terminated(KeyboardInterrupt):
    """The command got SIGTERM. It is handled like an interrupt, with another exit status."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Print errors that the user can fix without a traceback, and exit with status 2.

    These are ``ValueError``, ``OSError``, ``ImportError`` and ``RecursionError`` (from nested user
    data). Out of memory exits with status 1. A closed pipe (``florence2 run ... | head``) ends the
    command without a message.
    """
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes standard output again at exit, which would print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_PIPE_CLOSED) from None
    except (ValueError, OSError, ImportError, RecursionError) as error:
        print_error(error)
        raise typer.Exit(EXIT_USAGE) from None
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        print_error(error)
        raise typer.Exit(EXIT_PARTIAL) from None


@contextmanager
def interruption_note(note: Callable[[], str]) -> Iterator[None]:
    """A block in which Ctrl-C or SIGTERM prints ``note()``: the progress, and how to resume.

    Example: ``interruption_note(lambda: f"{done} of {total} images done; add --resume")``. Of
    nested blocks the note of the outermost is printed.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.note = note()  # type: ignore[attr-defined]
        raise


@contextmanager
def print_warnings() -> Iterator[None]:
    """A block whose warnings by this package are printed as messages of the command."""
    default = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        is_ours = category is UserWarning and f"{os.sep}florence2{os.sep}" in filename
        if is_ours or _OLD_NAME in str(message):
            print_message(f"warning: {message}")
        else:
            default(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module=r"florence2\.")
        warnings.filterwarnings("always", f".*{_OLD_NAME}", DeprecationWarning)
        warnings.showwarning = show
        yield


def end_interrupted(interrupt: KeyboardInterrupt) -> typer.Exit:
    """Print the note of an interrupted command; returns the exception that ends it."""
    terminated = isinstance(interrupt, Terminated)
    note = getattr(interrupt, "note", None) or ("terminated" if terminated else "interrupted")
    print_message(note)
    return typer.Exit(EXIT_TERMINATED if terminated else EXIT_INTERRUPTED)


def print_error(error: BaseException) -> None:
    """Print ``error`` for the user: its message, and with ``--verbose`` its traceback."""
    if VERBOSE.get():
        traceback.print_exception(error)
    print_message(describe_error(error))


def print_message(message: str) -> None:
    """Print a message on standard error, shortened and without control characters."""
    typer.echo(f"florence2: {_printable(shorten(message, MAX_MESSAGE_CHARS))}", err=True)


def describe_error(error: BaseException) -> str:
    """The message of an error, with the names of files and options."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return _describe_os_error(error)
    if isinstance(error, RecursionError):
        return f"the data is nested too deeply to be read ({error})"
    if _is_out_of_memory(error):
        smaller = "a smaller --batch-size or " if "batch_size" in COMMAND_OPTIONS.get() else ""
        return f"out of memory; use {smaller}smaller inputs" + (f" ({error})" if str(error) else "")
    if isinstance(error, ModuleNotFoundError) and error.name and "pip install" not in str(error):
        extra = find_extra(error.name)
        if extra is not None:
            command = install_command(f"florence2[{extra}]")
            return f"{error.name} is not installed; install it with: {command}"
    message = add_checkout_hint(name_options(str(error)))
    return message or type(error).__name__


def name_options(message: str) -> str:
    """``message`` with options of the running command in place of the Python arguments it names.

    ``overwrite=True`` becomes ``--overwrite``, ``copy_images=False`` ``--no-copy-images``,
    ``runtime="onnx"`` ``--runtime onnx`` and ``max_pixels`` ``--max-pixels``, where the command has
    such an option. ``option 'draw'`` becomes ``--draw``.
    """
    options = COMMAND_OPTIONS.get()

    def assignment(match: re.Match[str]) -> str:
        off = options.get(match[0])
        if off is not None:
            return off
        option = options.get(match["name"])
        if option is None or match["value"] == "False":
            return match[0]
        value = match["value"].strip("'\"")
        return option if value == "True" else f"{option} {value}"

    def quoted(match: re.Match[str]) -> str:
        return options.get(match["name"], match[0])

    def name(match: re.Match[str]) -> str:
        return options.get(match[0], match[0])

    message = re.sub(
        r"(?<![\w./-])(?P<name>[a-z][a-z_]*)=(?P<value>True|False|\"[^\"]*\"|'[^']*'|\d[\d.]*)",
        assignment,
        message,
    )
    message = re.sub(r"\boption '(?P<name>[a-z_]+(?:=False)?)'", quoted, message)
    # A single word may be any word; names with an underscore are arguments.
    return re.sub(r"(?<![\w./'\"-])[a-z]+(?:_[a-z]+)+(?![\w./'\"=-])", name, message)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is an out-of-memory error of Python or torch."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in words)
    )


def _describe_os_error(error: OSError) -> str:
    names = [
        os.fsdecode(name)
        for name in (error.filename, error.filename2)
        if isinstance(name, (str, bytes, os.PathLike))
    ]
    place = " -> ".join(names)
    reason = error.strerror
    if error.errno in _DISK_FULL:
        reason = "the disk is full (or a quota is used up); free space, then run this again"
    elif error.errno in (errno.EACCES, errno.EPERM):
        reason = f"{error.strerror}; check the owner and the permissions"
    elif error.errno == errno.EROFS:
        reason = f"{error.strerror}; choose a writable directory"
    return f"{place}: {reason}" if place else str(reason)


def _printable(message: str) -> str:
    """``message`` with control characters, which file names may contain, as escapes."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in message
    )
