"""Answers and datasets written in the formats of other tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..datasets.exporters.capacity import TARGETS
from ..io.messages import format_count
from .conversion import SHOWN_PROBLEMS

if TYPE_CHECKING:
    from ..datasets import ImportProblem
    from ..datasets.conversion import ImportOptions
    from ..datasets.exporters import ExportOptions, Written
    from ..processing.processor import Processor
    from ..results.records import Record

_SIDECARS = ("sidecars",)
_WITH_IMAGES = tuple(each for each in TARGETS if each not in ("jsonl", "csv", "pdf"))
_APPLIES_TO = {
    "--classes": tuple(each for each in TARGETS if each not in ("jsonl", "hocr", "pdf")),
    "--no-pictures": tuple(each for each in TARGETS if each != "pdf"),
    "--link-images": _WITH_IMAGES,
    "--prefix": _SIDECARS,
    "--suffix": _SIDECARS,
    "--trigger": _SIDECARS,
    "--caption": _SIDECARS,
}
# Labels and tasks that are named in a message; the others are counted.
SHOWN_LABELS = 8


@dataclass(frozen=True)
class WriteOutcome:
    """How many ``problems`` a set had, and whether it is ``empty``: nothing of it was written."""

    problems: int
    empty: bool


def writing_options(
    classes: str | None,
    *,
    target: str | None = None,
    pictures: bool = True,
    prefix: str | None = None,
    suffix: str | None = None,
    trigger: str | None = None,
    caption: str | None = None,
    link_images: bool = False,
) -> ExportOptions:
    """How a set is written; ``classes`` are written out, or the name of a file that lists them.

    Raises ``ValueError`` for classes that make no sense, for a caption that there is not, and for
    an option that does not apply to ``target``.
    """
    from ..datasets.exporters import ExportOptions
    from ..results.tasks import CAPTIONS, find_task

    given = {
        "--classes": classes,
        "--no-pictures": not pictures,
        "--link-images": link_images,
        "--prefix": prefix,
        "--suffix": suffix,
        "--trigger": trigger,
        "--caption": caption,
    }
    for name, value in given.items():
        if target is not None and value and target not in _APPLIES_TO[name]:
            raise ValueError(f"{name} does not apply to {target}: leave it out")
    if link_images and not pictures:
        raise ValueError("--link-images and --no-images contradict each other: leave one out")
    if caption is not None and find_task(caption).token not in CAPTIONS:
        raise ValueError(f"--caption {caption!r} is no task of captions")
    return ExportOptions(
        None if classes is None else read_classes(classes),
        pictures,
        prefix or "",
        suffix or "",
        trigger or "",
        caption,
        link_images,
    )


def read_classes(classes: str) -> Any:
    """The classes of a file (one a line, YAML ``names`` or COCO's ``categories``), or inline."""
    from ..datasets.exporters import ClassMap
    from ..datasets.exporters.class_map import CLASS_FILES

    path = Path(classes)
    if path.suffix.lower() in CLASS_FILES:
        return ClassMap.read(path)
    return ClassMap.parse(classes)


def guess_format(source: Path) -> str:
    """What ``source`` is: shards or the answers of a run. ``ValueError`` when it is neither."""
    from ..datasets.importers.prediction_lines import ANSWERS
    from ..datasets.shards.manifest import MANIFEST_FILE

    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: name a dataset's directory or file")
    if (source / MANIFEST_FILE).is_file():
        return "shards"
    if (source / ANSWERS).is_file() or source.name == ANSWERS:
        return "answers"
    raise ValueError(
        f"{source} is no directory of shards or answers: name what it is with --format"
    )


def write_set(
    source: Path,
    format: str,
    target: str,
    out: Path,
    options: ExportOptions,
    reading: ImportOptions | None = None,
    processor: tuple[Processor, int] | None = None,
    *,
    overwrite: bool = False,
    owned: bool = False,
) -> WriteOutcome:
    """Write the set at ``source`` as ``target`` into ``out``, and print what came of it.

    ``processor``, with the positions of its model, is needed where answers are written as text.
    ``overwrite`` replaces the set that an earlier conversion wrote there; ``owned`` says that
    ``out`` is a directory of the run itself. Raises ``ValueError`` when ``out`` holds something
    else.
    """
    from ..datasets.conversion import ImportOptions, origin_of
    from ..datasets.exporters import write_records
    from ..datasets.exporters.destination import claim_folder
    from ..datasets.importers.class_list import ClassList

    reading = reading or ImportOptions()
    problems: list[ImportProblem] = []
    classes = ClassList()
    records = _records(source, format, problems, reading, processor, classes)
    origin = {**origin_of(source, format, reading), "target": target, "options": str(options)}
    with claim_folder(out, target, origin, overwrite=overwrite, owned=owned) as note:
        # What is wrong with the whole source shows before anything is written.
        first = next(records, None)
        written = write_records(
            chain([] if first is None else [first], records),
            target,
            out,
            options,
            categories=lambda: classes.categories,
            note=note,
        )
    _print_written(written, target)
    # A crowd is no problem of a format that has them.
    told = [str(each) for each in problems if each.kind != "crowd"]
    told += [f"{name}: {why}" for name, why in written.problems.items()]
    for problem in told[:SHOWN_PROBLEMS]:
        typer.echo(f"  not written: {problem}", err=True)
    if len(told) > SHOWN_PROBLEMS:
        typer.echo(f"  and {len(told) - SHOWN_PROBLEMS:,} more", err=True)
    reason = _why_empty(written, bool(told))
    if reason:
        typer.echo(f"florence2: nothing was written as {target}: {reason}", err=True)
    return WriteOutcome(len(told), bool(reason))


def _print_written(written: Written, target: str) -> None:
    typer.echo(
        f"{written.folder}: {format_count(written.pictures, 'image')}, "
        f"{format_count(written.regions, 'region or text', 'regions and texts')} as {target}",
        err=True,
    )
    if written.unmapped:
        typer.echo(
            f"  {written.left_out:,} regions have a label that is not in --classes: "
            f"{_named(written.unmapped)}",
            err=True,
        )
    if written.other_tasks:
        typer.echo(
            f"  {written.other_tasks.total():,} regions were skipped, their labels are no "
            f"classes: {_named(written.other_tasks)}; choose them with --task",
            err=True,
        )
    if written.unusable:
        typer.echo(f"  {written.unusable:,} regions have no area in their image", err=True)
    for what, count in (+written.dropped).items():
        typer.echo(f"  {target} cannot hold {what}: {count:,} skipped", err=True)


def _why_empty(written: Written, with_problems: bool) -> str:
    """Why nothing came out; ``""`` when something did, or when there was nothing in the images."""
    if not written.pictures:
        return "no image could be used" if with_problems else "there is no image in the source"
    left_out = written.left_out + written.other_tasks.total() + written.unusable
    if not written.regions and left_out:
        return f"all {left_out:,} regions were skipped"
    if not written.regions and not written.has_place and (count := written.dropped.total()):
        return (
            f"it cannot hold any of {format_count(count, 'label or answer', 'labels and answers')}"
        )
    return ""


def _named(counts: Any) -> str:
    named = [f"{name!r} ({count:,})" for name, count in counts.most_common(SHOWN_LABELS)]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _records(
    source: Path,
    format: str,
    problems: list[ImportProblem],
    reading: ImportOptions,
    processor: tuple[Processor, int] | None,
    classes: Any,
) -> Iterator[Record]:
    """The records of the source. What a model could not learn is no reason to leave it out."""
    from ..datasets import ImportContext
    from ..datasets.conversion import read_records
    from ..datasets.importers.problems import refuse_suffix

    read_suffix = refuse_suffix
    if processor is not None:
        from ..datasets.label_checks import LabelChecker

        read_suffix = LabelChecker(*processor).read_suffix
    intake = ImportContext(problems.append, read_suffix=read_suffix, declare=classes.declare)
    if format == "answers":
        # Images stay where they lie: they are copied from there.
        from ..datasets.importers.prediction_lines import find_answers, read_answers
        from ..datasets.importers.record_selection import select_records

        found: Iterable[Record] = read_answers(find_answers(source), intake)
        yield from select_records(found, source, reading.tasks, reading.split)
        return
    yield from read_records(source, format, reading, intake)
