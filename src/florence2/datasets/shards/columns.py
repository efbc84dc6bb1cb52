"""The columns of a shard, and a record as a row of them.

The image column is the pair of bytes and path that Hugging Face ``datasets`` reads as an image, as
the schema's metadata declares. Coordinates are float32 pixels, as in the answers themselves. The
fields of an image in the source dataset (its objects in full precision, ids, attributes) is JSON in
one column. Shards of earlier releases lack that column, ``split`` and ``file_name``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ...results.records import (
    Annotation,
    Annotator,
    FilterDecision,
    Record,
    source_fields,
    source_values,
)
from ...results.types import Answer, Boxes, ImageSize, Polygons, Quads, Regions, Text

SCHEMA_VERSION = 1
VERSION_KEY = b"florence2.schema"

Row = dict[str, Any]

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_POINTS = pa.list_(pa.float32())
_ANSWER = pa.struct(
    [
        ("kind", pa.string()),
        ("text", pa.string()),
        ("text_score", pa.float64()),
        ("boxes", pa.list_(_POINTS)),  # x0, y0, x1, y1
        ("quads", pa.list_(_POINTS)),  # four corners, x and y in turn
        ("polygons", pa.list_(pa.list_(_POINTS))),  # instance, part, x and y in turn
        ("labels", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("label_scores", pa.list_(pa.float32())),
    ]
)
_ANNOTATION = pa.struct(
    [
        ("task", pa.string()),
        ("text", pa.string()),
        ("region", pa.list_(pa.float64())),
        ("answer", _ANSWER),
        (
            "annotator",
            pa.struct(
                [("name", pa.string()), ("version", pa.string()), ("checkpoint", pa.string())]
            ),
        ),
        ("score", pa.float64()),
        ("round", pa.int32()),
        ("verdict", pa.struct([("keep", pa.bool_()), ("reason", pa.string())])),
    ]
)
# The type of a column of annotations, as shards and other tables hold them.
ANNOTATIONS = pa.list_(_ANNOTATION)
_HUGGING_FACE = {"info": {"features": {"image": {"_type": "Image"}}}}

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", _IMAGE),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("annotations", ANNOTATIONS),
        ("split", pa.string()),
        ("file_name", pa.string()),
        ("source", pa.string()),  # JSON: image id, attributes and objects of the source dataset
    ],
    metadata={
        b"huggingface": json.dumps(_HUGGING_FACE).encode(),
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
    },
)


def check_version(metadata: Mapping[bytes, bytes] | None) -> None:
    """Raise ``ValueError`` when a file's schema metadata is of no version this code reads."""
    found = (metadata or {}).get(VERSION_KEY)
    if found is None:
        raise ValueError("the file is not a shard: its schema has no florence2 version")
    if found != str(SCHEMA_VERSION).encode():
        raise ValueError(
            f"the shard has schema version {found.decode()}, this florence2 reads "
            f"{SCHEMA_VERSION}: read it with the release that wrote it"
        )


def to_row(record: Record) -> Row:
    """The record as a row of ``SCHEMA``; ``from_row`` is the inverse."""
    return {
        "id": record.id,
        "image": {"bytes": record.image, "path": record.path},
        "width": record.width,
        "height": record.height,
        "sha256": record.sha256,
        "annotations": annotation_rows(record.annotations),
        "split": record.split,
        "file_name": record.file_name,
        "source": _source_to_json(record),
    }


def annotation_rows(annotations: Iterable[Annotation]) -> list[Row]:
    """Annotations as a value of type ``ANNOTATIONS``; ``annotations_from_row`` reads them."""
    return [_annotation_row(annotation) for annotation in annotations]


def from_row(row: Row) -> Record:
    """The record that ``to_row`` made ``row`` from."""
    return Record(
        id=row["id"],
        width=row["width"],
        height=row["height"],
        sha256=row["sha256"],
        image=row["image"]["bytes"],
        path=row["image"]["path"],
        annotations=annotations_from_row(row),
        split=row.get("split"),
        file_name=row.get("file_name"),
        **source_fields(json.loads(row.get("source") or "{}")),
    )


def annotations_from_row(row: Row) -> tuple[Annotation, ...]:
    """The annotations alone; the row needs no image column."""
    image_size = (row["width"], row["height"])
    return tuple(_annotation(values, image_size) for values in row["annotations"])


def _source_to_json(record: Record) -> str | None:
    values = source_values(record)
    return json.dumps(values) if values else None


def with_bytes(record: Record) -> Record:
    """The record holding its image's bytes, as a shard stores it."""
    return record if record.image is not None else replace(record, image=record.image_bytes())


def _annotation_row(annotation: Annotation) -> Row:
    annotator, decision = annotation.annotator, annotation.decision
    return {
        "task": annotation.task,
        "text": annotation.text,
        "region": None if annotation.region is None else list(annotation.region),
        "answer": _answer_row(annotation.answer),
        "annotator": {
            "name": annotator.name,
            "version": annotator.version,
            "checkpoint": annotator.checkpoint,
        },
        "score": annotation.score,
        "round": annotation.round,
        "verdict": {"keep": decision.kept, "reason": decision.reason},
    }


def _annotation(values: Row, image_size: ImageSize) -> Annotation:
    region = values["region"]
    return Annotation(
        task=values["task"],
        text=values["text"],
        region=None if region is None else (region[0], region[1], region[2], region[3]),
        answer=_answer(values["answer"], image_size),
        annotator=Annotator(**values["annotator"]),
        score=values["score"],
        round=values["round"],
        decision=FilterDecision(values["verdict"]["keep"], values["verdict"]["reason"]),
    )


def _answer_row(answer: Answer) -> Row:
    row: Row = dict.fromkeys(field.name for field in _ANSWER)
    if isinstance(answer, Text):
        return row | {"kind": "text", "text": answer.text, "text_score": answer.score}
    row["labels"] = list(answer.labels)
    row["scores"] = None if answer.scores is None else answer.scores.tolist()
    row["label_scores"] = None if answer.label_scores is None else answer.label_scores.tolist()
    if isinstance(answer, Boxes):
        return row | {"kind": "boxes", "boxes": answer.xyxy.tolist()}
    if isinstance(answer, Quads):
        return row | {"kind": "quads", "quads": answer.corners.reshape(-1, 8).tolist()}
    parts = [[part.reshape(-1).tolist() for part in parts] for parts in answer.polygons]
    return row | {"kind": "polygons", "polygons": parts}


def _answer(row: Row, image_size: ImageSize) -> Answer:
    kind = row["kind"]
    if kind == "text":
        return Text(row["text"], row["text_score"])
    makers: dict[str, Callable[..., Regions]] = {
        "boxes": Boxes,
        "quads": Quads,
        "polygons": Polygons,
    }
    if kind not in makers:
        raise ValueError(f"an answer is text, boxes, quads or polygons, got kind {kind!r}")
    if kind == "quads":
        coordinates: list[Any] = [_points(quad) for quad in row["quads"]]
    elif kind == "polygons":
        coordinates = [[_points(part) for part in parts] for parts in row["polygons"]]
    else:
        coordinates = row["boxes"]
    return makers[kind](coordinates, row["labels"], image_size, row["scores"], row["label_scores"])


def _points(flat: list[float]) -> list[list[float]]:
    return [flat[start : start + 2] for start in range(0, len(flat), 2)]
