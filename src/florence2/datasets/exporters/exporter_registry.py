"""Writers by name, and the one function that writes a set with any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ...results.records import Category, Record
from ...results.tasks import AnswerKind
from ...results.types import Quads, Text
from .capacity import holds_answer, holds_images, holds_objects
from .coco import CocoWriter
from .cvat import CvatWriter
from .export_names import OutputNames
from .export_options import ExportOptions
from .label_studio import LabelStudioWriter
from .ocr_documents import HocrWriter
from .output import ExportDirectory, Writer, Written
from .record_regions import collect_regions
from .rows import CsvWriter, JsonLinesWriter
from .searchable_pdf import PdfWriter
from .sidecars import SidecarWriter
from .voc import VocWriter
from .yolo import YoloWriter

WRITERS: dict[str, Callable[[ExportDirectory], Writer]] = {
    "coco": CocoWriter,
    "yolo": YoloWriter,
    "yolo-segments": partial(YoloWriter, lines="segments"),
    "yolo-corners": partial(YoloWriter, lines="corners"),
    "voc": VocWriter,
    "cvat": CvatWriter,
    "label-studio": LabelStudioWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "sidecars": SidecarWriter,
    "hocr": HocrWriter,
    "pdf": PdfWriter,
}
# Those whose files lie in the directories that the images lay in.
_IN_FOLDERS = ("sidecars", "hocr", "pdf", "coco", "cvat", "label-studio")
# Those that have a directory of images for each split, so that a name may come once in each.
_BY_SPLIT = ("coco", "yolo", "yolo-segments", "yolo-corners")
# Those that write everything there is, whatever it means.
_WITHOUT_CLASSES = ("jsonl", "hocr", "pdf")
# What a record that cannot be written raises; anything else is a fault of ours.
_UNWRITABLE = (OSError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError)


def write_records(
    records: Iterable[Record],
    format: str,
    folder: Path,
    options: ExportOptions | None = None,
    *,
    categories: Callable[[], Iterable[Category]] = tuple,
    note: Callable[[str], None] | None = None,
) -> Written:
    """Write what is kept of ``records`` into ``folder`` in one of ``WRITERS``.

    An image that cannot be written is listed in ``problems`` and the others go on. Files are
    replaced whole, so that the same call again gives the same files.

    Args:
        records: What is written, read one after another.
        format: A name of ``WRITERS``.
        directory: Where the set is written to.
        options: How it is written.
        categories: The classes that the source lists so far; asked before each record and at the
            end, for a reader knows them only when it has begun.
        note: Called with the place of each file below ``folder`` before it is written.

    Raises:
        ValueError: The format is unknown.
    """
    if format not in WRITERS:
        raise ValueError(f"unknown format {format!r}; formats are {', '.join(WRITERS)}")
    output, written = ExportDirectory(folder, options or ExportOptions()), Written(folder)
    if note is not None:
        output.note = note
    writer = WRITERS[format](output)
    names = OutputNames(format in _IN_FOLDERS, format in _BY_SPLIT)
    declared = 0
    for record in records:
        listed = tuple(categories())
        if len(listed) != declared:
            output.classes.declare(listed)
            declared = len(listed)
        try:
            regions = writer.add(record, names.of(record.file_name or record.id, record.split))
            if format not in _WITHOUT_CLASSES:
                _count(record, output, written)
            _count_without_place(record, format, written)
        except _UNWRITABLE as error:
            written.problems[record.id] = str(error)
            continue
        written.regions += regions
        written.pictures += 1
    output.classes.declare(categories())
    if written.pictures:
        written.files = writer.finish()
        written.problems |= getattr(writer, "problems", {})
    written.dropped += output.dropped
    return written


def _count(record: Record, output: ExportDirectory, written: Written) -> None:
    """Count what of a record was skipped."""
    collected = collect_regions(record, output.classes)
    written.unmapped += collected.unmapped
    written.other_tasks += collected.other_tasks
    written.unusable += collected.unusable


def _count_without_place(record: Record, format: str, written: Written) -> None:
    """Count the answers of a record that the format has no place for."""
    written.has_place |= holds_images(format)
    if holds_objects(format):
        written.has_place |= record.objects is not None
    else:
        written.dropped["objects"] += len(record.objects or ())
    for annotation in record.kept():
        answer = annotation.answer
        kind: AnswerKind = (
            "text"
            if isinstance(answer, Text)
            else "quads"
            if isinstance(answer, Quads)
            else "boxes"
        )
        if holds_answer(format, annotation.task, kind):
            written.has_place = True
        elif isinstance(answer, Text):
            written.dropped["texts"] += bool(answer.plain_text.strip())
        elif record.objects is None:
            written.dropped["regions"] += len(answer)
