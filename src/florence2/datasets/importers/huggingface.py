"""Hugging Face ``datasets``: rows with an image column, and a mapping of the others.

Images are taken as the bytes that the dataset stores; they are not encoded again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...io.messages import find_near_miss
from ...results.records import Annotation, Category, LabeledObject, Record
from ...results.types import ImageSize
from .huggingface_files import open_huggingface, open_huggingface_splits
from .image_files import UniqueNameCheck, load_record, record_from_bytes
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations, label_objects
from .json_files import is_number
from .problems import ImportContext, LabelError, check_text
from .prompts import written_annotation
from .region_checks import are_fractions, checked_box

__all__ = [
    "TASKS",
    "Columns",
    "open_huggingface",
    "open_huggingface_splits",
    "read_huggingface",
]
Corners = tuple[float, float, float, float]
TASKS = tuple(task for task in INSTANCE_TASKS if task != "<REGION_TO_SEGMENTATION>")


@dataclass(frozen=True)
class Columns:
    """What the columns of a dataset hold; a dot leads into a column of columns.

    Answers are ``suffix`` to the prompt in ``prefix``, or each of ``answers`` (column to prompt)
    with the text of ``question`` behind the prompt. Objects are ``boxes`` and ``labels``, names or
    class numbers; ``box_format`` is ``"xyxy"`` or ``"xywh"``, in pixels.
    """

    image: str = "image"
    id: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    question: str | None = None
    answers: Mapping[str, str] | None = None
    boxes: str | None = None
    labels: str | None = None
    box_format: str = "xyxy"

    def __post_init__(self) -> None:
        if (self.prefix is None) != (self.suffix is None):
            raise ValueError(f"prefix and suffix go together: {self.prefix!r}, {self.suffix!r}")
        if (self.boxes is None) != (self.labels is None):
            raise ValueError(f"boxes and labels go together: {self.boxes!r}, {self.labels!r}")
        if self.box_format not in ("xyxy", "xywh"):
            raise ValueError(f"box_format is 'xyxy' or 'xywh', got {self.box_format!r}")
        if not (self.suffix or self.answers or self.boxes):
            raise ValueError("name the columns of the answers: suffix, answers, or boxes")


def read_huggingface(
    dataset: Any,
    source: Path,
    columns: Columns,
    context: ImportContext,
    tasks: Sequence[str] = ("object-detection",),
    split: str | None = None,
    prefix: str = "",
    root: Path | None = None,
) -> Iterator[Record]:
    """A record for each row whose image can be read; problems name ``source``.

    Lines of problems are row numbers from 1. ``tasks`` are made from boxes. ``split`` is the split
    of ``dataset``; ``prefix`` precedes the names of its rows. With ``root``, an image that is
    stored as a path is read only if it is in that directory. Raises ``ValueError`` when
    the dataset lacks a column, and when all of its boxes are fractions.
    """
    import datasets

    for name in _named(columns):
        _check_column(dataset.features, name)
    tokens = check_tasks(tasks, TASKS)
    classes = _class_names(dataset.features, columns.labels)
    try:
        stored = dataset.cast_column(columns.image, datasets.Image(decode=False))
    except (TypeError, ValueError) as error:  # ArrowInvalid is one
        kind = dataset.features[columns.image]
        raise ValueError(f"column {columns.image!r} holds no images but {kind}") from error
    if columns.boxes is not None:
        _refuse_fractions(stored, columns, source)
    context.declare([Category(name) for name in classes or ()])
    reader = _RowReader(source, columns, context, tokens, classes, root)
    return _read(stored, reader, split, prefix)


@dataclass(frozen=True)
class _RowReader:
    """What all rows of a dataset are read with."""

    source: Path
    columns: Columns
    context: ImportContext
    tokens: Sequence[str]
    classes: Sequence[str] | None
    root: Path | None


def _read(stored: Any, reader: _RowReader, split: str | None, prefix: str) -> Iterator[Record]:
    columns, context, source = reader.columns, reader.context, reader.source
    unique_names = UniqueNameCheck()
    for number, row in _rows(stored, source, context):
        with context.collect_errors(source, number):
            name = str(number - 1) if columns.id is None else str(_value(row, columns.id))
            unique_names.add(name, "id")
            record = _image_record(row[columns.image], f"{prefix}{name}", reader.root)
            written = _written(row, columns, record.image_size, source, number, context)
            labels: tuple[Annotation, ...] = ()
            objects: tuple[LabeledObject, ...] | None = None
            if columns.boxes is not None:
                found = _instances(row, reader, record.image_size, number)
                # A row with bad boxes only is not an image without objects.
                if found or not _value(row, columns.boxes):
                    made = instance_annotations(
                        found, record.image_size, reader.tokens, context.annotator
                    )
                    labels = context.keep_valid(made, record.image_size, source, number)
                    objects = label_objects(found, context.annotator)
            yield replace(record, annotations=(*labels, *written), objects=objects, split=split)


def _rows(
    stored: Any, source: Path, context: ImportContext
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows with their numbers. Rows from an unreadable one on are one problem."""
    rows = iter(stored)
    number = 0
    while True:
        number += 1
        try:
            row = next(rows, None)
        # Damaged data raises what Arrow and the decoders of the columns raise.
        except Exception as error:
            with context.collect_errors(source, number):
                raise LabelError(
                    "malformed", f"rows from {number} on cannot be read: {str(error)[:200]}"
                ) from error
            return
        if row is None:
            return
        yield number, row


def _refuse_fractions(stored: Any, columns: Columns, source: Path) -> None:
    """Raise ``ValueError`` when the boxes of the whole dataset are fractions of the images."""
    only = stored.select_columns([str(columns.boxes).split(".")[0]])

    def corners() -> Iterator[Sequence[float]]:
        for row in only:
            try:
                boxes = _value(row, str(columns.boxes)) or ()
                yield from (_xyxy(box, columns.box_format) for box in boxes)
            except (LabelError, TypeError, ValueError):  # listed when the row is read
                continue

    try:
        fractions = are_fractions(corners())
    except Exception:  # damaged rows are listed when they are read
        return
    if fractions:
        raise ValueError(
            f"{source}: all boxes of column {columns.boxes!r} are between 0 and 1, so they are "
            f"fractions of the images; {columns.box_format} boxes are in pixels: multiply x by the "
            "width of the image and y by its height"
        )


def _check_column(features: Any, name: str) -> None:
    """Raise ``ValueError`` when there is no column of the dotted name."""
    feature = features
    for index, part in enumerate(name.split(".")):
        while not isinstance(feature, Mapping):
            inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
            if inner is None:
                break
            feature = inner
        names = list(feature) if isinstance(feature, Mapping) else []
        if part not in names:
            above = ".".join(name.split(".")[:index])
            inside = f" in {above!r}" if above else ""
            near = find_near_miss(part, names)
            hint = f"; did you mean {'.'.join(filter(None, (above, near)))!r}?" if near else ""
            raise ValueError(f"there is no column {name!r}; there are {names}{inside}{hint}")
        feature = feature[part]


def _named(columns: Columns) -> list[str]:
    single = (columns.image, columns.id, columns.prefix, columns.suffix, columns.question)
    named = [*single, columns.boxes, columns.labels, *(columns.answers or ())]
    return [name for name in named if name is not None]


def _value(row: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name. Raises ``LabelError`` where a row lacks a part of it."""
    value: Any = row
    for part in name.split("."):
        try:
            value = value[part] if isinstance(value, Mapping) else [item[part] for item in value]
        except (TypeError, KeyError) as error:
            raise LabelError("malformed", f"the row has nothing at {name!r}") from error
    return value


def _image_record(stored: Mapping[str, Any] | None, name: str, root: Path | None) -> Record:
    if stored is None:
        raise LabelError("missing-file", "the row has no image")
    if stored["bytes"] is not None:
        return record_from_bytes(stored["bytes"], name)
    if not stored["path"]:
        raise LabelError("missing-file", "the row has neither the bytes of an image nor its path")
    path = Path(stored["path"]) if root is None else root / stored["path"]
    if root is not None and not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(root)):
        raise LabelError(
            "missing-file", f"the image {stored['path']!r:.200} is outside {root} and is not read"
        )
    return load_record(path, name)


def _written(
    row: Mapping[str, Any],
    columns: Columns,
    image_size: ImageSize,
    source: Path,
    number: int,
    context: ImportContext,
) -> list[Annotation]:
    """The annotations of the columns that hold written answers."""
    pairs = []
    if columns.prefix is not None and columns.suffix is not None:
        pairs.append((_value(row, columns.prefix), _value(row, columns.suffix)))
    question = "" if columns.question is None else _value(row, columns.question)
    for column, prompt in (columns.answers or {}).items():
        answers = _value(row, column)
        pairs += [
            (f"{prompt}{question}", answer)
            for answer in (answers if isinstance(answers, list) else [answers])
        ]
    annotations: list[Annotation] = []
    for prefix, suffix in pairs:
        with context.collect_errors(source, number):
            if not isinstance(prefix, str) or not isinstance(suffix, str):
                raise LabelError(
                    "malformed", f"expected a text, got {prefix!r:.80} and {suffix!r:.80}"
                )
            if not suffix.strip():
                raise LabelError("empty-text", f"the answer to {prefix[:60]!r} is empty")
            annotation = written_annotation(prefix, suffix.strip(), image_size, context)
            annotations += context.keep_valid([annotation], image_size, source, number)
    return annotations


def _instances(
    row: Mapping[str, Any], reader: _RowReader, image_size: ImageSize, number: int
) -> list[Instance]:
    columns = reader.columns
    boxes, labels = _value(row, columns.boxes or ""), _value(row, columns.labels or "")
    if not isinstance(boxes, list | type(None)) or not isinstance(labels, list | type(None)):
        raise LabelError("malformed", f"boxes and labels are lists, got {boxes!r:.60}")
    boxes, labels = boxes or [], labels or []
    if len(boxes) != len(labels):
        raise LabelError("malformed", f"there are {len(boxes)} boxes and {len(labels)} labels")
    instances = []
    for corners, label in zip(boxes, labels, strict=True):
        with reader.context.collect_errors(reader.source, number):
            name = check_text(_class_name(label, reader.classes), "a label")
            if not isinstance(corners, list) or not all(map(is_number, corners)):
                raise LabelError("malformed", f"a box is four numbers, got {corners!r:.80}")
            box = checked_box(_xyxy(corners, columns.box_format), image_size)
            instances.append(Instance(name, box))
    return instances


def _xyxy(corners: Sequence[float], box_format: str) -> Sequence[float]:
    if box_format == "xyxy" or len(corners) != 4:
        return corners
    x, y, width, height = corners
    return x, y, x + width, y + height


def _class_name(label: Any, classes: Sequence[str] | None) -> str:
    if isinstance(label, str) and label:
        return label
    number = isinstance(label, int) and not isinstance(label, bool)
    if number and classes is not None and 0 <= label < len(classes):
        return classes[label]
    known = "the column has no class names" if classes is None else f"there are {len(classes)}"
    raise LabelError("unknown-class", f"there is no class {label!r:.80}; {known}")


def _class_names(features: Any, labels: str | None) -> list[str] | None:
    """The class names of a column of class numbers, from the features of the dataset."""
    if labels is None:
        return None
    feature = features
    for part in labels.split("."):
        while not isinstance(feature, Mapping):
            feature = feature[0] if isinstance(feature, list) else feature.feature
        feature = feature[part]
    while not hasattr(feature, "names"):
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
        if inner is None:
            return None
        feature = inner
    return list(feature.names)
