"""COCO: one JSON file of images, categories and annotations (cocodataset.org, "Data format").

Boxes are ``[x, y, width, height]``; a mask is a list of polygons or run lengths; captions are in
their own file with the same images.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...results.geometry import point_bounds
from ...results.masks import MaskError, decode_rle, mask_to_polygons
from ...results.records import Annotation, Annotator, Category, Record, SourceId
from ...results.types import Text
from .coco_files import CocoPart, find_coco, find_coco_images, name_record
from .image_files import UniqueNameCheck, read_image_record
from .image_finder import ImageFinder
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations, label_objects
from .json_files import is_number, numbers_field, object_items, read_json_object, text_field
from .label_frame import LabelFrame, find_frame
from .problems import ImportContext, LabelError, check_text
from .region_checks import are_fractions, checked_box, checked_polygon

TASKS = (*INSTANCE_TASKS, "<CAPTION>")
Key = int | str
Outlines = tuple[NDArray[np.floating], ...]
# What of a label and of an image is read; the other fields are kept as attributes.
_LABEL_FIELDS = ("id", "image_id", "category_id", "bbox", "segmentation", "score", "caption")
_IMAGE_FIELDS = ("id", "file_name", "width", "height")
_CATEGORY_FIELDS = ("id", "name", "supercategory")
__all__ = ["TASKS", "CocoPart", "find_coco", "read_coco"]


@dataclass
class _Contents:
    """The annotation files of one part, joined by image."""

    images: dict[Key, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    labels: dict[Key, list[tuple[Path, dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    classes: dict[Path, dict[Key, Category]] = field(default_factory=dict)
    has_classes: bool = False


def read_coco(
    parts: Iterable[CocoPart],
    root: Path,
    context: ImportContext,
    tasks: Sequence[str] = ("object-detection", "caption"),
    images: Path | None = None,
) -> Iterator[Record]:
    """A record for each image that can be read; its id is its path from ``root``.

    ``tasks`` are those of ``TASKS``. An image without any label is a background image: its
    answer to detection is empty. ``images`` is the directory of the images, if they are not
    where ``find_coco`` looks. All files are read before the first record. Raises
    ``ValueError`` when all boxes are fractions, as COCO has pixels.
    """
    tokens = check_tasks(tasks, TASKS)
    loaded = [(part, _load(part, context)) for part in parts]
    _refuse_fractions([contents for _, contents in loaded])
    return _read(loaded, root, context, tokens, images)


def _read(
    loaded: Sequence[tuple[CocoPart, _Contents]],
    root: Path,
    context: ImportContext,
    tokens: Sequence[str],
    images: Path | None,
) -> Iterator[Record]:
    unique_names = UniqueNameCheck()
    for part, contents in loaded:
        finder = find_coco_images(part, root, images)
        for key, (file, image) in contents.images.items():
            with context.collect_errors(file):
                path = _find_image(finder, image)
                name = name_record(finder, root, path)
                unique_names.add(name, "image")
                record, info = read_image_record(path, name)
                frame = find_frame(record, info, (image.get("width"), image.get("height")))
                record = replace(
                    record,
                    split=part.split,
                    file_name=finder.name_among_images(path),
                    source_id=_source_id(image["id"]),
                    attributes=_others(image, _IMAGE_FIELDS),
                )
                yield _labeled(contents, key, record, frame, tokens, context)


def _others(values: dict[str, Any], read: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in read}


def _find_image(finder: ImageFinder, image: dict[str, Any]) -> Path:
    """The file of an image; by its URL or its id (``000000000139``) when it has no name."""
    if image.get("file_name") is not None:
        return finder.find(text_field(image, "file_name"))
    for field_name in ("coco_url", "flickr_url", "path"):
        if isinstance(image.get(field_name), str):
            name = text_field(image, field_name).replace("\\", "/").rsplit("/", 1)[-1]
            return finder.find(name)
    id = _key(image, "id")
    try:
        return finder.find(f"{id:012d}" if isinstance(id, int) else id)
    except LabelError as error:
        raise LabelError(
            "malformed", f"image {id!r:.40} has no 'file_name', nor a 'coco_url'"
        ) from error


def _load(part: CocoPart, context: ImportContext) -> _Contents:
    contents = _Contents()
    for file in part.files:
        with context.collect_errors(file):
            values = read_json_object(file)
            _join(contents, file, values, context)
            if not values.get("images"):
                raise LabelError("malformed", "'images' is missing or empty: there is no image")
    known = contents.images.keys()
    for key in [key for key in contents.labels if key not in known]:
        for file, label in contents.labels[key]:
            with context.collect_errors(file, item=f"annotation {label['id']}"):
                raise LabelError("unknown-image", f"no image has the id {key!r}")
    return contents


def _join(contents: _Contents, file: Path, values: dict[str, Any], context: ImportContext) -> None:
    """Add the images and labels of one file; images may be known from another."""
    contents.has_classes |= "categories" in values
    contents.classes[file] = _classes(values, file, context)
    unique_images, unique_labels = UniqueNameCheck(), UniqueNameCheck()
    for image in object_items(values, "images", file, context):
        with context.collect_errors(file):
            key = _key(image, "id")
            unique_images.add(key, "image id")
            contents.images.setdefault(key, (file, image))
    for label in object_items(values, "annotations", file, context):
        with context.collect_errors(file):
            unique_labels.add(_key(label, "id"), "annotation id")
            contents.labels[_key(label, "image_id")].append((file, label))


def _classes(values: dict[str, Any], file: Path, context: ImportContext) -> dict[Key, Category]:
    classes: dict[Key, Category] = {}
    for category in object_items(values, "categories", file, context):
        with context.collect_errors(file):
            key, name = _key(category, "id"), text_field(category, "name")
            if key in classes:
                raise LabelError("duplicate", f"category id {key!r} appears more than once")
            above = category.get("supercategory")
            id = _source_id(category["id"])
            others = {key: value for key, value in category.items() if key not in _CATEGORY_FIELDS}
            above = above if isinstance(above, str) else ""
            classes[key] = Category(name, id, above, others)
    context.declare(list(classes.values()))
    return classes


def _refuse_fractions(loaded: Sequence[_Contents]) -> None:
    """Raise ``ValueError`` when the boxes of the whole set are fractions of the images."""
    files = [file for contents in loaded for file in contents.classes]
    boxes = (
        box
        for contents in loaded
        for labels in contents.labels.values()
        for _, label in labels
        if (box := _label_box(label)) is not None
    )
    if are_fractions(boxes):
        raise ValueError(
            f"{files[0]}: all boxes are between 0 and 1, so they are fractions of the images; COCO "
            "boxes are [x, y, width, height] in pixels: multiply x and width by the width of the "
            "image, y and height by its height"
        )


def _label_box(label: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """The corners of the box of a label, or of its first polygon; None when it has neither."""
    try:
        if _has_box(label):
            x, y, width, height = numbers_field(label, "bbox")
            return x, y, x + width, y + height
        parts = label.get("segmentation")
        if isinstance(parts, list) and parts:
            values = numbers_field({"polygon": parts[0]}, "polygon")
            return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    except ValueError:  # listed when its image is read
        pass
    return None


def _has_box(label: dict[str, Any]) -> bool:
    return label.get("bbox") not in (None, [])


def _labeled(
    contents: _Contents,
    key: Key,
    record: Record,
    frame: LabelFrame,
    tokens: Sequence[str],
    context: ImportContext,
) -> Record:
    """The record with its labels, and with the annotations that are made from them."""
    labels = contents.labels.get(key, [])
    instances: list[Instance] = []
    captions: list[Annotation] = []
    for file, label in labels:
        item = f"annotation {label['id']}"
        with context.collect_errors(file, item=item):
            if "caption" not in label:
                polygons: Outlines = ()
                if label.get("segmentation") and not label.get("iscrowd"):
                    with _outlines_intake(label, tokens, context).collect_errors(file, item=item):
                        polygons = _polygons(label["segmentation"], frame)
                instances.append(_instance(label, polygons, contents.classes[file], frame))
                if label.get("iscrowd"):
                    raise LabelError("crowd", "one region for many objects: not used for training")
            elif "<CAPTION>" in tokens:
                captions += context.keep_valid(
                    [_caption(label, context.annotator)], record.image_size, file
                )
    # An image whose labels were all bad is not an image without objects.
    is_background = contents.has_classes and all("caption" in label for _, label in labels)
    objects = label_objects(instances, context.annotator)
    made: tuple[Annotation, ...] = ()
    if is_background or any(not instance.crowd for instance in instances):
        requested = instance_annotations(instances, record.image_size, tokens, context.annotator)
        made = context.keep_valid(requested, record.image_size, contents.images[key][0])
    known = objects or is_background
    return replace(record, annotations=(*made, *captions), objects=objects if known else None)


def _outlines_intake(
    label: dict[str, Any], tokens: Sequence[str], context: ImportContext
) -> ImportContext:
    """The context that reports masks without polygons; they are ignored if no task needs them.

    Run lengths are kept as they are, so that nothing is lost.
    """
    is_needed = "<REGION_TO_SEGMENTATION>" in tokens or not _has_box(label)
    if is_needed or not isinstance(label["segmentation"], dict):
        return context
    return replace(context, report=lambda problem: None)


def _caption(label: dict[str, Any], annotator: Annotator) -> Annotation:
    caption = text_field(label, "caption").strip()
    if not caption:
        raise LabelError("empty-text", "the caption is empty")
    return Annotation("<CAPTION>", Text(caption), annotator=annotator)


def _instance(
    label: dict[str, Any],
    polygons: Outlines,
    classes: dict[Key, Category],
    frame: LabelFrame,
) -> Instance:
    """The object of a label, in pixels of the upright image."""
    key = _key(label, "category_id")
    if key not in classes:
        known = "the file has no categories" if not classes else f"there are {len(classes)}"
        raise LabelError("unknown-class", f"there is no category id {key!r}; {known}")
    if not _has_box(label) and polygons:
        corners = point_bounds(np.concatenate(polygons)).tolist()
    else:
        numbers = numbers_field(label, "bbox")
        if len(numbers) != 4:
            raise LabelError("malformed", f"a bbox is [x, y, width, height], got {numbers!s:.80}")
        x, y, width, height = numbers
        corners = [x, y, x + width, y + height]
    attributes = _others(label, _LABEL_FIELDS)
    if isinstance(label.get("segmentation"), dict) and frame.orientation == 1:
        attributes["segmentation"] = label["segmentation"]
    return Instance(
        classes[key].name,
        frame.turn_box(checked_box(corners, frame.size)),
        tuple(frame.turn_points(part) for part in polygons),
        category_id=classes[key].id,
        id=_source_id(label["id"]),
        score=_score(label),
        attributes=attributes,
        crowd=bool(label.get("iscrowd")),
    )


def _score(label: dict[str, Any]) -> float | None:
    """The confidence of a label. Raises ``LabelError`` for one that is not finite."""
    if not is_number(label.get("score")):
        return None
    (score,) = numbers_field({"score": [label["score"]]}, "score")
    if not math.isfinite(score):
        raise LabelError("malformed", f"a score should be finite, got {score}")
    return score


def _polygons(segmentation: Any, frame: LabelFrame) -> Outlines:
    """The outlines of a mask. One bad part spoils it: the rest would be another shape."""
    if isinstance(segmentation, dict):
        try:
            parts = mask_to_polygons(decode_rle(segmentation, frame.size))
        except MaskError as error:
            raise LabelError(error.kind, str(error)) from error
    elif isinstance(segmentation, list):
        # Some tools write a single polygon without the list around it.
        nested = [segmentation] if all(map(is_number, segmentation)) else segmentation
        parts = [numbers_field({"polygon": part}, "polygon") for part in nested]
    else:
        raise LabelError(
            "malformed", f"a segmentation is a list or an object: {segmentation!r:.80}"
        )
    return tuple(checked_polygon(part, frame.size) for part in parts)


def _source_id(value: Any) -> SourceId:
    """An id as its file has it; a number without fraction as a whole number."""
    return int(value) if isinstance(value, float) else value  # checked by _key


def _key(values: dict[str, Any], name: str) -> Key:
    """An id, one value for the spellings of a number: 7, 7.0 and "7"."""
    key = values.get(name)
    if isinstance(key, float) and key.is_integer():
        return int(key)
    if isinstance(key, str):
        check_text(key, repr(name))
        plain = key.isascii() and key.isdigit() and len(key) < 19 and str(int(key)) == key
        return int(key) if plain else key
    if not isinstance(key, int) or isinstance(key, bool) or abs(key) >= 2**63:
        kinds = "a whole number of at most 18 digits or a string"
        raise LabelError("malformed", f"{name!r} should be {kinds}, got {key!r:.40}")
    return key
