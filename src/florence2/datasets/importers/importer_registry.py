"""The importers by format name, and the function that reads records with one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ...results.records import Record, content_hash
from ..import_config import FORMATS
from ..shards import ShardDataset
from .coco import find_coco, read_coco
from .csv import CsvColumns, read_csv_prompts
from .cvat import find_cvat, read_cvat
from .huggingface import Columns, open_huggingface_splits, read_huggingface
from .jsonl import find_jsonl, read_jsonl
from .label_studio import find_label_studio, read_label_studio
from .prediction_lines import find_prediction_file, is_prediction_file, read_predictions
from .prediction_rows import CSV_FILE, is_prediction_csv, read_prediction_csv
from .problems import ImportContext, LabelError
from .record_selection import select_records
from .sidecars import read_sidecars
from .voc import find_voc, read_voc
from .yolo import find_yolo, read_yolo


@dataclass(frozen=True)
class ImportOptions:
    """What of a dataset is read. Options that do not apply to the format are refused.

    Attributes:
        tasks: Tasks made from boxes, polygons and captions (COCO, YOLO, VOC, CVAT, Label Studio,
            boxes of Hugging Face datasets), or taken from shards and predictions.
        split: One split of the dataset; all by default.
        images: The directory of the images; by default where the format has them.
        prompt: The prompt of CSV rows and sidecar texts.
        csv_columns: The columns of a CSV file.
        columns: The columns of a Hugging Face dataset.
    """

    tasks: tuple[str, ...] | None = None
    split: str | None = None
    images: Path | None = None
    prompt: str | None = None
    csv_columns: CsvColumns = field(default_factory=CsvColumns)
    columns: Columns | None = None


def read_records(
    source: Path, format: str, reading: ImportOptions, context: ImportContext
) -> Iterator[Record]:
    """The records of a dataset in one of ``FORMATS``, or of ``"shards"``.

    Problems go to ``context``. Raises ``ValueError`` for an unknown format, and for a set option of
    ``reading`` that does not apply to the format.
    """
    if format not in IMPORTERS:
        raise ValueError(f"unknown format {format!r}; formats are {', '.join(FORMATS)}")
    unused = unused_options(format, reading)
    if unused:
        raise ValueError(f"{unused[0]!r} does not apply to format {format!r}: leave it out")
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist: name a dataset's directory or file")
    if reading.images is not None and not reading.images.is_dir():
        raise ValueError(f"{reading.images} (--images) is not a directory: name that of the images")
    return IMPORTERS[format](source, reading, context)


def unused_options(format: str, reading: ImportOptions) -> tuple[str, ...]:
    """The set options of ``reading`` that do not apply to ``format``."""
    given = [name for name in _TAKEN_BY if getattr(reading, name)]
    return tuple(name for name in given if format not in _TAKEN_BY[name])


def _tasks(reading: ImportOptions) -> dict[str, Any]:
    """The argument ``tasks`` if it was set: each importer has its own default."""
    return {} if reading.tasks is None else {"tasks": reading.tasks}


def _prompt(reading: ImportOptions) -> dict[str, Any]:
    return {} if reading.prompt is None else {"prompt": reading.prompt}


def _coco(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    root = source.parent if source.is_file() else source
    parts = find_coco(source, reading.split)
    return read_coco(parts, root, context, images=reading.images, **_tasks(reading))


def _yolo(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_yolo(
        find_yolo(source), context, split=reading.split, images=reading.images, **_tasks(reading)
    )


def _voc(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    files = find_voc(source, reading.split)
    return read_voc(files, source, context, images=reading.images, **_tasks(reading))


def _jsonl(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    root = source.parent if source.is_file() else source
    read: list[Iterator[Record]] = []
    for file in find_jsonl(source, reading.split):
        if is_prediction_file(file):
            read.append(_answers(file, ImportOptions(), context))
        else:
            read.append(read_jsonl(file, root, context, reading.images))
    return chain.from_iterable(read)


def _csv(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    rows = source / CSV_FILE if source.is_dir() else source
    if is_prediction_csv(rows):
        return read_prediction_csv(rows, context)
    if source.is_dir():
        raise ValueError(f"{source} is a directory: name the CSV file in it")
    return read_csv_prompts(
        source,
        source.parent,
        context,
        columns=reading.csv_columns,
        images=reading.images,
        split=reading.split,
        **_prompt(reading),
    )


def _sidecars(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_sidecars(source, context, **_prompt(reading))


def _huggingface(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    if reading.columns is None:
        raise ValueError(
            "the meaning of the columns is missing: pass ImportOptions(columns=Columns(...))"
        )
    if reading.tasks is not None and reading.columns.boxes is None:
        raise ValueError("--task needs boxes: name their column (--column boxes=NAME)")
    root = source.parent if source.is_file() else source
    parts = open_huggingface_splits(source, reading.split)
    read = []
    for split, dataset in parts.items():
        prefix = f"{split}/" if len(parts) > 1 else ""
        read.append(
            read_huggingface(
                dataset,
                source,
                reading.columns,
                context,
                split=split,
                prefix=prefix,
                root=root,
                **_tasks(reading),
            )
        )
    return chain.from_iterable(read)


def _cvat(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_cvat(
        find_cvat(source), context, split=reading.split, images=reading.images, **_tasks(reading)
    )


def _label_studio(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    return read_label_studio(
        find_label_studio(source),
        context,
        split=reading.split,
        images=reading.images,
        **_tasks(reading),
    )


def _shards(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    dataset = ShardDataset(source)
    context.declare(dataset.manifest.categories)
    return select_records(dataset, source, reading.tasks, reading.split)


def _answers(source: Path, reading: ImportOptions, context: ImportContext) -> Iterator[Record]:
    found = read_predictions(find_prediction_file(source), context)
    for record in select_records(found, source, reading.tasks, reading.split):
        with context.collect_errors(source, item=record.id):
            if not record.sha256:
                raise LabelError("missing-file", f"the image {record.path} is missing")
            try:
                content = record.image_bytes()
            except (OSError, ValueError) as error:
                raise LabelError("broken-image", f"the image cannot be read: {error}") from error
            yield replace(record, image=content, path=record.id, sha256=content_hash(content))


IMPORTERS: dict[str, Callable[[Path, ImportOptions, ImportContext], Iterator[Record]]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "jsonl": _jsonl,
    "csv": _csv,
    "sidecars": _sidecars,
    "huggingface": _huggingface,
    "answers": _answers,
    "cvat": _cvat,
    "label-studio": _label_studio,
    "shards": _shards,
}
_OBJECTS = ("coco", "yolo", "voc", "cvat", "label-studio", "huggingface")
_TAKEN_BY: dict[str, tuple[str, ...]] = {
    "tasks": (*_OBJECTS, "answers", "shards"),
    "split": (*_OBJECTS, "jsonl", "csv", "answers", "shards"),
    "images": ("coco", "yolo", "voc", "jsonl", "csv", "cvat", "label-studio"),
    "prompt": ("csv", "sidecars"),
}
