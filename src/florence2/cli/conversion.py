"""Datasets of other formats on the command line: read, turned into shards, and reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..io.messages import format_count
from .parameters import choose

if TYPE_CHECKING:
    from ..datasets.conversion import ConversionReport, ImportOptions
    from ..processing.processor import Processor

FORMATS = (
    "coco",
    "yolo",
    "voc",
    "jsonl",
    "csv",
    "sidecars",
    "huggingface",
    "answers",
    "cvat",
    "label-studio",
)
SHARDS = "shards"
# Those whose answers are written as text, which the vocabulary of a model reads.
WRITTEN_FORMATS = ("jsonl", "csv", "sidecars", "huggingface")
# Problems that are printed; all of them are in the file.
SHOWN_PROBLEMS = 10
# What a dataset is, checked when the command line is parsed.
check_format = choose(*FORMATS)


def make_reading(
    format: str,
    *,
    tasks: Sequence[str] = (),
    split: str | None = None,
    prompt: str | None = None,
    images: Path | None = None,
    columns: Sequence[str] = (),
    answers: Sequence[str] = (),
) -> ImportOptions:
    """What of a dataset is read; ``columns`` are ``NAME=COLUMN``, ``answers`` ``COLUMN=PROMPT``.

    Raises ``ValueError`` for columns where the format has none, for names there are not, and for
    an option that the format does not take.
    """
    from ..datasets.conversion import ImportOptions, unused_options
    from ..datasets.importers.csv import CsvColumns
    from ..datasets.importers.huggingface import Columns

    reading = ImportOptions(tuple(tasks) or None, split, images, prompt)
    unused = unused_options(format, reading)
    if unused:
        option = {"tasks": "--task"}.get(unused[0], f"--{unused[0]}")
        raise ValueError(f"{option} does not apply to a {format} source: leave it out")
    named: dict[str, Any] = _pairs(columns, "--column")
    if format == "csv" and not answers:
        return replace(reading, csv_columns=_columns(CsvColumns, named))
    if format == "huggingface":
        if answers:
            named["answers"] = _pairs(answers, "--answer")
        if not named:
            raise ValueError(
                "say what the columns hold: --column image=NAME, and --column suffix=NAME with "
                "prefix, or boxes with labels, or --answer COLUMN=PROMPT"
            )
        return replace(reading, columns=_columns(Columns, named))
    if named or answers:
        raise ValueError(f"--column and --answer are for csv and huggingface, not for {format}")
    return reading


def convert_to(
    folder: Path,
    source: Path,
    format: str,
    reading: ImportOptions,
    processor: Processor,
    positions: int,
    *,
    overwrite: bool = False,
) -> ConversionReport:
    """The report of a conversion into ``folder``, which is printed too."""
    from ..datasets.conversion import convert

    report = convert(
        source,
        folder,
        format,
        processor=processor,
        max_answer_tokens=positions,
        reading=reading,
        overwrite=overwrite,
    )
    _print_report(report, folder)
    return report


def ensure_converted(
    source: Path,
    folder: Path,
    format: str,
    reading: ImportOptions,
    processor: Processor,
    positions: int,
    *,
    remake: bool,
) -> None:
    """Have ``source`` converted in ``folder``; what an earlier call finished is used again.

    What was made from something else is made again with ``remake``. Raises ``ValueError`` for it
    otherwise, and when nothing was converted.
    """
    from ..datasets.conversion import is_same_origin, origin_of
    from ..datasets.shards.manifest import read_manifest

    manifest = read_manifest(folder)
    is_same = manifest is None or is_same_origin(
        manifest.origin, origin_of(source, format, reading)
    )
    if not is_same and not remake:
        raise ValueError(
            f"{folder} was made from another state of {source}, or read with other options: choose "
            "another --out"
        )
    if manifest is None or not manifest.complete or not is_same:
        report = convert_to(
            folder, source, format, reading, processor, positions, overwrite=not is_same
        )
        if report.is_empty:
            raise ValueError(f"there is nothing to learn from in {source}")
        return
    typer.echo(f"{folder}: {format_count(manifest.rows, 'picture')} converted before")


def load_processor(model: str, revision: str | None = None) -> tuple[Processor, int]:
    """The vocabulary of a checkpoint, and how many positions its answers have; no weights."""
    from ..inference.predictor import resolve_checkpoint
    from ..model.checkpoint.weights import read_config
    from ..processing.processor import Processor

    directory = resolve_checkpoint(model, revision)
    config = read_config(directory)
    positions = config.text.max_position_embeddings
    return Processor.from_directory(directory, positions, config.vision.stride), positions


def _print_report(report: ConversionReport, folder: Path) -> None:
    from ..datasets.conversion import PROBLEMS_FILE

    counts = report.manifest.counts.task
    images = format_count(report.records, "picture")
    typer.echo(f"{folder}: {images}, {format_count(sum(counts.values()), 'annotation')}")
    _print_counts(counts.items())
    if report.without_annotations:
        images = format_count(report.without_annotations, "image")
        typer.echo(f"  {images} without annotations")
    if report.resumed:
        images = format_count(report.resumed, "image")
        typer.echo(f"  {images} from a conversion that was killed before")
    if not report.problems:
        typer.echo("no problems")
        if report.is_empty:
            typer.echo("florence2: nothing was converted: the source has no images", err=True)
        return
    typer.echo(f"{format_count(len(report.problems), 'problem')}, skipped and listed:")
    _print_counts(report.problem_counts.items())
    for problem in report.problems[:SHOWN_PROBLEMS]:
        typer.echo(f"  {problem}")
    typer.echo(f"all of them are in {folder / PROBLEMS_FILE}")
    if report.is_empty:
        typer.echo("florence2: nothing was converted: see the problems", err=True)


def _print_counts(counts: Iterable[tuple[str, int]]) -> None:
    for name, count in counts:
        typer.echo(f"  {name:<38} {count:>10,}")


def _pairs(settings: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not separator or not name or not value:
            raise ValueError(f"{option} is written NAME=VALUE, got {setting!r}")
        pairs[name] = value
    return pairs


def _columns(kind: Any, named: dict[str, Any]) -> Any:
    known = kind.__dataclass_fields__
    unknown = [name for name in named if name not in known]
    if unknown:
        raise ValueError(f"there is no column called {unknown[0]!r}; there are {', '.join(known)}")
    return kind(**named)
