"""CVAT: one ``annotations.xml`` in "CVAT for images 1.1" with its images beside it.

Boxes (turned ones too), polygons and ellipses are objects; polygons of one label that share a group
are the parts of one. A tag ``caption`` holds a caption, as our own writer makes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...results.geometry import point_bounds
from ...results.records import Annotation, Category, Record
from ...results.tasks import CAPTIONS
from ...results.types import Text
from .image_files import UniqueNameCheck, read_image_record
from .image_finder import ImageFinder
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations, label_objects
from .label_frame import LabelFrame, find_frame
from .problems import ImportContext, LabelError
from .region_checks import checked_box, checked_polygon
from .splits import choose_splits
from .xml_nodes import Node, read_xml

TASKS = (*INSTANCE_TASKS, "<CAPTION>")
CVAT_FILE = "annotations.xml"
_CAPTION = "caption"
_SHAPES = ("box", "polygon", "ellipse")
_IGNORED = ("tag",)
_ELLIPSE_POINTS = 64
# Attributes of every shape; 0 is the default.
_FLAGS = ("occluded", "z_order")


def find_cvat(source: Path) -> Path:
    """The file of the set: ``source`` itself, or ``annotations.xml`` in it."""
    file = source / CVAT_FILE if source.is_dir() else source
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: export the set as 'CVAT for images 1.1'")
    return file


def read_cvat(
    file: Path,
    context: ImportContext,
    tasks: Sequence[str] = ("object-detection", "caption"),
    split: str | None = None,
    images: Path | None = None,
) -> Iterator[Record]:
    """A record for each image of the file that can be read; its id is its path from the file.

    ``tasks`` are those of ``TASKS``; ``split`` is a subset; ``images`` is the directory of the
    images if they are not beside the file. Raises ``ValueError`` when there is no such
    subset, or the file is not XML of CVAT.
    """
    tokens = check_tasks(tasks, TASKS)
    try:
        page = read_xml(file)
    except LabelError as error:
        raise ValueError(f"{file}: {error}") from error
    if page.tag != "annotations" or page.find_all("track"):
        raise ValueError(f"{file} is not 'CVAT for images 1.1': export the set in that format")
    only = _task_text(page, "subset")
    nodes = page.find_all("image")
    if split is not None:
        subsets = dict.fromkeys(
            filter(None, (node.attributes.get("subset", only) for node in nodes))
        )
        selected = choose_splits(split, subsets, file)
        nodes = [node for node in nodes if node.attributes.get("subset", only) in selected]
    return _read(file, page, nodes, only, tokens, context, images)


def _read(
    file: Path,
    page: Node,
    nodes: Sequence[Node],
    only: str,
    tokens: Sequence[str],
    context: ImportContext,
    images: Path | None,
) -> Iterator[Record]:
    finder = ImageFinder(file.parent, (file.parent / "images",), images)
    unique_names = UniqueNameCheck()
    categories = list(_categories(page))
    context.declare(categories)
    for node in nodes:
        with context.collect_errors(file, node.line):
            values = node.attributes
            subset = values.get("subset", only)
            path = _find(finder, values.get("name", ""), subset)
            name = finder.name(path)
            unique_names.add(name, "image")
            record, info = read_image_record(path, name)
            frame = find_frame(record, info, (values.get("width"), values.get("height")))
            record = replace(
                record,
                split=subset or None,
                file_name=PurePosixPath(values["name"].replace("\\", "/")).as_posix(),
                source_id=_whole(values.get("id", "")),
            )
            yield _labeled(record, node, file, frame, tokens, context)


def _find(finder: ImageFinder, name: str, subset: str) -> Path:
    try:
        return finder.find(name)
    except LabelError:
        # Exports of a project have a directory for each subset.
        if not subset:
            raise
        return finder.find(f"{subset}/{name}")


def _labeled(
    record: Record,
    image: Node,
    file: Path,
    frame: LabelFrame,
    tokens: Sequence[str],
    context: ImportContext,
) -> Record:
    instances: list[Instance] = []
    shapes = list(_grouped(image, file, context))
    for nodes in shapes:
        with context.collect_errors(file, nodes[0].line):
            instances.append(_instance(nodes, frame, record))
    annotations: tuple[Annotation, ...] = ()
    # An image with bad shapes only is not an image without objects.
    if instances or not shapes:
        made = instance_annotations(instances, record.image_size, tokens, context.annotator)
        annotations = context.keep_valid(made, record.image_size, file, image.line)
    captions = [] if "<CAPTION>" not in tokens else list(_captions(image, context))
    objects = label_objects(instances, context.annotator)
    return replace(
        record,
        annotations=(
            *annotations,
            *context.keep_valid(captions, record.image_size, file, image.line),
        ),
        objects=objects if instances or not shapes else None,
    )


def _grouped(image: Node, file: Path, context: ImportContext) -> Iterator[list[Node]]:
    """The shapes of an image in order; the polygons of one group and label are one."""
    parts: dict[tuple[str, str], list[Node]] = defaultdict(list)
    shapes: list[list[Node]] = []
    for node in image.children:
        if node.tag not in _SHAPES:
            if node.tag not in _IGNORED or node.attributes.get("label") != _CAPTION:
                with context.collect_errors(file, node.line):
                    label = node.attributes.get("label", "")
                    raise LabelError(
                        "unsupported-shape", f"<{node.tag}> {label!r} is not an object"
                    )
            continue
        group = node.attributes.get("group_id", "")
        if node.tag == "polygon" and group not in ("", "0"):
            polygons = parts[group, node.attributes.get("label", "")]
            polygons.append(node)
            if len(polygons) > 1:
                continue
            shapes.append(polygons)
        else:
            shapes.append([node])
    yield from shapes


def _instance(nodes: list[Node], frame: LabelFrame, record: Record) -> Instance:
    outlines = []
    for node in nodes:
        points = _outline(node)
        if points is not None:
            flat = frame.turn_points(points).reshape(-1).tolist()
            outlines.append(checked_polygon(flat, record.image_size))
    first = nodes[0]
    if outlines:
        corners = point_bounds(np.concatenate(outlines)).tolist()
    else:
        names = ("xtl", "ytl", "xbr", "ybr")
        corners = list(frame.turn_box([_number(first, name) for name in names]))
    attributes = _attributes(first)
    score = attributes.pop("score", None)
    return Instance(
        first.attributes.get("label", ""),
        checked_box(corners, record.image_size),
        tuple(outlines),
        score=None if score is None else _float(score, "score"),
        attributes=attributes,
        crowd=attributes.get("iscrowd", attributes.get("is_crowd", "0")).lower() in ("1", "true"),
    )


def _outline(node: Node) -> NDArray[np.float64] | None:
    """The points ``float64[K, 2]`` of a shape; ``None`` for an upright box."""
    if node.tag == "polygon":
        pairs = [pair.split(",") for pair in node.attributes.get("points", "").split(";")]
        if any(len(pair) != 2 for pair in pairs):
            raise LabelError("malformed", "points are x,y;x,y;...")
        return np.array([[_float(value, "points") for value in pair] for pair in pairs])
    if node.tag == "ellipse":
        cx, cy, rx, ry = (_number(node, name) for name in ("cx", "cy", "rx", "ry"))
        angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
        points = np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)
        return _turned(points, (cx, cy), node)
    x0, y0, x1, y1 = (_number(node, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if _float(node.attributes.get("rotation", "0"), "rotation") % 360 == 0:
        return None
    return _turned(points, ((x0 + x1) / 2, (y0 + y1) / 2), node)


def _turned(
    points: NDArray[np.float64], center: tuple[float, float], node: Node
) -> NDArray[np.float64]:
    """``points`` turned clockwise by the shape's rotation, in degrees."""
    angle = np.deg2rad(_float(node.attributes.get("rotation", "0"), "rotation"))
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    turned: NDArray[np.float64] = (points - center) @ turn + center
    return turned


def _attributes(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: node.attributes[name]
        for name in _FLAGS
        if node.attributes.get(name, "0") not in ("", "0")
    }
    for attribute in node.find_all("attribute"):
        if attribute.attributes.get("name"):
            found[attribute.attributes["name"]] = attribute.text
    return found


def _captions(image: Node, context: ImportContext) -> Iterator[Annotation]:
    for node in image.find_all("tag"):
        if node.attributes.get("label") != _CAPTION:
            continue
        attributes = node.find_all("attribute")
        values = {attribute.attributes.get("name"): attribute.text for attribute in attributes}
        task = values.get("task") or "<CAPTION>"
        if values.get("text") and task in CAPTIONS:
            yield Annotation(task, Text(values["text"]), annotator=context.annotator)


def _categories(page: Node) -> Iterator[Category]:
    """The labels of the task, job or project, in order, without the one of captions."""
    meta = page.find("meta")
    for child in meta.children if meta is not None else ():
        labels = child.find("labels")
        for label in labels.find_all("label") if labels is not None else ():
            name = label.text_of("name")
            holder = label.find("attributes")
            attributes = holder.find_all("attribute") if holder else []
            own = {attribute.text_of("name") for attribute in attributes}
            if name and not (name == _CAPTION and own == {"text", "task"}):
                yield Category(name)


def _task_text(page: Node, tag: str) -> str:
    meta = page.find("meta")
    task = None if meta is None else meta.find("task") or meta.find("job")
    return "" if task is None else task.text_of(tag)


def _number(node: Node, name: str) -> float:
    return _float(node.attributes.get(name, ""), name)


def _float(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise LabelError("malformed", f"{name} should be a number, got {text[:80]!r}") from error


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
