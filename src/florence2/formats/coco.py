"""COCO: one JSON file of pictures, categories and annotations (cocodataset.org, "Data format").

Boxes are ``[x, y, width, height]``; a mask is a list of polygons or run lengths; captions stand in
a file of their own with the same pictures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geometry import point_bounds
from ..records import Annotation, Annotator, Category, Record
from ..results import ImageSize, Text
from .instances import (
    INSTANCE_TASKS,
    Instance,
    check_tasks,
    instance_annotations,
    label_objects,
)
from .json_files import list_field, numbers_field, read_json_object, text_field
from .masks import decode_mask, mask_polygons
from .pictures import SeenNames, check_declared_size, name_in, read_picture
from .problems import Intake, LabelError
from .regions import checked_box, checked_polygon
from .splits import match_splits

TASKS = (*INSTANCE_TASKS, "<CAPTION>")
Key = int | str
Outlines = tuple[NDArray[np.float64], ...]
_ROBOFLOW_FILE = "_annotations.coco.json"
_KINDS = ("instances", "captions")
# What of a label and of an image is read; the other fields are kept as attributes.
_LABEL_FIELDS = ("id", "image_id", "category_id", "bbox", "segmentation", "score", "caption")
_IMAGE_FIELDS = ("id", "file_name", "width", "height")


@dataclass(frozen=True)
class CocoPart:
    """Annotation files of one split, and the folder its pictures lie in."""

    files: tuple[Path, ...]
    images: Path
    split: str | None = None


@dataclass
class _Contents:
    """The annotation files of one part, joined by picture."""

    images: dict[Key, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    labels: dict[Key, list[tuple[Path, dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    classes: dict[Path, dict[Key, str]] = field(default_factory=dict)
    has_classes: bool = False


def find_coco(source: Path, split: str | None = None) -> tuple[CocoPart, ...]:
    """The parts of the data set at ``source``.

    ``source`` is an annotation file with its pictures beside it, a folder with
    ``annotations/{instances,captions}_SPLIT.json`` (or without ``_SPLIT``) and a folder of
    pictures per split, or a folder with ``SPLIT/_annotations.coco.json`` beside the pictures.
    ``split`` is a name or what it is for: ``val`` finds ``val2017``. Raises ``FileNotFoundError``
    when it is none of these, ``ValueError`` when it has no such split.
    """
    if source.is_file():
        return (_single_file(source),)
    parts: dict[str, CocoPart] = {}
    for kind in _KINDS:
        for path in sorted((source / "annotations").glob(f"{kind}*.json")):
            name = _split_of(path)
            if name is None and path.stem != kind:
                continue
            files = parts[name or ""].files if (name or "") in parts else ()
            parts[name or ""] = CocoPart((*files, path), _image_folder(source, name), name)
    for path in sorted([*source.glob(_ROBOFLOW_FILE), *source.glob(f"*/{_ROBOFLOW_FILE}")]):
        split = None if path.parent == source else path.parent.name
        parts[path.parent.name] = CocoPart((path,), path.parent, split)
    if not parts:
        raise FileNotFoundError(
            f"{source} holds no annotations/instances_*.json, annotations/captions_*.json or "
            f"{_ROBOFLOW_FILE}; name the annotation file itself"
        )
    if split is None:
        return tuple(parts[name] for name in sorted(parts))
    matching = match_splits(split, sorted(parts))
    if not matching:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(parts)}")
    return tuple(parts[name] for name in matching)


def read_coco(
    parts: Iterable[CocoPart],
    root: Path,
    intake: Intake,
    tasks: Sequence[str] = ("object-detection", "caption"),
) -> Iterator[Record]:
    """A record for each picture that can be read; its id is its path from ``root``.

    ``tasks`` are those of ``TASKS``. A picture for which the files list nothing at all has
    an empty answer to detection.
    """
    tokens = check_tasks(tasks, TASKS)
    seen = SeenNames()
    for part in parts:
        contents = _load(part, intake)
        for key, (file, image) in contents.images.items():
            with intake.listing(file):
                path = part.images / text_field(image, "file_name")
                name = name_in(root, path)
                seen.add(name, "picture")
                record = replace(
                    read_picture(path, name),
                    split=part.split,
                    file_name=name_in(part.images, path),
                    source_id=key,
                    attributes=_others(image, _IMAGE_FIELDS),
                )
                check_declared_size(record, (image.get("width"), image.get("height")))
                yield _labeled(contents, key, record, tokens, intake)


def _single_file(source: Path) -> CocoPart:
    """An annotation file that was named itself, with the folder of its pictures."""
    if source.name == _ROBOFLOW_FILE or source.parent.name != "annotations":
        return CocoPart((source,), source.parent, _split_of(source))
    name = _split_of(source)
    folder = _image_folder(source.parent.parent, name)
    return CocoPart((source,), folder if folder.is_dir() else source.parent, name)


def _split_of(path: Path) -> str | None:
    """The split that an annotation file is named for; ``None`` when its name says nothing."""
    for kind in _KINDS:
        if path.stem.startswith(f"{kind}_"):
            return path.stem.removeprefix(f"{kind}_")
    return None


def _image_folder(source: Path, name: str | None) -> Path:
    """Where the pictures of a split lie in the layouts that are about."""
    named = () if name is None else (source / name, source / "images" / name)
    for folder in (*named, source / "images"):
        if folder.is_dir():
            return folder
    return source / (name or "")


def _others(values: dict[str, Any], read: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in read}


def _load(part: CocoPart, intake: Intake) -> _Contents:
    contents = _Contents()
    for file in part.files:
        with intake.listing(file):
            _join(contents, file, read_json_object(file), intake)
    known = contents.images.keys()
    for key in [key for key in contents.labels if key not in known]:
        for file, label in contents.labels[key]:
            with intake.listing(file, item=f"annotation {label['id']}"):
                raise LabelError("unknown-image", f"no picture has the id {key!r}")
    return contents


def _join(contents: _Contents, file: Path, values: dict[str, Any], intake: Intake) -> None:
    """Add the pictures and labels of one file; pictures may be known from another."""
    categories = list_field(values, "categories")
    contents.has_classes |= "categories" in values
    contents.classes[file] = _classes(categories, file, intake)
    here, labels = SeenNames(), SeenNames()
    for image in list_field(values, "images"):
        with intake.listing(file):
            key = _key(image, "id")
            here.add(key, "image id")
            contents.images.setdefault(key, (file, image))
    for label in list_field(values, "annotations"):
        with intake.listing(file):
            labels.add(_key(label, "id"), "annotation id")
            contents.labels[_key(label, "image_id")].append((file, label))


def _classes(categories: list[dict[str, Any]], file: Path, intake: Intake) -> dict[Key, str]:
    names: dict[Key, str] = {}
    listed: list[Category] = []
    for category in categories:
        with intake.listing(file):
            key, name = _key(category, "id"), text_field(category, "name")
            if key in names:
                raise LabelError("duplicate", f"category id {key!r} appears more than once")
            names[key] = name
            above = category.get("supercategory")
            listed.append(Category(name, key, above if isinstance(above, str) else ""))
    intake.declare(listed)
    return names


def _labeled(
    contents: _Contents, key: Any, record: Record, tokens: Sequence[str], intake: Intake
) -> Record:
    """The record with its labels, and with the annotations that are made from them."""
    labels = contents.labels.get(key, [])
    instances: list[Instance] = []
    captions: list[Annotation] = []
    for file, label in labels:
        item = f"annotation {label['id']}"
        with intake.listing(file, item=item):
            if "caption" not in label:
                polygons: Outlines = ()
                if label.get("segmentation") and not label.get("iscrowd"):
                    with _outlines_intake(label, tokens, intake).listing(file, item=item):
                        polygons = _polygons(label["segmentation"], record.image_size)
                classes = contents.classes[file]
                instances.append(_instance(label, polygons, classes, record.image_size))
                if label.get("iscrowd"):
                    raise LabelError("crowd", "one region stands for many objects: not learned")
            elif "<CAPTION>" in tokens:
                captions += intake.checked(
                    [_caption(label, intake.annotator)], record.image_size, file
                )
    # A picture whose every label was bad is not one with nothing in it.
    nothing_there = contents.has_classes and all("caption" in label for _, label in labels)
    objects = label_objects(instances, intake.annotator)
    made: tuple[Annotation, ...] = ()
    if nothing_there or any(not each.crowd for each in instances):
        asked = instance_annotations(instances, record.image_size, tokens, intake.annotator)
        made = intake.checked(asked, record.image_size, contents.images[key][0])
    known = objects or nothing_there
    return replace(record, annotations=(*made, *captions), objects=objects if known else None)


def _outlines_intake(label: dict[str, Any], tokens: Sequence[str], intake: Intake) -> Intake:
    """Where it is listed that a mask has no outlines: nowhere if nobody asks for them.

    Run lengths are kept as they are, so that nothing is lost.
    """
    asked = "<REGION_TO_SEGMENTATION>" in tokens or "bbox" not in label
    if asked or not isinstance(label["segmentation"], dict):
        return intake
    return replace(intake, report=lambda problem: None)


def _caption(label: dict[str, Any], annotator: Annotator) -> Annotation:
    caption = text_field(label, "caption").strip()
    if not caption:
        raise LabelError("empty-text", "the caption is empty")
    return Annotation("<CAPTION>", Text(caption), annotator=annotator)


def _instance(
    label: dict[str, Any], polygons: Outlines, classes: dict[Key, str], image_size: ImageSize
) -> Instance:
    category = _key(label, "category_id")
    if category not in classes:
        raise LabelError("unknown-class", f"there is no category id {category!r}")
    if "bbox" not in label and polygons:
        corners = point_bounds(np.concatenate(polygons)).tolist()
    else:
        numbers = numbers_field(label, "bbox")
        if len(numbers) != 4:
            raise LabelError("malformed", f"a bbox is [x, y, width, height], got {numbers}")
        x, y, width, height = numbers
        corners = [x, y, x + width, y + height]
    attributes = _others(label, _LABEL_FIELDS)
    if isinstance(label.get("segmentation"), dict):
        attributes["segmentation"] = label["segmentation"]
    score = label.get("score")
    return Instance(
        classes[category],
        checked_box(corners, image_size),
        polygons,
        category_id=category,
        id=label["id"],
        score=float(score) if isinstance(score, int | float) else None,
        attributes=attributes,
        crowd=bool(label.get("iscrowd")),
    )


def _polygons(segmentation: Any, image_size: ImageSize) -> Outlines:
    """The outlines of a mask. One bad part spoils it: the rest would be another shape."""
    if isinstance(segmentation, dict):
        mask = decode_mask(segmentation)
        if mask.shape != (image_size[1], image_size[0]):
            raise LabelError("image-size", f"the mask is {mask.shape[1]} x {mask.shape[0]}")
        parts: list[list[float]] = mask_polygons(mask)
    elif isinstance(segmentation, list):
        parts = [numbers_field({"polygon": part}, "polygon") for part in segmentation]
    else:
        raise LabelError(
            "malformed", f"a segmentation is a list or an object: {segmentation!r:.80}"
        )
    return tuple(checked_polygon(part, image_size) for part in parts)


def _key(values: dict[str, Any], name: str) -> Key:
    key = values.get(name)
    if not isinstance(key, int | str):
        raise LabelError("malformed", f"{name!r} should be a number or a string, got {key!r}")
    return key
