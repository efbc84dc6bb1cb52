"""YOLO: ``data.yaml`` with the class names, and a text file of labels for each image.

A line is ``class x y width height`` (the center, as fractions of the image) or ``class x y x y
...`` (a polygon). A label file has the path of its image, with ``labels`` instead of the last
``images`` of the path (docs.ultralytics.com, "Detect" and "Segment dataset format").
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...results.records import Category, Record
from .image_files import (
    SKIPPED_SUFFIXES,
    UniqueNameCheck,
    find_files,
    find_images,
    list_passed_over,
    load_record,
    name_in,
)
from .image_finder import ImageFinder, fold_name
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations, label_objects
from .label_text import MAX_LIST_BYTES, read_label_text, split_lines
from .problems import ImportContext, LabelError
from .yolo_labels import LabelLayout, LabelSurvey, has_keypoints, is_comment, parse_label
from .yolo_yaml import SPLITS, YoloSet, find_yolo

TASKS = INSTANCE_TASKS
_LABEL_DIRECTORIES = {"images": "labels", "Images": "Labels", "IMAGES": "LABELS"}
__all__ = ["SPLITS", "TASKS", "YoloSet", "find_yolo", "label_path", "read_yolo"]


@dataclass(frozen=True)
class _Item:
    """An image and its label file; no file for a background image."""

    image: Path
    name: str
    file_name: str
    label: Path | None
    split: str


def read_yolo(
    data: YoloSet,
    context: ImportContext,
    tasks: Sequence[str] = ("object-detection",),
    split: str | None = None,
    images: Path | None = None,
) -> Iterator[Record]:
    """A record for each image of the split (of all, by default) that can be read.

    ``tasks`` are those of ``TASKS``. An image with an empty label file, or without one
    in a split that has label files, is a background image. ``images`` is the directory of the
    images, if it is not the one in ``data.yaml``. All labels are surveyed before the first record.
    Raises ``ValueError`` for an unknown split, and for ambiguous labels.
    """
    tokens = check_tasks(tasks, TASKS)
    items = _list_items(data, data.choose_entries(split), images, context)
    survey = LabelSurvey()
    for item in items:
        if item.label is not None:
            try:
                survey.add(item.label, split_lines(read_label_text(item.label)))
            except LabelError:
                continue  # reported when its image is read
    layout = survey.layout(data.file, data.kpt_shape, data.task)
    context.declare([Category(data.names[number]) for number in sorted(data.names)])
    _list_doubled_names(data, context)
    return _read(data, items, layout, context, tokens)


def _list_doubled_names(data: YoloSet, context: ImportContext) -> None:
    numbers: dict[str, int] = {}
    for number, name in sorted(data.names.items()):
        first = numbers.setdefault(name.strip(), number)
        with context.collect_errors(data.file):
            if first != number:
                raise LabelError(
                    "duplicate",
                    f"classes {first} and {number} are both called {name!r:.80}, so their objects "
                    "cannot be distinguished; rename one",
                )


def label_path(image: Path) -> Path:
    """The label file of an image."""
    parts = list(image.with_suffix(".txt").parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] in _LABEL_DIRECTORIES:
            parts[index] = _LABEL_DIRECTORIES[parts[index]]
            break
    return Path(*parts)


def _read(
    data: YoloSet,
    items: Sequence[_Item],
    layout: LabelLayout,
    context: ImportContext,
    tokens: Sequence[str],
) -> Iterator[Record]:
    unique_images, unique_labels = UniqueNameCheck(), UniqueNameCheck()
    labeled = {item.split for item in items if item.label is not None}
    keypoints = 0
    unlabeled: dict[str, _Item] = {}
    for item in items:
        if item.split not in labeled:
            unlabeled.setdefault(item.split, item)
    for split, item in unlabeled.items():
        with context.collect_errors(data.file):
            expected = label_path(item.image)
            raise LabelError(
                "missing-file", f"no image of split {split!r} has a label file; expected {expected}"
            )
    for item in items:
        with context.collect_errors(item.image):
            unique_images.add(item.name, "image")
            unique_labels.add(item.label or item.image, "the label file of two images,")
            record = load_record(item.image, item.name)
            record = replace(record, split=item.split, file_name=item.file_name)
            lines: list[tuple[int, str]] | None = []
            if item.label is not None:
                lines = _label_lines(item.label, context)
                keypoints += sum(has_keypoints(line, layout) for _, line in lines or ())
            elif item.split not in labeled:
                lines = None
            if lines is not None:
                file = item.label or item.image
                record = _labeled(file, lines, record, data, layout, tokens, context)
            yield record
    if keypoints:
        with context.collect_errors(data.file):
            raise LabelError(
                "passed-over", f"the keypoints of {keypoints:,} objects are not read; boxes are"
            )


def _label_lines(file: Path, context: ImportContext) -> list[tuple[int, str]] | None:
    """The label lines of a file; None when it cannot be read."""
    with context.collect_errors(file):
        return [(n, line) for n, line in split_lines(read_label_text(file)) if not is_comment(line)]
    return None


def _labeled(
    file: Path,
    lines: Sequence[tuple[int, str]],
    record: Record,
    data: YoloSet,
    layout: LabelLayout,
    tokens: Sequence[str],
    context: ImportContext,
) -> Record:
    """The record with its labels, and with the annotations that are made from them."""
    instances: list[Instance] = []
    for number, line in lines:
        with context.collect_errors(file, number):
            instances.append(parse_label(line, data.names, record.image_size, layout))
    # A file with bad lines only is not an image without objects.
    if lines and not instances:
        return record
    made = instance_annotations(instances, record.image_size, tokens, context.annotator)
    annotations = context.keep_valid(made, record.image_size, file)
    objects = label_objects(instances, context.annotator)
    return replace(record, annotations=annotations, objects=objects)


def _list_items(
    data: YoloSet, entries: Sequence[tuple[str, Path]], images: Path | None, context: ImportContext
) -> list[_Item]:
    """The images of the directories and lists with their label files."""
    items: list[_Item] = []
    labels = _LabelDirectories()
    for split, entry in entries:
        directory = _image_directory(entry, data, split, images)
        if os.path.isdir(directory):
            items += _directory_items(directory, entry, data, split, labels, context)
            continue
        with context.collect_errors(data.file):
            if not os.path.isfile(entry):
                raise LabelError(
                    "missing-file", f"{entry} is neither a directory nor a list of images"
                )
            items += _listed_items(entry, data, split, images, labels, context)
    return items


def _image_directory(entry: Path, data: YoloSet, split: str, images: Path | None) -> Path:
    """The directory of the images of an entry; below ``images`` when the user named that."""
    if images is None or os.path.isfile(entry):
        return entry
    below = [images / name_in(data.root, entry)] if entry.is_relative_to(data.root) else []
    for directory in (*below, images / entry.name, images / split):
        if os.path.isdir(directory):
            return directory
    return images


def _directory_items(
    directory: Path,
    entry: Path,
    data: YoloSet,
    split: str,
    labels: _LabelDirectories,
    context: ImportContext,
) -> list[_Item]:
    items = []
    list_passed_over(find_files(directory), directory, context)
    for path in find_images(directory):
        name = name_in(data.root, path)
        if Path(name).is_absolute():
            name = f"{entry.name}/{name_in(directory, path)}"
        label = labels.find(label_path(entry / path.relative_to(directory)), path)
        items.append(_Item(path, name, name_in(directory, path), label, split))
    used = {item.label for item in items}
    directories = {label_path(entry / "a.jpg").parent, *(path.parent for path in used if path)}
    _list_orphans(directories, used, data, context)
    return items


def _list_orphans(
    directories: set[Path], used: set[Path | None], data: YoloSet, context: ImportContext
) -> None:
    """Report the label files that no image has, as one item for each directory."""
    for directory in sorted(directories):
        if "labels" not in directory.parts or not os.path.isdir(directory):
            continue
        names = [
            path.name
            for path in sorted(directory.glob("*.txt"))
            if path not in used and not path.name.startswith(".") and path.name != "classes.txt"
        ]
        with context.collect_errors(directory):
            if names:
                more = ", ..." if len(names) > 3 else ""
                raise LabelError(
                    "unknown-image",
                    f"{len(names)} label files have no image: {', '.join(names[:3])}{more}",
                )


def _listed_items(
    file: Path,
    data: YoloSet,
    split: str,
    images: Path | None,
    labels: _LabelDirectories,
    context: ImportContext,
) -> list[_Item]:
    """The images that a text file lists, a path a line."""
    items = []
    allowed = (data.root, data.file.parent, data.file.parent.parent, file.parent)
    finder = ImageFinder(data.root, (data.root, file.parent), images, allowed)
    for number, line in split_lines(read_label_text(file, MAX_LIST_BYTES)):
        with context.collect_errors(file, number):
            if os.path.splitext(line)[1].lower() in SKIPPED_SUFFIXES:
                raise LabelError("passed-over", f"{line!r} is of a type that is not read")
            path = file.parent / line if line.startswith("./") else Path(line)
            found = path if _is_listed_file(path, line, allowed) else finder.find(line)
            label = labels.find(label_path(found))
            items.append(_Item(found, finder.name(found), found.name, label, split))
    return items


def _is_listed_file(path: Path, line: str, allowed: Sequence[Path]) -> bool:
    """Whether the line itself is the path of an image: absolute, or beside the list."""
    if line.startswith("./"):
        absolute = Path(os.path.abspath(path))
        return os.path.isfile(path) and any(
            absolute.is_relative_to(os.path.abspath(directory)) for directory in allowed
        )
    return path.is_absolute() and ".." not in path.parts and os.path.isfile(path)


class _LabelDirectories:
    """Label files by name, regardless of case and Unicode normal form."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, Path]] = {}

    def find(self, *candidates: Path) -> Path | None:
        """The label file at the first of ``candidates`` that has one; suffixes are ignored."""
        for candidate in candidates:
            path = candidate.with_suffix(".txt")
            if os.path.isfile(path):
                return path
            found = self._list_directory(path.parent).get(fold_name(path.name))
            if found is not None:
                return found
        return None

    def _list_directory(self, directory: Path) -> dict[str, Path]:
        if directory not in self._names:
            try:
                names = sorted(os.listdir(directory))
            except OSError:
                names = []
            self._names[directory] = {
                fold_name(name): directory / name for name in names if name.lower().endswith(".txt")
            }
        return self._names[directory]
