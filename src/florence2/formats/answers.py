"""Answer lines, as ``florence2 run`` writes them: one JSON object for one question about one image.

``{"image", "task", "text" or "region", "image_size", "answer", "truncated"}``, or ``"error"`` in
place of an answer. Lines of other annotators hold ``annotator``, ``score`` and ``round`` besides.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..containers import parse_unit_name, read_unit_png
from ..durable import whole_lines
from ..io.files import open_regular
from ..records import Annotation, Annotator, Record, content_hash
from ..results import Answer, Boxes, ImageSize, Polygons, Quads, Result, Text
from .json_files import parse_json_object, text_field
from .problems import Intake, LabelError

ANSWERS = "answers.jsonl"


def answer_line(record: Record, annotation: Annotation) -> dict[str, Any]:
    """The line of an annotation of a record."""
    line: dict[str, Any] = {"image": record.path or record.id, "task": annotation.task}
    if annotation.region is not None:
        line["region"] = list(annotation.region)
    elif annotation.text:
        line["text"] = annotation.text
    result = Result(annotation.table_task, "", annotation.answer, record.image_size)
    line |= {"image_size": list(record.image_size), "answer": result.value}
    if annotation.annotator.name:
        line["annotator"] = annotation.annotator.name
    if annotation.score is not None:
        line["score"] = annotation.score
    if annotation.round:
        line["round"] = annotation.round
    return line


def find_answers(source: Path) -> Path:
    """The file of lines: ``source`` itself, or ``answers.jsonl`` in it."""
    file = source / ANSWERS if source.is_dir() else source
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: a run with --out writes it")
    return file


def read_answers(file: Path, intake: Intake, annotator: str = "florence2") -> Iterator[Record]:
    """A record for each picture that the lines speak of, in the order they come by.

    Pictures stay where they lie; their ids are their paths from the folder that holds them all.
    Errors of the run are listed as problems, and so are lines that make no sense.
    """
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, content in enumerate(whole_lines(file), start=1):
        with intake.listing(file, number):
            line = parse_json_object(content)
            image = text_field(line, "image")
            if "error" in line:
                raise LabelError("broken-image", f"{image} was not answered: {line['error']}")
            found.setdefault(image, []).append((number, line))
    root = _common_folder(found)
    for image, lines in found.items():
        size = _size(lines[0][1])
        annotations = []
        for number, line in lines:
            with intake.listing(file, number, item=image):
                annotations.append(read_line(line, annotator))
        with intake.listing(file, item=image):
            if size is None:
                raise LabelError("malformed", f"image_size is missing, got {lines[0][1]!r:.80}")
            yield _record(image, root, size, tuple(annotations))


def read_line(line: dict[str, Any], annotator: str = "florence2") -> Annotation:
    """The annotation that a line holds. Raises ``LabelError`` when it holds none."""
    size = _size(line)
    task = text_field(line, "task")
    if size is None or "answer" not in line:
        raise LabelError("malformed", f"a line needs image_size and answer, got {line!r:.80}")
    try:
        text = line.get("text", "")
        return Annotation(
            task,
            answer_of(line["answer"], size),
            text=", ".join(text) if isinstance(text, list) else str(text),
            region=tuple(line["region"]) if "region" in line else None,
            annotator=Annotator(str(line.get("annotator", annotator))),
            score=line.get("score"),
            round=int(line.get("round", 0)),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise LabelError("malformed", f"the answer to {task} is not one: {error}") from error


def answer_of(value: Any, size: ImageSize) -> Answer:
    """The answer that ``Result.to_dict`` wrote. Raises ``ValueError`` or ``KeyError``."""
    if isinstance(value, str):
        return Text(value)
    if not isinstance(value, dict):
        raise ValueError(f"an answer is a text or an object, got {value!r:.80}")
    known = {key: value[key] for key in ("scores", "label_scores") if key in value}
    if "bboxes_labels" in value:
        if value["polygons_labels"]:
            scores = value.get("polygons_scores")
            return Polygons(_parts(value["polygons"]), value["polygons_labels"], size, scores)
        return Boxes(value["bboxes"], value["bboxes_labels"], size, **known)
    if "quad_boxes" in value:
        corners = np.asarray(value["quad_boxes"], np.float32).reshape(-1, 4, 2)
        return Quads(corners, value["labels"], size, **known)
    if "polygons" in value:
        return Polygons(_parts(value["polygons"]), value["labels"], size, **known)
    return Boxes(value["bboxes"], value["labels"], size, **known)


def _parts(polygons: Any) -> list[list[Any]]:
    return [[np.asarray(part, np.float32).reshape(-1, 2) for part in parts] for parts in polygons]


def _size(line: dict[str, Any]) -> ImageSize | None:
    size = line.get("image_size")
    if not isinstance(size, list) or len(size) != 2:
        return None
    return int(size[0]), int(size[1])


def _record(image: str, root: str, size: ImageSize, annotations: tuple[Annotation, ...]) -> Record:
    """The record of an image file, or of a page or frame, which is rendered when it is needed."""
    unit = parse_unit_name(image)
    name = _name(unit.file_name, root)
    if unit.file == image:
        return Record(name, *size, _hash(image), path=image, annotations=annotations)
    # No file has these bytes: the unit is known by its container and its place in it.
    found = _hash(unit.file)
    identity = content_hash(f"{found}{unit.name[len(unit.file) :]}".encode()) if found else ""
    return Record(
        f"{name}.png", *size, identity, path=image, annotations=annotations,
        image_loader=partial(read_unit_png, image),
    )  # fmt: skip


def _common_folder(images: Iterable[str]) -> str:
    local = [os.path.abspath(parse_unit_name(image).file) for image in images if "://" not in image]
    return os.path.commonpath([os.path.dirname(each) for each in local]) if local else ""


def _name(image: str, root: str) -> str:
    if "://" in image:
        return image
    return Path(os.path.relpath(os.path.abspath(image), root)).as_posix()


def _hash(file: str) -> str:
    """The hash of a file; of nothing where it is gone, which its readers notice."""
    try:
        return _file_hash(file, os.stat(file).st_mtime_ns)
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=16)
def _file_hash(file: str, modified: int) -> str:
    """The hash of a file, once for all of its pages."""
    del modified
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
