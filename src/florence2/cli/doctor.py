"""``florence2 doctor``: facts about this machine, and whether a checkpoint is valid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..io.environment import Fact, machine_facts
from .errors import EXIT_PARTIAL, user_errors

if TYPE_CHECKING:
    from ..model.checkpoint.weights import CheckpointReport


_UNUSABLE = ("verdict", "cannot be used")


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(help="A checkpoint to check: a Hub id, a directory, or nano."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a Hub model.")
    ] = None,
) -> None:
    """Show facts about this machine, and check MODEL.

    Every tensor of the checkpoint is compared with the configuration; the status is 1 when the
    checkpoint cannot be used.
    """
    with user_errors():
        _print_table("this machine", machine_facts())
        if model is None:
            return
        from ..inference.predictor import resolve_checkpoint
        from ..model.checkpoint.directories import find_exported_graphs
        from ..model.checkpoint.weights import inspect_checkpoint

        directory = Path(resolve_checkpoint(model, revision))
        typer.echo()
        graphs = find_exported_graphs(directory)
        if graphs is not None:
            _check_export(model, directory, graphs)
            return
        report = inspect_checkpoint(directory)
        problems = [*report.problems, *_processor_problems(directory, report)]
        _print_table(f"checkpoint {model}", _checkpoint_facts(report, problems))
        if problems:
            raise typer.Exit(EXIT_PARTIAL)


def _processor_problems(directory: Path, report: CheckpointReport) -> list[str]:
    """Problems of the tokenizer and the preprocessing of a model without other problems."""
    if report.problems or not directory.is_dir():
        return []
    from ..model.checkpoint.weights import read_config
    from ..processing.processor import Processor

    try:
        config = read_config(directory)
        Processor.from_directory(
            directory,
            config.text.max_position_embeddings,
            config.vision.stride,
            config.text.vocab_size,
        )
    except (ValueError, OSError) as error:
        return [str(error)]
    return []


def _check_export(name: str, directory: Path, graphs: str) -> None:
    """Load exported graphs, which have no tensors to compare."""
    from ..inference.predictor import load

    facts = [("path", str(directory)), ("graphs", f"exported for the {graphs} runtime")]
    try:
        load(directory)
    except (ValueError, OSError, ImportError) as error:
        _print_table(f"export {name}", [*facts, ("PROBLEM", str(error)), _UNUSABLE])
        raise typer.Exit(EXIT_PARTIAL) from None
    _print_table(f"export {name}", [*facts, ("verdict", "valid: every graph runs")])


def _checkpoint_facts(report: CheckpointReport, problems: Sequence[str]) -> Iterator[Fact]:
    yield "path", str(report.path)
    if not report.files:  # nothing was read
        yield from (("PROBLEM", problem) for problem in problems)
        yield _UNUSABLE
        return
    yield "files", ", ".join(report.files)
    yield "layout", report.layout
    yield "size", report.size_name
    yield "parameters", f"{report.parameter_count:,} in {report.tensor_count} tensors"
    yield "positions", f"{report.positions:,}"
    yield "vocabulary", f"{report.vocab_size:,}"
    yield "head", "tied to the embedding" if report.tied_head else "its own tensor"
    kinds = (f"{name} ({count} tensors)" for name, count in sorted(report.dtypes.items()))
    yield "precision in the file", ", ".join(kinds)
    for problem in problems:
        yield "PROBLEM", problem
    yield _UNUSABLE if problems else ("verdict", "valid: every tensor fits the configuration")


def _print_table(title: str, facts: Iterable[Fact]) -> None:
    typer.echo(title)
    for name, value in facts:
        typer.echo(f"  {name:<24} {value}")
