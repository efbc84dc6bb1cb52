"""Answers and data sets written in the formats of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .conversion import SHOWN_PROBLEMS

if TYPE_CHECKING:
    from ..formats import Problem
    from ..formats.writers import Options
    from ..processor import Processor
    from ..records import Record
    from ..train.convert import Reading

# The names of formats.writers.WRITERS, which is not imported to show a help text.
TARGETS = (
    "coco", "yolo", "yolo-segments", "yolo-corners", "voc", "cvat", "label-studio", "jsonl", "csv",
    "sidecars", "hocr", "pdf",
)  # fmt: skip


def writing_options(
    classes: str | None,
    *,
    pictures: bool = True,
    prefix: str | None = None,
    suffix: str | None = None,
    trigger: str | None = None,
    caption: str | None = None,
) -> Options:
    """How a set is written. Raises ``ValueError`` for classes that make no sense."""
    from ..formats.writers import Ontology, Options

    return Options(
        None if classes is None else Ontology.parse(classes),
        pictures, prefix or "", suffix or "", trigger or "", caption,
    )  # fmt: skip


def guess_format(source: Path) -> str:
    """What ``source`` is: shards or the answers of a run. ``ValueError`` when it is neither."""
    from ..formats.answers import ANSWERS
    from ..shards.manifest import MANIFEST_FILE

    if (source / MANIFEST_FILE).is_file():
        return "shards"
    if (source / ANSWERS).is_file() or source.name == ANSWERS:
        return "answers"
    raise ValueError(f"{source} is no folder of shards or answers: name what it is with --format")


def write_set(
    source: Path,
    format: str,
    target: str,
    out: Path,
    options: Options,
    reading: Reading | None = None,
    processor: tuple[Processor, int] | None = None,
) -> int:
    """Write the set at ``source`` as ``target`` into ``out``; how many problems there were.

    ``processor``, with the positions of its model, is needed where answers are written as text.
    """
    from ..formats.writers import write_records

    problems: list[Problem] = []
    records = _records(source, format, problems, reading, processor)
    written = write_records(records, target, out, options)
    typer.echo(
        f"{out}: {written.pictures:,} pictures, {written.regions:,} regions and texts as {target}",
        err=True,
    )
    if written.left_out:
        typer.echo(f"  {written.left_out:,} regions are of no class that was named", err=True)
    told = [*map(str, problems), *(f"{name}: {why}" for name, why in written.problems.items())]
    for problem in told[:SHOWN_PROBLEMS]:
        typer.echo(f"  not written: {problem}", err=True)
    if len(told) > SHOWN_PROBLEMS:
        typer.echo(f"  and {len(told) - SHOWN_PROBLEMS:,} more", err=True)
    return len(told)


def _records(
    source: Path,
    format: str,
    problems: list[Problem],
    reading: Reading | None,
    processor: tuple[Processor, int] | None,
) -> Iterator[Record]:
    from ..formats import Intake

    if format == "shards":
        from ..shards import ShardDataset

        yield from ShardDataset(source)
        return
    if format == "answers":
        from ..formats.answers import find_answers, read_answers

        yield from read_answers(find_answers(source), Intake(problems.append))
        return
    from ..train.convert import Reading, read_records
    from ..train.validation import Validator

    assert processor is not None
    validator = Validator(*processor)
    intake = Intake(problems.append, validator.check, validator.read_suffix)
    yield from read_records(source, format, reading or Reading(), intake)
