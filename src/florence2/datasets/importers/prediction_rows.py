"""``answers.csv`` as our own writer makes it: a row for each region and each text.

Rows without a task are objects of the dataset that the file was made from; the others are answers.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ...results.records import (
    Annotation,
    Annotator,
    Category,
    LabeledObject,
    Record,
    SourceId,
)
from ...results.types import Answer, Boxes, ImageSize, Polygons, Quads, Text
from .image_files import UniqueNameCheck, load_record
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations
from .problems import ImportContext, LabelError
from .region_checks import checked_box, checked_polygon

CSV_FILE = "answers.csv"
CLASSES_FILE = "classes.json"
COLUMNS = (
    "image",
    "width",
    "height",
    "task",
    "question",
    "class",
    "text",
    "x0",
    "y0",
    "x1",
    "y1",
    "score",
    "outlines",
    "annotator",
    "round",
    "split",
    "file_name",
    "image_id",
    "category_id",
    "object_id",
    "attributes",
)
_MARKS = ("image", "task", "class", "x0", "outlines")
_Row = tuple[int, dict[str, str]]


def is_prediction_csv(file: Path) -> bool:
    """Whether a CSV file has the columns of ``answers.csv``."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            return set(_MARKS) <= set(next(csv.reader(stream), []))
    except (OSError, csv.Error):
        return False


def read_prediction_csv(
    file: Path, context: ImportContext, tasks: Sequence[str] = ("object-detection",)
) -> Iterator[Record]:
    """A record for each image, its objects and its predictions; images are beside the file.

    ``tasks`` are made from the objects. Invalid rows are reported.
    """
    tokens = check_tasks(tasks, INSTANCE_TASKS)
    context.declare(_categories(file.with_name(CLASSES_FILE), context))
    unique_images = UniqueNameCheck()
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.DictReader(stream)
        numbered = (
            (reader.line_num, {key: row.get(key) or "" for key in COLUMNS}) for row in reader
        )
        for image, group in groupby(numbered, key=lambda item: item[1]["image"]):
            rows = list(group)
            with context.collect_errors(file, rows[0][0]):
                if not image:
                    raise LabelError("malformed", "the row names no image")
                unique_images.add(image, "the rows of image")
                record = load_record(_path(image, file), _name(image, rows[0][1]))
                yield _record(record, rows, file, tokens, context)


def _record(
    record: Record, rows: list[_Row], file: Path, tokens: Sequence[str], context: ImportContext
) -> Record:
    first, size = rows[0][1], record.image_size
    instances: list[Instance] = []
    for line, row in rows:
        if not row["task"] and row["x0"]:
            with context.collect_errors(file, line):
                instances.append(_instance(row, size))
    labels = any(not row["task"] and row["round"] for _, row in rows)
    objects = (
        tuple(_object(instance, context.annotator) for instance in instances) if labels else None
    )
    made: list[Annotation] = []
    if labels:
        made += context.keep_valid(
            instance_annotations(instances, size, tokens, context.annotator), size, file, rows[0][0]
        )
    with_task = ((line, row) for line, row in rows if row["task"])
    keys = ("task", "question", "annotator", "round")
    for _, group in groupby(with_task, key=lambda item: [item[1][key] for key in keys]):
        answers = list(group)
        with context.collect_errors(file, answers[0][0]):
            made += context.keep_valid([_annotation(answers, size)], size, file, answers[0][0])
    return replace(
        record,
        annotations=tuple(made),
        objects=objects,
        split=first["split"] or None,
        file_name=first["file_name"] or None,
        source_id=_id(first["image_id"]),
    )


def _object(instance: Instance, annotator: Annotator) -> LabeledObject:
    from .instances import label_objects

    return label_objects([instance], annotator)[0]


def _instance(row: dict[str, str], size: ImageSize) -> Instance:
    parts = _outlines(row)
    attributes = _json(row["attributes"], "attributes") if row["attributes"] else {}
    if not isinstance(attributes, dict):
        raise LabelError("malformed", f"'attributes' should be an object, got {attributes!r:.80}")
    return Instance(
        row["class"],
        checked_box(_box(row), size),
        tuple(
            checked_polygon(np.asarray(part, float).reshape(-1).tolist(), size) for part in parts
        ),
        category_id=_id(row["category_id"]),
        id=_id(row["object_id"]),
        score=_number(row["score"], "score") if row["score"] else None,
        attributes=attributes,
        crowd=attributes.get("iscrowd") not in (None, 0),
    )


def _annotation(rows: list[_Row], size: ImageSize) -> Annotation:
    first = rows[0][1]
    answer = _answer([row for _, row in rows], size)
    scores = {row["score"] for _, row in rows}
    alone = isinstance(answer, Text) and scores != {""}
    question: str | None = first["question"]
    region = _region(first["question"]) if first["task"].startswith("<REGION_TO") else None
    try:
        return Annotation(
            first["task"],
            answer,
            "" if region else question or "",
            region,
            Annotator(first["annotator"] or "florence2"),
            _number(first["score"], "score") if alone else None,
            int(first["round"] or 0),
        )
    except ValueError as error:
        raise LabelError(
            "malformed", f"the answer to {first['task']} is not one: {error}"
        ) from error


def _answer(rows: list[dict[str, str]], size: ImageSize) -> Answer:
    if not rows[0]["x0"]:
        return Text(rows[0]["text"])
    given = [row["score"] for row in rows]
    scores = [_number(text, "score") for text in given] if all(given) else None
    if rows[0]["task"] == "<OCR_WITH_REGION>":
        quads = [np.asarray(_outlines(row)[0], np.float32).reshape(4, 2) for row in rows]
        return Quads(quads, [row["text"] for row in rows], size, scores)
    labels = [row["class"] for row in rows]
    if all(row["outlines"] for row in rows):
        return Polygons([_outlines(row) for row in rows], labels, size, scores)
    return Boxes([_box(row) for row in rows], labels, size, scores)


def _outlines(row: dict[str, str]) -> list[Any]:
    parts = _json(row["outlines"], "outlines") if row["outlines"] else []
    if not isinstance(parts, list):
        raise LabelError("malformed", f"'outlines' should be a list, got {parts!r:.80}")
    return parts


def _box(row: dict[str, str]) -> list[float]:
    return [_number(row[key], key) for key in ("x0", "y0", "x1", "y1")]


def _region(text: str) -> tuple[float, float, float, float] | None:
    values = text.split()
    if len(values) != 4:
        return None
    x0, y0, x1, y1 = (_number(value, "question") for value in values)
    return x0, y0, x1, y1


def _number(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise LabelError(
            "malformed", f"{column!r} should be a number, got {text[:80]!r}"
        ) from error


def _json(text: str, column: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelError("malformed", f"{column!r} is not JSON: {error}") from error


def _id(text: str) -> SourceId | None:
    if not text:
        return None
    whole = text.isascii() and text.isdigit() and len(text) < 19
    # "007" is a text: as a number it would be another id.
    return int(text) if whole and str(int(text)) == text else text


def _path(image: str, file: Path) -> Path:
    beside = file.parent / image
    return beside if beside.is_file() else Path(image)


def _name(image: str, row: dict[str, str]) -> str:
    return row["file_name"] or image


def _categories(file: Path, context: ImportContext) -> list[Category]:
    if not file.is_file():
        return []
    with context.collect_errors(file):
        try:
            listed = json.loads(file.read_text("utf-8"))
            return [Category(**category) for category in listed]
        except (ValueError, TypeError, OSError) as error:
            raise LabelError("malformed", f"no list of classes: {error}") from error
    return []
