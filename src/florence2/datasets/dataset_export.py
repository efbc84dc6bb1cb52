"""A dataset, shards or the predictions of a run written in the format of another tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from ..io.messages import format_count
from ..processing.processor import Processor
from ..results.records import Record
from . import ImportContext, ImportProblem
from .conversion import ImportOptions, origin_of, read_records
from .exporters import ExportOptions, Written, write_records
from .exporters.capacity import current_target
from .exporters.destination import claim_directory
from .importers.class_list import ClassList
from .importers.prediction_lines import PREDICTIONS_FILE, find_prediction_file, read_predictions
from .importers.problems import refuse_suffix
from .importers.record_selection import select_records
from .label_checks import LabelChecker
from .shards.manifest import MANIFEST_FILE

# Problems and labels that a summary names; the others are counted.
SHOWN_PROBLEMS = 10
SHOWN_LABELS = 8
Destination = Literal["new", "overwrite", "owned"]


@dataclass(frozen=True)
class ExportReport:
    """What was written in ``target``'s format, and the problems of images that were not."""

    target: str
    written: Written
    problems: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written although the images have labels."""
        return bool(self.empty_reason)

    @property
    def empty_reason(self) -> str:
        """Why nothing was written; ``""`` when something was, or no image has labels."""
        written = self.written
        if not written.images:
            return "no image could be used" if self.problems else "the source has no images"
        left_out = written.left_out + written.other_tasks.total() + written.unusable
        if not written.regions and left_out:
            return f"all {left_out:,} regions were skipped"
        if not written.regions and not written.has_place and (count := written.dropped.total()):
            labels = format_count(count, "label or prediction", "labels and predictions")
            return f"it cannot hold any of {labels}"
        return ""

    def summarize(self) -> Iterator[str]:
        """The lines of a summary: counts, what was left out, and the first problems."""
        written, target = self.written, self.target
        yield (
            f"{written.directory}: {format_count(written.images, 'image')}, "
            f"{format_count(written.regions, 'region or text', 'regions and texts')} as {target}"
        )
        if written.unmapped:
            yield (
                f"  {written.left_out:,} regions have a label that is not in --classes: "
                f"{_list_labels(written.unmapped)}"
            )
        if written.other_tasks:
            yield (
                f"  {written.other_tasks.total():,} regions were skipped, their labels are not "
                f"classes: {_list_labels(written.other_tasks)}; choose them with --task"
            )
        if written.unusable:
            yield f"  {written.unusable:,} regions have no area in their image"
        for what, count in (+written.dropped).items():
            yield f"  {target} cannot hold {what}: {count:,} skipped"
        for problem in self.problems[:SHOWN_PROBLEMS]:
            yield f"  not written: {problem}"
        if len(self.problems) > SHOWN_PROBLEMS:
            yield f"  and {len(self.problems) - SHOWN_PROBLEMS:,} more"
        if self.is_empty:
            yield f"florence2: nothing was written as {target}: {self.empty_reason}"


def guess_format(source: Path) -> str:
    """What ``source`` is: shards or the predictions of a run. ``ValueError`` for anything else."""
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: name the dataset's directory or file")
    if (source / MANIFEST_FILE).is_file():
        return "shards"
    if (source / PREDICTIONS_FILE).is_file() or source.name == PREDICTIONS_FILE:
        return "answers"
    raise ValueError(f"{source} holds neither shards nor predictions: pass its format (--format)")


def export_dataset(
    source: Path,
    format: str,
    target: str,
    out: Path,
    options: ExportOptions | None = None,
    reading: ImportOptions | None = None,
    processor: tuple[Processor, int] | None = None,
    *,
    destination: Destination = "new",
) -> ExportReport:
    """Write the dataset at ``source`` in the format ``target``.

    Args:
        source: The dataset's directory or file.
        format: Its format.
        target: The format that is written.
        out: The directory for it.
        options: How it is written.
        reading: What is read.
        processor: The processor of a model with the number of its positions; needed where the
            source holds predictions as text.
        destination: ``"overwrite"`` replaces the dataset that an earlier conversion wrote to
            ``out``; ``"owned"``: ``out`` belongs to the caller, whatever it holds.

    Raises:
        ValueError: ``out`` holds something else, or the source cannot be read.
    """
    target = current_target(target)
    options, reading = options or ExportOptions(), reading or ImportOptions()
    problems: list[ImportProblem] = []
    classes = ClassList()
    records = _read(source, format, problems, reading, processor, classes)
    origin = {
        **origin_of(source, format, reading),
        "target": target,
        "options": options.stored_text,
    }
    overwrite, owned = destination == "overwrite", destination == "owned"
    with claim_directory(out, target, origin, overwrite=overwrite, owned=owned) as note:
        # An error of the whole source is raised before anything is written.
        first = next(records, None)
        written = write_records(
            chain([] if first is None else [first], records),
            target,
            out,
            options,
            categories=lambda: classes.categories,
            note=note,
        )
    # Crowd boxes are not a problem of a format that has them.
    described = [str(problem) for problem in problems if problem.kind != "crowd"]
    described += [f"{name}: {reason}" for name, reason in written.problems.items()]
    return ExportReport(target, written, tuple(described))


def _list_labels(counts: Counter[str]) -> str:
    listed = [f"{name!r} ({count:,})" for name, count in counts.most_common(SHOWN_LABELS)]
    more = len(counts) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more > 0 else "")


def _read(
    source: Path,
    format: str,
    problems: list[ImportProblem],
    reading: ImportOptions,
    processor: tuple[Processor, int] | None,
    classes: ClassList,
) -> Iterator[Record]:
    """The records of the source, with those that a model could not learn."""
    read_suffix = refuse_suffix if processor is None else LabelChecker(*processor).read_suffix
    context = ImportContext(problems.append, read_suffix=read_suffix, declare=classes.declare)
    if format == "answers":
        # Images are not decoded here: they are copied from their files.
        found: Iterable[Record] = read_predictions(find_prediction_file(source), context)
        yield from select_records(found, source, reading.tasks, reading.split)
        return
    yield from read_records(source, format, reading, context)
