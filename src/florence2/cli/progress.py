"""How far a run is, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A function to call after each image; it moves a bar with images per second and time left.

    With ``shown`` unset, or where standard error is no terminal, nothing is printed.
    """
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
    # Standard output belongs to the answer lines: the bar must not catch what is printed there.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        images = bar.add_task("images", total=total, rate="")

        def advance() -> None:
            bar.advance(images)
            speed = bar.tasks[0].speed
            bar.update(images, rate="" if speed is None else f"{speed:.2f} images/s")

        yield advance
