"""The ``florence2`` command. One file a verb: each parses, calls and prints.

What a verb needs beyond the standard library is imported when the verb runs, so that
``florence2 --help`` answers at once.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from . import bench, convert, demo, doctor, engine, evaluate, export, run, scenes, serve, train

app = typer.Typer(
    name="florence2",
    help="Run Florence-2: captions, detection, grounding, segmentation and text reading.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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


def main() -> None:
    """Run the command line; exit statuses are those of ``docs/cli.md``."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"florence2 {version('florence2')}")
        raise typer.Exit


@app.callback()
def _options_before_the_verb(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Run Florence-2: captions, detection, grounding, segmentation and text reading."""
