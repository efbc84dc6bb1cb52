"""How a verb ends when it cannot go on: one line on standard error and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

SOME_FAILED = 1
UNUSABLE_ARGUMENTS = 2
PIPE_CLOSED = 141  # what a shell reports for a program that SIGPIPE ended


@contextmanager
def mendable_errors() -> Iterator[None]:
    """A block whose ``ValueError``, ``OSError`` and ``ImportError`` end the command with status 2.

    These are the errors that the caller can mend: the message is printed, the traceback is not.
    A reader that went away (``florence2 run ... | head``) ends the command without a word.
    """
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes standard output once more at exit, which would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(PIPE_CLOSED) from None
    except (ValueError, OSError, ImportError) as error:
        typer.echo(f"florence2: {error}", err=True)
        raise typer.Exit(UNUSABLE_ARGUMENTS) from None
