"""``florence2 run``: label images."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from ..io.messages import format_count
from ..workflows.labeling.label_config import LabelConfig
from ..workflows.labeling.labeler import LabelMonitor, LabelOutcome, label
from .errors import EXIT_PARTIAL, interruption_note, name_options, user_errors
from .loading import is_default, load_model
from .progress import progress_bar
from .signature import expand_options


@expand_options
def run(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Images, PDFs, videos, directories, patterns in quotes, URLs, or - for a list on "
            "stdin.",
            show_default=False,
        ),
    ],
    task: Annotated[
        list[str],
        typer.Option("--task", "-t", help="The task: a name, an alias or a token. Repeatable."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Output directory for answers.jsonl, drawings and dataset files."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume the run in --out; failed images are tried again."),
    ] = False,
    *,
    config: LabelConfig,
) -> None:
    """Run tasks on images; write JSON lines and files for other tools.

    The prompts of --classes are the input of a task that takes classes, if there is no --text.
    """
    with user_errors():
        if resume and out is None:
            raise ValueError("--resume needs a directory to write to; add --out DIR")
        monitor = _Progress(in_directory=out is not None)
        is_default_model = is_default(context, "model")
        with interruption_note(monitor.describe), monitor:
            outcome = label(
                sources,
                task,
                out=sys.stdout.buffer if out is None else out,
                resume=resume,
                config=config,
                load=lambda config: load_model(
                    config.model, by_default=is_default_model, **config.load_arguments
                ),
                monitor=monitor,
            )
        for report in outcome.exports:
            for line in report.summarize():
                typer.echo(line, err=True)
    if not outcome.is_complete:
        raise typer.Exit(EXIT_PARTIAL)


class _Progress(LabelMonitor, ExitStack):
    """Shows messages and a progress bar on standard error."""

    def __init__(self, *, in_directory: bool) -> None:
        super().__init__()
        self._in_directory = in_directory
        self._done = self._total = 0

    def notify(self, message: str) -> None:
        """Print a message."""
        typer.echo(f"florence2: {message}", err=True)

    def start(self, done: int, total: int) -> None:
        """Show the bar for the images that are left."""
        self._done, self._total = done, total
        shown = self._in_directory or not sys.stdout.isatty()
        self._move = self.enter_context(progress_bar(total - done, shown=shown))

    def advance(self) -> None:
        """Move the bar."""
        self._done += 1
        self._move()

    def finish(self, outcome: LabelOutcome) -> None:
        """Remove the bar; print the failures and a summary."""
        self.close()
        for image, error in outcome.failed.items():
            typer.echo(f"failed: {image}: {name_options(error)}", err=True)
        for image, reason in outcome.unwritten.items():
            typer.echo(f"predicted, but {image}: {reason}", err=True)
        count = outcome.done + len(outcome.failed)
        if count:
            images, rate = format_count(count, "image"), count / outcome.seconds
            failed = f"{len(outcome.failed):,} failed"
            typer.echo(f"{images}, {failed}, {rate:.2f} images/s", err=True)

    def describe(self) -> str:
        """How far the run is, for an interruption."""
        if not self._total:
            return "interrupted"
        rest = "; add --resume to continue" if self._in_directory else ""
        total = format_count(self._total, "image")
        return f"interrupted: {self._done:,} of {total} done{rest}"
