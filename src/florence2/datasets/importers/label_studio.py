"""Label Studio: ``tasks.json`` as exported (JSON, or one task a file), or written by ``florence2``.

Rectangles (turned ones too), ellipses and polygons with a label are objects, those of annotations
before those of predictions. Later parts of an outline have the first as their parent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from ...io.files import read_json
from ...results.geometry import point_bounds
from ...results.records import Annotation, Category, Record
from ...results.tasks import CAPTIONS
from ...results.types import ImageSize, Quads, Text
from .image_files import UniqueNameCheck, load_record
from .image_finder import ImageFinder
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations, label_objects
from .problems import ImportContext, LabelError
from .region_checks import checked_box, checked_polygon
from .splits import choose_splits
from .xml_nodes import Node, read_xml

TASKS = (*INSTANCE_TASKS, "<CAPTION>")
TASKS_FILE, CONFIG_FILE = "tasks.json", "config.xml"
_SHAPES = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
_LABEL_TAGS = ("RectangleLabels", "PolygonLabels", "EllipseLabels", "Labels", "BrushLabels")
# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOAD_DIGITS = 8
_ELLIPSE_POINTS = 64
_Task = dict[str, Any]


def find_label_studio(source: Path) -> tuple[Path, ...]:
    """The files of tasks: ``source``, ``tasks.json`` in it, or all the JSON files in it."""
    if source.is_file():
        return (source,)
    named = source / TASKS_FILE
    files = [named] if named.is_file() else sorted(source.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"{source} holds no {TASKS_FILE}; name the file that was exported")
    return tuple(files)


def read_label_studio(
    files: Sequence[Path],
    context: ImportContext,
    tasks: Sequence[str] = ("object-detection", "caption"),
    split: str | None = None,
    images: Path | None = None,
) -> Iterator[Record]:
    """A record for each task whose image can be found; its id is its path from the files.

    ``tasks`` are those of ``TASKS``; ``split`` is a value of ``data.split``; ``images`` is the
    directory of the images if they are not beside the files. Raises ``ValueError`` when a
    file is not JSON of tasks, or there is no such split.
    """
    tokens = check_tasks(tasks, TASKS)
    loaded = [(file, task) for file in files for task in _load(file)]
    if split is not None:
        selected = choose_splits(split, dict.fromkeys(filter(None, map(_split, loaded))), files[0])
        loaded = [entry for entry in loaded if _split(entry) in selected]
    return _read(loaded, files[0].parent, tokens, context, images)


def _load(file: Path) -> list[_Task]:
    values = read_json(file)
    listed = values if isinstance(values, list) else [values]
    if not all(isinstance(task, dict) and "data" in task for task in listed):
        raise ValueError(f"{file} holds no tasks of Label Studio: export the set as JSON")
    return listed


def _read(
    loaded: Sequence[tuple[Path, _Task]],
    root: Path,
    tokens: Sequence[str],
    context: ImportContext,
    images: Path | None,
) -> Iterator[Record]:
    finder = ImageFinder(root, (root / "images",), images)
    unique_names = UniqueNameCheck()
    passed_over: Counter[str] = Counter()
    context.declare(_categories(root / CONFIG_FILE, context))
    for entry in loaded:
        file, task = entry
        with context.collect_errors(file, item=f"task {task.get('id', '')}"):
            name = _image_name(task)
            path = _find(finder, name)
            record = load_record(path, finder.name(path))
            unique_names.add(record.id, "image")
            id = task.get("id")
            record = replace(
                record,
                split=_split(entry),
                file_name=_below_images(path, root, images),
                source_id=id if isinstance(id, int | str) and not isinstance(id, bool) else None,
            )
            passed_over += Counter(map(_describe_unread, _results(task)))
            yield _labeled(record, task, file, tokens, context)
    del passed_over[""]
    with context.collect_errors(loaded[0][0] if loaded else root):
        if passed_over:
            named = ", ".join(f"{count:,} {kind}" for kind, count in passed_over.most_common())
            raise LabelError("passed-over", f"results of other types are not read: {named}")


def _split(entry: tuple[Path, _Task]) -> str | None:
    data = entry[1]["data"]
    value = data.get("split") if isinstance(data, dict) else None
    return value if isinstance(value, str) and value else None


def _image_name(task: _Task) -> str:
    """The name of the image: a path, a URL, or a file of local storage or an upload."""
    data = task["data"]
    values = list(data.values()) if isinstance(data, dict) else [data]
    named = data.get("image") if isinstance(data, dict) else None
    value = named or next((text for text in values if isinstance(text, str)), None)
    if not isinstance(value, str):
        raise LabelError("malformed", f"the task has no 'image', got {data!r:.80}")
    if "/data/local-files/" in value:
        return parse_qs(urlsplit(value).query).get("d", [""])[0]
    if "://" in value or value.startswith("/data/"):
        return unquote(PurePosixPath(urlsplit(value).path).name)
    return value


def _find(finder: ImageFinder, name: str) -> Path:
    try:
        return finder.find(name)
    except LabelError:
        base = PurePosixPath(name).name
        digits, _, rest = base.partition("-")
        tried = [base, rest] if len(digits) == _UPLOAD_DIGITS and rest else [base]
        for candidate in tried:
            try:
                return finder.find(candidate)
            except LabelError:
                continue
        raise


def _below_images(path: Path, root: Path, images: Path | None) -> str:
    for directory in (images, root / "images", root):
        if directory is not None and path.is_relative_to(directory):
            return path.relative_to(directory).as_posix()
    return path.name


def _labeled(
    record: Record, task: _Task, file: Path, tokens: Sequence[str], context: ImportContext
) -> Record:
    item = f"task {task.get('id', '')}"
    size = record.image_size
    results = list(_results(task))
    instances: list[Instance] = []
    shapes = 0
    for parts in _grouped(results):
        shapes += 1
        with context.collect_errors(file, item=item):
            instances.append(_instance(parts, size))
    known = bool(instances) or not shapes
    annotations: tuple[Annotation, ...] = ()
    if known:
        made = instance_annotations(instances, size, tokens, context.annotator)
        annotations = context.keep_valid(made, size, file)
    texts: list[Annotation] = []
    with context.collect_errors(file, item=item):
        texts = [
            *_lines(results, size, context),
            *(_captions(results, context) if "<CAPTION>" in tokens else ()),
        ]
    return replace(
        record,
        annotations=(*annotations, *context.keep_valid(texts, size, file)),
        objects=label_objects(instances, context.annotator) if known else None,
    )


def _results(task: _Task) -> Iterator[dict[str, Any]]:
    """The results of the last annotation that was not canceled, or else of the last prediction."""
    for name in ("annotations", "completions"):
        made = [
            annotation
            for annotation in _objects(task.get(name))
            if not annotation.get("was_cancelled")
        ]
        if made:
            yield from _objects(made[-1].get("result"))
            # Captions and lines of a model are predictions beside human labels.
            guessed = _objects(task.get("predictions"))
            for result in _objects(guessed[-1].get("result")) if guessed else ():
                if result.get("type") not in _SHAPES:
                    yield result
            return
    guessed = _objects(task.get("predictions"))
    if guessed:
        yield from _objects(guessed[-1].get("result"))


def _describe_unread(result: dict[str, Any]) -> str:
    """The type of a result that no record holds; ``""`` for one that is read."""
    kind, source = str(result.get("type")), str(result.get("from_name"))
    captions = [task.strip("<>").lower() for task in CAPTIONS]
    if kind in (*_SHAPES, "relation") or source in (*captions, "transcription"):
        return ""
    return kind[:40]


def _objects(values: Any) -> list[dict[str, Any]]:
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _grouped(results: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The shapes with a label in order; the parts of an outline are grouped with its first part."""
    shapes: list[list[dict[str, Any]]] = []
    first: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        value = result.get("value")
        if result.get("type") not in _SHAPES or not isinstance(value, dict):
            continue
        parent = first.get(str(result.get("parentID")))
        if result["type"] == "polygonlabels" and parent and _label(parent[0]) == _label(result):
            parent.append(result)
            continue
        shapes.append([result])
        if result["type"] == "polygonlabels":
            first[str(result.get("id"))] = shapes[-1]
    return shapes


def _label(result: dict[str, Any]) -> str:
    for name in _SHAPES:
        labels = result["value"].get(name)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    raise LabelError("malformed", f"region {result.get('id')!r} has no label")


def _instance(parts: list[dict[str, Any]], size: ImageSize) -> Instance:
    first = parts[0]
    outlines = []
    for part in parts:
        points = _outline(part["value"], size)
        if points is not None:
            outlines.append(checked_polygon(points.reshape(-1).tolist(), size))
    if outlines:
        corners = point_bounds(np.concatenate(outlines)).tolist()
    else:
        corners = _rectangle(first["value"], size).reshape(-1)[[0, 1, 4, 5]].tolist()
    meta = first.get("meta")
    attributes = dict(meta) if isinstance(meta, dict) else {}
    id = attributes.pop("id", None)
    score = first.get("score")
    return Instance(
        _label(first),
        checked_box(corners, size),
        tuple(outlines),
        id=id if isinstance(id, int | str) else None,
        score=_number(first, "score") if isinstance(score, int | float) else None,
        attributes=attributes,
        crowd=attributes.get("iscrowd") not in (None, 0, "0", False),
    )


def _outline(value: dict[str, Any], size: ImageSize) -> NDArray[np.float64] | None:
    """The points ``float64[K, 2]`` of a shape in pixels; ``None`` for an upright rectangle."""
    if "points" in value:
        return _points(value["points"], size)
    if "radiusX" in value:
        x, y, rx, ry = (_number(value, name) for name in ("x", "y", "radiusX", "radiusY"))
        angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
        ring = np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)
        return _turned(ring * size / 100, np.array([x, y]) * size / 100, value)
    corners = _rectangle(value, size)
    if not value.get("rotation"):
        return None
    return _turned(corners, corners[0], value)


def _rectangle(value: dict[str, Any], size: ImageSize) -> NDArray[np.float64]:
    x, y, width, height = (_number(value, name) for name in ("x", "y", "width", "height"))
    corners = np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    scaled: NDArray[np.float64] = corners * size / 100
    return scaled


def _turned(
    points: NDArray[np.float64], center: NDArray[np.float64], value: dict[str, Any]
) -> NDArray[np.float64]:
    """``points`` in pixels turned clockwise by the rotation of a shape, in degrees."""
    angle = np.deg2rad(_number(value, "rotation") if value.get("rotation") else 0.0)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    turned: NDArray[np.float64] = (points - center) @ turn + center
    return turned


def _points(points: Any, size: ImageSize) -> NDArray[np.float64]:
    try:
        return np.asarray(points, np.float64).reshape(-1, 2) * size / 100
    except (ValueError, TypeError, OverflowError) as error:
        raise LabelError("malformed", f"points are pairs of numbers: {error}") from error


def _number(value: dict[str, Any], name: str) -> float:
    number = value.get(name)
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise LabelError("malformed", f"{name!r} should be a number, got {number!r:.80}")
    try:
        return float(number)
    except OverflowError as error:
        raise LabelError("malformed", f"{name!r} is a number without end") from error


def _captions(results: Iterable[dict[str, Any]], context: ImportContext) -> Iterator[Annotation]:
    names = {task.strip("<>").lower(): task for task in CAPTIONS}
    for result in results:
        task = names.get(str(result.get("from_name")))
        value = result.get("value")
        texts = value.get("text") if isinstance(value, dict) else None
        if task and result.get("type") == "textarea" and isinstance(texts, list):
            words = "\n".join(text for text in texts if isinstance(text, str)).strip()
            if words:
                yield Annotation(task, Text(words), annotator=context.annotator)


def _lines(
    results: Iterable[dict[str, Any]], size: ImageSize, context: ImportContext
) -> Iterator[Annotation]:
    """The lines of text: polygons of four corners with a transcription."""
    quads, words = [], []
    for result in results:
        value = result.get("value")
        if result.get("from_name") != "transcription" or not isinstance(value, dict):
            continue
        points = _points(value.get("points", []), size)
        texts = value.get("text")
        if points.shape == (4, 2) and isinstance(texts, list) and texts:
            quads.append(points)
            words.append(str(texts[0]))
    if quads:
        answer = Quads(np.array(quads), words, size)
        yield Annotation("<OCR_WITH_REGION>", answer, annotator=context.annotator)


def _categories(file: Path, context: ImportContext) -> list[Category]:
    """The labels of ``config.xml``, in its order."""
    if not file.is_file():
        return []
    names: dict[str, None] = {}
    with context.collect_errors(file):
        pending: list[Node] = [read_xml(file)]
        while pending:
            node = pending.pop(0)
            pending = [*node.children, *pending]
            if node.tag in _LABEL_TAGS:
                for label in node.find_all("Label"):
                    if label.attributes.get("value"):
                        names[label.attributes["value"]] = None
    return [Category(name) for name in names]
