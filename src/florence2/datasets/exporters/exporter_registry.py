"""The exporters by format name, and the function that writes records with one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ...io.deprecation import renamed_arguments
from ...results.records import Category, Record
from ...results.tasks import AnswerKind
from ...results.types import Quads, Text
from .capacity import current_target, holds_answer, holds_images, holds_objects
from .coco import CocoExporter
from .cvat import CvatExporter
from .export_names import UniqueFileNames
from .export_options import ExportOptions
from .label_studio import LabelStudioExporter
from .ocr_documents import HocrExporter
from .output import ExportDirectory, Exporter, Written
from .record_regions import collect_regions
from .rows import CsvExporter, JsonLinesExporter
from .searchable_pdf import PdfExporter
from .sidecars import SidecarExporter
from .voc import VocExporter
from .yolo import YoloExporter

EXPORTERS: dict[str, Callable[[ExportDirectory], Exporter]] = {
    "coco": CocoExporter,
    "yolo": YoloExporter,
    "yolo-seg": partial(YoloExporter, shape="polygons"),
    "yolo-obb": partial(YoloExporter, shape="oriented-boxes"),
    "voc": VocExporter,
    "cvat": CvatExporter,
    "label-studio": LabelStudioExporter,
    "jsonl": JsonLinesExporter,
    "csv": CsvExporter,
    "sidecars": SidecarExporter,
    "hocr": HocrExporter,
    "pdf": PdfExporter,
}
# Formats that keep the directories of the images.
_IN_DIRECTORIES = ("sidecars", "hocr", "pdf", "coco", "cvat", "label-studio")
# Formats with a directory of images per split: a name may occur once in each.
_BY_SPLIT = ("coco", "yolo", "yolo-seg", "yolo-obb")
# Formats without classes.
_WITHOUT_CLASSES = ("jsonl", "hocr", "pdf")
# Errors of a record that cannot be written; any other is a bug of the exporter.
_UNWRITABLE = (OSError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError)


@renamed_arguments(folder="directory")
def write_records(
    records: Iterable[Record],
    format: str,
    directory: Path,
    options: ExportOptions | None = None,
    *,
    categories: Callable[[], Iterable[Category]] = tuple,
    note: Callable[[str], None] | None = None,
) -> Written:
    """Write the kept annotations of ``records`` into ``directory`` in one of ``EXPORTERS``.

    An image that cannot be written is reported in ``problems``; the others are written. Files are
    replaced whole, so the same call gives the same files again.

    Args:
        records: The records, read one by one.
        format: A name of ``EXPORTERS``.
        directory: The output directory.
        options: How the dataset is written.
        categories: Returns the classes that the source has listed so far; called before each
            record and at the end, because an importer knows them only while it reads.
        note: Called with the path of each file, relative to ``directory``, before it is written.

    Raises:
        ValueError: The format is unknown.
    """
    format = current_target(format)
    if format not in EXPORTERS:
        raise ValueError(f"unknown format {format!r}; formats are {', '.join(EXPORTERS)}")
    output, written = ExportDirectory(directory, options or ExportOptions()), Written(directory)
    if note is not None:
        output.note = note
    exporter = EXPORTERS[format](output)
    names = UniqueFileNames(format in _IN_DIRECTORIES, format in _BY_SPLIT)
    declared = 0
    for record in records:
        listed = tuple(categories())
        if len(listed) != declared:
            output.classes.declare(listed)
            declared = len(listed)
        try:
            regions = exporter.add(
                record, names.assign(record.file_name or record.id, record.split)
            )
            if format not in _WITHOUT_CLASSES:
                _count(record, output, written)
            _count_dropped(record, format, written)
        except _UNWRITABLE as error:
            written.problems[record.id] = str(error)
            continue
        written.regions += regions
        written.images += 1
    output.classes.declare(categories())
    if written.images:
        written.files = exporter.finish()
        written.problems |= getattr(exporter, "problems", {})
    written.dropped += output.dropped
    return written


def _count(record: Record, output: ExportDirectory, written: Written) -> None:
    """Count the regions of a record that were skipped."""
    collected = collect_regions(record, output.classes)
    written.unmapped += collected.unmapped
    written.other_tasks += collected.other_tasks
    written.unusable += collected.unusable


def _count_dropped(record: Record, format: str, written: Written) -> None:
    """Count the answers of a record that the format cannot hold."""
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
