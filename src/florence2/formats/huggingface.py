"""Hugging Face ``datasets``: rows with an image column, and a mapping of the others.

Pictures are taken as the bytes that the data set stores; they are not encoded again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..records import Annotation, Category, LabeledObject, Record
from ..results import ImageSize
from .instances import (
    INSTANCE_TASKS,
    Instance,
    check_tasks,
    instance_annotations,
    label_objects,
)
from .pictures import SeenNames, picture_record, read_picture
from .problems import Intake, LabelError
from .prompts import written_annotation
from .regions import checked_box
from .splits import match_splits

Corners = tuple[float, float, float, float]
TASKS = tuple(task for task in INSTANCE_TASKS if task != "<REGION_TO_SEGMENTATION>")


@dataclass(frozen=True)
class Columns:
    """What the columns of a data set hold; a dot leads into a column of columns.

    Answers are ``suffix`` to the prompt in ``prefix``, or each of ``answers`` (column to prompt)
    with the text of ``question`` behind the prompt. Things are ``boxes`` and ``labels``, names or
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


def open_huggingface_splits(source: Path, split: str | None = None) -> dict[str | None, Any]:
    """The parts of a data set by their names: those that ``split`` means, all of them by default.

    A data set without splits is one part without a name. Raises ``ValueError`` when it has no such
    split.
    """
    found = _load(source)
    if not isinstance(found, dict):
        return {None: found}
    matching = tuple(found) if split is None else match_splits(split, found)
    if not matching:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(found)}")
    return {name: found[name] for name in matching}


def open_huggingface(source: Path, split: str | None = None) -> Any:
    """The ``datasets.Dataset`` saved in the folder ``source`` or kept in files that load there.

    Raises ``ValueError`` when there are several splits and none is chosen.
    """
    found = _load(source)
    if not isinstance(found, dict):
        return found
    names = list(found)
    if split is None and len(names) == 1:
        return found[names[0]]
    if split not in found:
        raise ValueError(f"{source} has the splits {', '.join(names)}; choose one, got {split!r}")
    return found[split]


def _load(source: Path) -> Any:
    import datasets

    saved = (source / "state.json").exists() or (source / "dataset_dict.json").exists()
    return datasets.load_from_disk(str(source)) if saved else datasets.load_dataset(str(source))


def read_huggingface(
    dataset: Any,
    place: Path,
    columns: Columns,
    intake: Intake,
    tasks: Sequence[str] = ("object-detection",),
    split: str | None = None,
    prefix: str = "",
) -> Iterator[Record]:
    """A record for each row whose picture can be read; ``place`` is what problems name.

    Lines of problems are row numbers from 1. ``tasks`` are asked of boxes. ``split`` is the one
    that ``dataset`` is; ``prefix`` stands before the names of its rows. Raises ``ValueError`` when
    the data set lacks a column.
    """
    import datasets

    for name in _named(columns):
        if name.split(".")[0] not in dataset.column_names:
            raise ValueError(f"there is no column {name!r}; there are {dataset.column_names}")
    tokens = check_tasks(tasks, TASKS)
    classes = _class_names(dataset.features, columns.labels)
    intake.declare([Category(name) for name in classes or ()])
    stored = dataset.cast_column(columns.image, datasets.Image(decode=False))
    seen = SeenNames()
    for number, row in enumerate(stored, start=1):
        with intake.listing(place, number):
            name = str(number - 1) if columns.id is None else str(_value(row, columns.id))
            seen.add(name, "id")
            record = _picture(row[columns.image], f"{prefix}{name}")
            written = _written(row, columns, record.image_size, place, number, intake)
            things: tuple[Annotation, ...] = ()
            objects: tuple[LabeledObject, ...] | None = None
            if columns.boxes is not None:
                found = _instances(row, columns, classes, record.image_size, place, number, intake)
                # A row of bad boxes only is not one that says nothing is there.
                if found or not _value(row, columns.boxes):
                    made = instance_annotations(found, record.image_size, tokens, intake.annotator)
                    things = intake.checked(made, record.image_size, place, number)
                    objects = label_objects(found, intake.annotator)
            yield replace(record, annotations=(*things, *written), objects=objects, split=split)


def _named(columns: Columns) -> list[str]:
    single = (columns.image, columns.id, columns.prefix, columns.suffix, columns.question)
    named = [*single, columns.boxes, columns.labels, *(columns.answers or ())]
    return [name for name in named if name is not None]


def _value(row: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name."""
    value: Any = row
    for part in name.split("."):
        value = value[part] if isinstance(value, Mapping) else [each[part] for each in value]
    return value


def _picture(stored: Mapping[str, Any] | None, name: str) -> Record:
    if stored is None:
        raise LabelError("missing-file", "the row has no picture")
    if stored["bytes"] is not None:
        return picture_record(stored["bytes"], name)
    return read_picture(Path(stored["path"]), name)


def _written(
    row: Mapping[str, Any],
    columns: Columns,
    image_size: ImageSize,
    place: Path,
    number: int,
    intake: Intake,
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
        with intake.listing(place, number):
            if not isinstance(prefix, str) or not isinstance(suffix, str):
                raise LabelError(
                    "malformed", f"a text is wanted, got {prefix!r} and {suffix!r:.80}"
                )
            if not suffix.strip():
                raise LabelError("empty-text", f"the answer to {prefix[:60]!r} is empty")
            annotation = written_annotation(prefix, suffix.strip(), image_size, intake)
            annotations += intake.checked([annotation], image_size, place, number)
    return annotations


def _instances(
    row: Mapping[str, Any],
    columns: Columns,
    classes: Sequence[str] | None,
    image_size: ImageSize,
    place: Path,
    number: int,
    intake: Intake,
) -> list[Instance]:
    boxes, labels = _value(row, columns.boxes or ""), _value(row, columns.labels or "")
    if len(boxes) != len(labels):
        raise LabelError("malformed", f"there are {len(boxes)} boxes and {len(labels)} labels")
    instances = []
    for corners, label in zip(boxes, labels, strict=True):
        with intake.listing(place, number):
            name = _class_name(label, classes)
            instances.append(
                Instance(name, checked_box(_xyxy(corners, columns.box_format), image_size))
            )
    return instances


def _xyxy(corners: Sequence[float], box_format: str) -> Sequence[float]:
    if box_format == "xyxy" or len(corners) != 4:
        return corners
    x, y, width, height = corners
    return x, y, x + width, y + height


def _class_name(label: Any, classes: Sequence[str] | None) -> str:
    if isinstance(label, str) and label:
        return label
    if isinstance(label, int) and classes is not None and 0 <= label < len(classes):
        return classes[label]
    raise LabelError("unknown-class", f"there is no class {label!r}")


def _class_names(features: Any, labels: str | None) -> list[str] | None:
    """The names of a column of class numbers, which lie in the features of the data set."""
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
