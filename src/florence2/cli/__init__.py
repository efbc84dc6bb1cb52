"""The ``florence2`` command. One file a verb: each parses, calls and prints.

What a verb needs beyond the standard library is imported when the verb runs, so that
``florence2 --help`` answers at once.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated

import typer

from . import bench, convert, demo, doctor, engine, evaluate, export, run, scenes, serve, train
from .command_line import CommandLine
from .errors import VERBOSE, Terminated

app = CommandLine(
    name="florence2",
    help="Run Florence-2: captions, detection, grounding, segmentation and text reading.",
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)
app.command("train")(train.train)
app.command("convert")(convert.convert)
app.command("evaluate")(evaluate.evaluate)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("mcp")(serve.mcp)
app.add_typer(scenes.app, name="scenes")
app.add_typer(engine.app, name="engine")


class _ClosedOutput(io.TextIOBase):
    """The standard output of a process that was started without one."""

    @property
    def buffer(self) -> _ClosedOutput:
        """The stream for bytes, which fails too."""
        return self

    def write(self, text: str | bytes, /) -> int:
        """Raise ``OSError``: what is written is not to be lost in silence."""
        raise OSError(errno.EBADF, "standard output is closed; open it, or use --out")


def main() -> None:
    """Run the command line; exit statuses are those of ``docs/cli.md``."""
    _open_closed_streams()
    _listen_for_sigterm()
    try:
        app()
    except OSError as error:
        if not isinstance(sys.stdout, _ClosedOutput):
            raise
        sys.exit(f"florence2: {error.strerror}")


def _open_closed_streams() -> None:
    """Give the standard streams that the caller closed a file that nothing else uses.

    Without one, the next file that is opened takes the stream's number, and messages go into it.
    What is written to a closed standard output fails, so that no answers are lost in silence.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken: those below are open by now.
            os.open(os.devnull, flags)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _listen_for_sigterm() -> None:
    """Let SIGTERM end a command as Ctrl-C does, unless the parent process set something else."""
    started = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() == started:
            raise Terminated
        # A forked child inherits this handler, and ends as it would without it.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"florence2 {version('florence2')}")
        raise typer.Exit


@app.callback()
def _options_before_the_verb(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the traceback of an error too.")
    ] = False,
) -> None:
    """Run Florence-2: captions, detection, grounding, segmentation and text reading."""
    VERBOSE.set(verbose)
