"""Progress of a run, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..io.messages import format_count
from .errors import interruption_note


@contextmanager
def progress_bar(total: int, *, shown: bool, noun: str = "image") -> Iterator[Callable[[], None]]:
    """A function to call after each item; it moves a bar with items per second and time left.

    There is no bar without ``shown``, or where standard error is not a terminal. An interrupt
    prints how many of the ``total`` are done.
    """
    done = 0

    def note() -> str:
        return (
            f"interrupted: {done:,} of {format_count(total, noun)} done; run the same command "
            "again to continue"
        )

    with interruption_note(note), _bar(total, shown, noun) as move:

        def advance() -> None:
            nonlocal done
            done += 1
            move()

        yield advance


@contextmanager
def _bar(total: int, shown: bool, noun: str) -> Iterator[Callable[[], None]]:
    if not shown or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    # Standard output is for result lines: the bar must not capture what is printed there.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        images = bar.add_task(noun, total=total, rate="")

        def advance() -> None:
            bar.advance(images)
            speed = bar.tasks[0].speed
            bar.update(images, rate="" if speed is None else f"{speed:.2f} {noun}s/s")

        yield advance
