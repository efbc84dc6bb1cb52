"""``florence2 doctor``: what this machine can do, and whether a checkpoint is sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as option
from .errors import SOME_FAILED, mendable_errors
from .machine import Fact, machine_facts

if TYPE_CHECKING:
    from ..model.weights import CheckpointReport


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(help="A checkpoint to check: a Hub id, a directory, or nano."),
    ] = None,
    revision: option.Revision = None,
) -> None:
    """Tell what this machine can do, and check MODEL.

    Every tensor of the checkpoint is compared with what its configuration asks for; the status
    is 1 when the checkpoint cannot be used.
    """
    with mendable_errors():
        _print_table("this machine", machine_facts())
        if model is None:
            return
        from ..model.weights import inspect_checkpoint
        from ..predictor import resolve

        report = inspect_checkpoint(resolve(model, revision))
        typer.echo()
        _print_table(f"checkpoint {model}", _checkpoint_facts(report))
        if report.problems:
            raise typer.Exit(SOME_FAILED)


def _checkpoint_facts(report: CheckpointReport) -> Iterator[Fact]:
    yield "path", str(report.path)
    yield "files", ", ".join(report.files)
    yield "layout", report.layout
    yield "size", report.size_name
    yield "parameters", f"{report.parameter_count:,} in {report.tensor_count} tensors"
    yield "positions", f"{report.positions:,}"
    yield "vocabulary", f"{report.vocabulary_size:,}"
    yield "head", "tied to the embedding" if report.tied_head else "its own tensor"
    kinds = (f"{name} ({count} tensors)" for name, count in sorted(report.dtypes.items()))
    yield "precision in the file", ", ".join(kinds)
    for problem in report.problems:
        yield "PROBLEM", problem
    yield "verdict", "cannot be used" if report.problems else "sound: every tensor is as it must be"


def _print_table(title: str, facts: Iterable[Fact]) -> None:
    typer.echo(title)
    for name, value in facts:
        typer.echo(f"  {name:<24} {value}")
