"""Prediction lines, as ``florence2 run`` writes them: one JSON object per request and image.

``{"image", "task", "text" or "region", "image_size", "answer", "truncated"}``, or ``"error"``
instead of an answer. Lines of other annotators also have ``annotator``, ``score`` and ``round``. A
line without a task has the fields of its image in the source dataset. A first line
``{"categories", "base"}`` lists the classes; with the base ``"file"``, images are beside the file.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from ...io.atomic import complete_lines
from ...io.files import open_regular, read_json
from ...processing.containers import parse_unit_name, read_unit_png
from ...processing.containers.unit_names import Unit
from ...results.json_form import answer_from_json, answer_to_json
from ...results.records import (
    Annotation,
    Annotator,
    Category,
    Record,
    content_hash,
    source_fields,
    source_values,
)
from ...results.types import ImageSize, Text
from .json_files import parse_json_object, text_field
from .problems import ImportContext, LabelError

PREDICTIONS_FILE = "answers.jsonl"
_MAX_SIDE = 2**31
_MAX_LINE = 64 * 1024**2


def annotation_to_line(record: Record, annotation: Annotation) -> dict[str, Any]:
    """The line of an annotation of a record."""
    line: dict[str, Any] = {"image": record.path or record.id, "task": annotation.task}
    if annotation.region is not None:
        line["region"] = list(annotation.region)
    elif annotation.text:
        line["text"] = annotation.text
    data = answer_to_json(annotation.answer, annotation.task_definition)
    line |= {"image_size": list(record.image_size), "answer": data}
    if annotation.annotator.name:
        line["annotator"] = annotation.annotator.name
    if annotation.score is not None:
        line["score"] = annotation.score
    if annotation.round:
        line["round"] = annotation.round
    return line


def find_prediction_file(source: Path) -> Path:
    """The file of lines: ``source`` itself, or ``answers.jsonl`` in it."""
    file = source / PREDICTIONS_FILE if source.is_dir() else source
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: a run with --out writes it")
    return file


def record_to_line(record: Record) -> dict[str, Any]:
    """The line of an image: its fields in the source dataset."""
    line: dict[str, Any] = {
        "image": record.path or record.id,
        "image_size": list(record.image_size),
    }
    if record.split is not None:
        line["split"] = record.split
    if record.file_name is not None:
        line["file_name"] = record.file_name
    return line | source_values(record)


@dataclass
class _Lines:
    """The lines of a file by image, and the content of its first line."""

    by_image: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    beside: bool = False


def is_prediction_file(file: Path) -> bool:
    """Whether the first line of a file is a prediction, and not a prompt with its answer."""
    try:
        with open_regular(file) as stream:
            line = parse_json_object(stream.readline(_MAX_LINE))
    except (OSError, ValueError):
        return False
    if "prefix" in line or "suffix" in line:
        return False
    return "categories" in line or ("image" in line and ("task" in line or "image_size" in line))


def read_predictions(
    file: Path, context: ImportContext, annotator: str = "florence2"
) -> Iterator[Record]:
    """A record for each image in the lines, in the order of first occurrence.

    Images are not copied; their ids are their paths from the directory that holds them all.
    Errors of the run are listed as problems, and so are lines that make no sense.
    """
    lines = _read_lines(file, context)
    started = _run_directory(file)
    paths = {image: _locate(image, file, lines.beside, started) for image in lines.by_image}
    root = _common_directory(paths.values())
    for image, numbered in lines.by_image.items():
        annotations = []
        about: dict[str, Any] = {}
        for number, line in numbered:
            with context.collect_errors(file, number, item=image):
                if "task" in line:
                    annotations.append(annotation_from_line(line, annotator))
                else:
                    about = _about(line)
        with context.collect_errors(file, item=image):
            sizes = (_size(line) for _, line in numbered)
            size = next((value for value in sizes if value is not None), None)
            if size is None:
                raise LabelError("malformed", "no line has an image_size")
            fitting = tuple(annotation for annotation in annotations if _fits(annotation, size))
            if len(fitting) < len(annotations):
                with context.collect_errors(file, item=image):
                    raise LabelError("image-size", f"an answer is not for an image of {size}")
            yield _record(parse_unit_name(paths[image]), root, size, fitting, about)


def _read_lines(file: Path, context: ImportContext) -> _Lines:
    lines = _Lines()
    for number, content in enumerate(complete_lines(file), start=1):
        with context.collect_errors(file, number):
            line = parse_json_object(content)
            if "image" not in line and "categories" in line:
                context.declare(_categories(line))
                lines.beside = line.get("base") == "file"
                continue
            image = _image_path(line)
            if "error" in line:
                raise LabelError("broken-image", f"{image} has no prediction: {line['error']}")
            lines.by_image.setdefault(image, []).append((number, line))
    return lines


def _record(
    unit: Unit,
    root: str,
    size: ImageSize,
    annotations: tuple[Annotation, ...],
    about: dict[str, Any],
) -> Record:
    """The record of an image file, or of a page or frame, which is rendered when it is needed."""
    name = _name(unit.file_name, root)
    try:
        if unit.file == unit.name:
            hashed = _hash(unit.file)
            return Record(name, *size, hashed, path=unit.name, annotations=annotations, **about)
        # No file has these bytes: the unit is identified by its container and its index in it.
        found = _hash(unit.file)
        identity = content_hash(f"{found}{unit.name[len(unit.file) :]}".encode()) if found else ""
        return Record(
            f"{name}.png",
            *size,
            identity,
            path=unit.name,
            annotations=annotations,
            image_loader=partial(read_unit_png, unit.name),
            **about,
        )
    except ValueError as error:
        raise LabelError("malformed", str(error)) from error


def _image_path(line: dict[str, Any]) -> str:
    """The path of the image; its name need not be UTF-8, for a file's name need not."""
    image = line.get("image")
    if not isinstance(image, str) or not image or "\0" in image:
        raise LabelError("malformed", f"'image' should be a path, got {image!r:.80}")
    try:
        os.fsencode(image)
    except UnicodeEncodeError as error:
        raise LabelError("malformed", f"'image' is not a path: {error}") from error
    return image


def _about(line: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record from the line of an image."""
    try:
        about = source_fields(line)
        for name in ("split", "file_name"):
            if isinstance(line.get(name), str):
                about[name] = line[name]
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise LabelError("malformed", f"the labels of the image are invalid: {error}") from error
    return about


def _categories(line: dict[str, Any]) -> list[Category]:
    try:
        return [Category(**category) for category in line["categories"]]
    except (TypeError, ValueError) as error:
        raise LabelError("malformed", f"'categories' is not a list of classes: {error}") from error


def _fits(annotation: Annotation, size: ImageSize) -> bool:
    return isinstance(annotation.answer, Text) or annotation.answer.image_size == size


def _locate(image: str, file: Path, beside: bool, started: str) -> str:
    """The path of an image: beside the file, or from the working directory.

    A missing file is looked for in the directory that the run was ``started`` in.
    """
    if "://" in image or os.path.isabs(image):
        return image
    if beside:
        return str(file.parent / image)
    if started and not os.path.exists(parse_unit_name(image).file):
        path = os.path.join(started, image)
        return path if os.path.exists(parse_unit_name(path).file) else image
    return image


def _run_directory(file: Path) -> str:
    """The working directory of the run that wrote the answers; ``""`` where it is not stored."""
    try:
        settings = read_json(file.parent / "run.json", 2**20)
    except (OSError, ValueError):
        return ""
    started = settings.get("directory") if isinstance(settings, dict) else None
    return started if isinstance(started, str) else ""


def annotation_from_line(line: dict[str, Any], annotator: str = "florence2") -> Annotation:
    """The annotation that a line holds. Raises ``LabelError`` when it holds none."""
    size = _size(line)
    task = text_field(line, "task")
    if size is None or "answer" not in line:
        raise LabelError("malformed", f"a line needs image_size and answer, got {line!r:.80}")
    try:
        text = line.get("text", "")
        return Annotation(
            task,
            answer_from_json(line["answer"], size),
            text=", ".join(text) if isinstance(text, list) else str(text),
            region=tuple(line["region"]) if "region" in line else None,
            annotator=Annotator(str(line.get("annotator", annotator))),
            score=_score(line.get("score")),
            round=_round(line.get("round", 0)),
        )
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise LabelError("malformed", f"the answer to {task} is not one: {error}") from error


def _score(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a score is a number, got {value!r:.80}")
    return float(value)


def _round(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < _MAX_SIDE:
        raise ValueError(f"a round is a whole number from 0 on, got {value!r:.80}")
    return value


def _size(line: dict[str, Any]) -> ImageSize | None:
    size = line.get("image_size")
    if not isinstance(size, list) or len(size) != 2:
        return None
    if not all(isinstance(side, int) and 0 < side < _MAX_SIDE for side in size):
        return None
    return size[0], size[1]


def _common_directory(images: Iterable[str]) -> str:
    local = [os.path.abspath(parse_unit_name(image).file) for image in images if "://" not in image]
    try:
        return os.path.commonpath([os.path.dirname(path) for path in local]) if local else ""
    except ValueError:  # on several drives
        return ""


def _name(image: str, root: str) -> str:
    if "://" in image:
        return image
    return Path(os.path.relpath(os.path.abspath(image), root or None)).as_posix()


def _hash(file: str) -> str:
    """The hash of a file; ``""`` for a missing one, which is reported when it is read."""
    try:
        return _file_hash(file, os.stat(file).st_mtime_ns)
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=16)
def _file_hash(file: str, modified: int) -> str:
    """The hash of a file, once for all of its pages."""
    del modified
    with open_regular(file) as stream:
        return hashlib.file_digest(cast(Any, stream), "sha256").hexdigest()
