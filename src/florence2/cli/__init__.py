"""The ``florence2`` command. One file per command: each parses, calls and prints.

Heavy libraries are imported when a command runs, so that ``florence2 --help`` is fast.
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
    """The standard output of a process that was started with it closed."""

    @property
    def buffer(self) -> _ClosedOutput:
        """The binary stream; writing to it raises the same error."""
        return self

    def write(self, text: str | bytes, /) -> int:
        """Raise ``OSError``, so that no output is lost silently."""
        raise OSError(errno.EBADF, "standard output is closed; open it, or use --out")


def main() -> None:
    """Run the command line; exit statuses are those of ``docs/cli.md``."""
    _open_closed_streams()
    _handle_sigterm()
    try:
        app()
    except OSError as error:
        if not isinstance(sys.stdout, _ClosedOutput):
            raise
        sys.exit(f"florence2: {error.strerror}")


def _open_closed_streams() -> None:
    """Open ``/dev/null`` in place of standard streams that the caller closed.

    Otherwise the next file that is opened gets the stream's descriptor, and messages are written
    into it. Writing to a closed standard output fails, so that no predictions are lost silently.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # ``open`` returns the lowest free descriptor, which is this one.
            os.open(os.devnull, flags)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _handle_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C, unless the parent process set another handler."""
    started = os.getpid()

    def terminate(number: int, frame: FrameType | None) -> None:
        if os.getpid() == started:
            raise Terminated
        # A forked child inherits this handler; there it restores the default.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)


def _print_version(is_set: bool) -> None:
    if is_set:
        typer.echo(f"florence2 {version('florence2')}")
        raise typer.Exit


@app.callback()
def _set_global_options(
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
