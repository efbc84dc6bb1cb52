"""Writers by name, and the one function that writes a set with any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from ...records import Record
from .coco import CocoWriter
from .contents import OutputNames, left_out
from .cvat import CvatWriter
from .label_studio import LabelStudioWriter
from .output import Options, Output, Writer, Written
from .pages import HocrWriter, PdfWriter
from .rows import CsvWriter, JsonLinesWriter
from .sidecars import SidecarWriter
from .voc import VocWriter
from .yolo import YoloWriter

WRITERS: dict[str, Callable[[Output], Writer]] = {
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
# Those whose files lie in the folders that the pictures lay in.
_IN_FOLDERS = ("sidecars", "hocr", "pdf")


def write_records(
    records: Iterable[Record], format: str, folder: Path, options: Options | None = None
) -> Written:
    """Write what is kept of ``records`` into ``folder`` in one of ``WRITERS``.

    A picture that cannot be written is listed in ``problems`` and the others go on. Files are
    replaced whole, so that the same call again gives the same files. Raises ``ValueError`` for an
    unknown format.
    """
    if format not in WRITERS:
        raise ValueError(f"unknown format {format!r}; formats are {', '.join(WRITERS)}")
    output, written = Output(folder, options or Options()), Written(folder)
    writer, names = WRITERS[format](output), OutputNames(folders=format in _IN_FOLDERS)
    for record in records:
        try:
            written.regions += writer.add(record, names.of(record.id))
        except (OSError, ValueError) as error:
            written.problems[record.id] = str(error)
            continue
        written.pictures += 1
        written.left_out += left_out(record, output.classes)
    written.files = writer.finish()
    return written
