"""Pascal VOC: an XML file for each image (the VOC2012 development kit, section 6).

Pixels count from 1 and both corners belong to the box.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...io.paths import confine
from ...results.geometry import point_bounds
from ...results.records import Annotation, Category, LabeledObject, Record, Region
from .image_files import UniqueNameCheck, find_files, name_in, read_image_record
from .image_finder import ImageFinder
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations, label_objects
from .label_frame import LabelFrame, find_frame
from .label_text import MAX_LIST_BYTES, read_label_text, split_lines
from .problems import ImportContext, LabelError, check_text
from .region_checks import are_fractions, checked_box, checked_polygon
from .splits import find_role, match_splits
from .xml_nodes import Node, read_xml

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
# The number behind a name in the list of a class: whether the image has such an object.
_FLAG = re.compile(r"\s+-?[01]\Z")
TASKS = tuple(task for task in INSTANCE_TASKS if task != "<REGION_TO_SEGMENTATION>")


@dataclass(frozen=True)
class _Units:
    """What coordinates are in: pixels from ``first_pixel`` on, or fractions of the image."""

    first_pixel: int
    fractions: bool

    def to_pixels(self, flat: Sequence[float], frame: LabelFrame) -> list[float]:
        """``x, y, x, y, ...`` in pixels from 0 on."""
        if self.fractions:
            return [value * frame.size[index % 2] for index, value in enumerate(flat)]
        return [value - self.first_pixel for value in flat]


def find_voc(source: Path, split: str | None = None) -> list[Path]:
    """The annotation files of the dataset in directory ``source``, in order.

    With ``split``, those that ``ImageSets/Main/SPLIT.txt`` lists, or of the directory ``SPLIT``.
    Raises ``FileNotFoundError`` when there are none.
    """
    if source.is_file():
        raise ValueError(f"{source} is a file: name the directory of the VOC dataset")
    directory = _annotation_directory(source)
    lists = {file.stem: file for file in sorted((source / "ImageSets" / "Main").glob("*.txt"))}
    if split is None:
        files = _xml_files(directory)
    elif split in lists or not (source / split).is_dir():
        chosen = [lists[name] for name in match_splits(split, lists)]
        names = [name for file in chosen for name in _list_names(file, directory)]
        files = [_listed_file(directory, name) for name in names]
    else:
        files = _xml_files(source / split)
    if not files:
        raise FileNotFoundError(
            f"{source} holds no annotation (*.xml){f' of split {split!r}' if split else ''}"
        )
    return files


def read_voc(
    files: Iterable[Path],
    root: Path,
    context: ImportContext,
    tasks: Sequence[str] = ("object-detection",),
    classes: Sequence[str] | None = None,
    first_pixel: int = 1,
    images: Path | None = None,
) -> Iterator[Record]:
    """A record for each annotation file whose image can be read; its id is its path from root.

    ``tasks`` are those of ``TASKS``. ``classes`` are the names allowed, all by default.
    ``first_pixel`` is 0 for files whose writer counts from 0. ``images`` is the directory of the
    images, where it is neither ``JPEGImages`` nor that of the annotations. When the boxes of
    the whole set are between 0 and 1, they are read as fractions of the images, which is listed.
    """
    tokens = check_tasks(tasks, TASKS)
    files = list(files)
    units = _Units(first_pixel, are_fractions(box for file in files for box in _boxes(file)))
    return _read(files, root, context, tokens, classes, units, images)


def _read(
    files: Sequence[Path],
    root: Path,
    context: ImportContext,
    tokens: Sequence[str],
    classes: Sequence[str] | None,
    units: _Units,
    images: Path | None,
) -> Iterator[Record]:
    if units.fractions:
        with context.collect_errors(files[0]):
            raise LabelError(
                "fractions",
                "all boxes of the set are between 0 and 1: they were read as fractions of the "
                "images, where VOC has pixels",
            )
    unique_names = UniqueNameCheck()
    splits = _listed_splits(root)
    context.declare(_label_map(root, context))
    finder = ImageFinder(root, [root / "JPEGImages"], images)
    for file in files:
        with context.collect_errors(file):
            page = read_xml(file)
            path = _image_path(file, page, finder, images)
            unique_names.add(path, "image")
            record, info = read_image_record(path, finder.name(path))
            frame = find_frame(record, info, _declared_size(page))
            instances = []
            for node in page.find_all("object"):
                with context.collect_errors(file, node.line):
                    instances.append(_instance(node, frame, classes, units))
            annotations: tuple[Annotation, ...] = ()
            objects: tuple[LabeledObject, ...] | None = None
            # A file with bad objects only is not an image without objects.
            if instances or not page.find_all("object"):
                made = instance_annotations(instances, record.image_size, tokens, context.annotator)
                annotations = context.keep_valid(made, record.image_size, file)
                objects = label_objects(instances, context.annotator)
            yield replace(
                record,
                annotations=annotations,
                objects=objects,
                split=splits.get(file.stem),
                file_name=_file_name(root, path),
            )


def _annotation_directory(root: Path) -> Path:
    directory = root / "Annotations"
    return directory if directory.is_dir() else root


def _xml_files(directory: Path) -> list[Path]:
    return [path for path in find_files(directory) if path.suffix.lower() == ".xml"]


def _list_names(file: Path, directory: Path) -> list[str]:
    """The images that a list names: a name a line, with 1, 0 or -1 behind it in lists of a class.

    A name that ends like that (``photo 1``) stays whole if ``directory`` has its annotation file.
    """

    def name_of(line: str) -> str:
        name = _FLAG.sub("", line)
        if name != line and os.path.isfile(directory / f"{PurePosixPath(line).name}.xml"):
            return line
        return name

    try:
        lines = split_lines(read_label_text(file, MAX_LIST_BYTES))
        return [name_of(line) for _, line in lines]
    except LabelError as error:
        raise ValueError(str(error)) from error


def _listed_file(directory: Path, name: str) -> Path:
    """The annotation file of a listed image. Raises ``ValueError`` for a name that leads away."""
    try:
        return confine(directory, f"{name.removesuffix('.xml')}.xml")
    except ValueError as error:
        raise ValueError(
            f"ImageSets lists {name!r:.80}, which is not a file name: {error}"
        ) from error


def _boxes(file: Path) -> Iterator[list[float]]:
    """The boxes of an annotation file; none where it cannot be read, which is listed later."""
    try:
        for node in read_xml(file).find_all("object"):
            corners = node.find("bndbox")
            if corners is not None:
                yield [corners.number_of(tag) for tag in _CORNERS]
    except LabelError:
        return


def _image_path(file: Path, page: Node, finder: ImageFinder, images: Path | None) -> Path:
    """The path of the image: beside the annotation, in ``JPEGImages``, or where the finder looks.

    ``<filename>`` may lack its suffix, or name the image before it was renamed with its
    annotation.
    """
    name = page.text_of("filename")
    if not name:
        raise LabelError("malformed", "there is no <filename>")
    beside = file.parent / name
    if images is None and "/" not in name and os.path.isfile(beside):
        return beside
    try:
        return finder.find(name)
    except LabelError as error:
        if error.kind != "missing-file":
            raise
        try:
            return finder.find(file.stem)
        except LabelError:
            raise error from None


def _declared_size(page: Node) -> tuple[object, object]:
    size = page.find("size")
    return (0, 0) if size is None else (size.text_of("width"), size.text_of("height"))


def _file_name(root: Path, path: Path) -> str:
    """The name of the image among those of the set: below ``JPEGImages``, where there is one."""
    directory = root / "JPEGImages"
    return name_in(directory if path.is_relative_to(directory) else root, path)


def _listed_splits(root: Path) -> dict[str, str]:
    """The split of each image that ``ImageSets/Main`` lists in the file of a split."""
    found: dict[str, str] = {}
    for file in sorted((root / "ImageSets" / "Main").glob("*.txt")):
        # Others are joins (trainval) or list one class (cat_train).
        if find_role(file.stem) is not None:
            for name in _list_names(file, _annotation_directory(root)):
                found.setdefault(PurePosixPath(name).name, file.stem)
    return found


def _label_map(root: Path, context: ImportContext) -> list[Category]:
    """The classes of ``labelmap.txt`` (``name:color:parts:actions``) or ``classes.txt``."""
    for name in ("labelmap.txt", "classes.txt"):
        file = root / name
        if not file.is_file():
            continue
        with context.collect_errors(file):
            lines = [line for _, line in split_lines(read_label_text(file))]
            if name == "labelmap.txt":
                lines = [line.split(":")[0] for line in lines if not line.startswith("#")]
                lines = [line for line in lines if line != "background"]
            names = dict.fromkeys(line.strip() for line in lines)
            return [Category(name) for name in names if name]
    return []


def _attributes(node: Node) -> dict[str, str]:
    """The fields of an object besides its name and box; ``<attributes>`` are those of CVAT."""
    found = {
        child.tag: child.text
        for child in node.children
        if not child.children and child.text and child.tag not in ("name", "confidence")
    }
    for holder in node.find_all("attributes"):
        for attribute in holder.find_all("attribute"):
            if attribute.text_of("name"):
                found[attribute.text_of("name")] = attribute.text_of("value")
    return found


def _outlines(node: Node, frame: LabelFrame, units: _Units) -> tuple[NDArray[np.floating], ...]:
    """The polygons of an object: ``<polygon>`` with ``<x1>``, ``<y1>``, ``<x2>`` ..., or points."""
    outlines = []
    for polygon in node.find_all("polygon"):
        points = polygon.find_all("pt")
        flat = [point.number_of(axis) for point in points for axis in "xy"]
        if not points:
            numbers = range(1, len(polygon.children) // 2 + 1)
            flat = [polygon.number_of(f"{axis}{number}") for number in numbers for axis in "xy"]
        if flat:
            outlines.append(checked_polygon(units.to_pixels(flat, frame), frame.size))
    return tuple(outlines)


def _instance(
    node: Node, frame: LabelFrame, classes: Sequence[str] | None, units: _Units
) -> Instance:
    """The object of an element, in pixels of the upright image."""
    label = node.text_of("name")
    if not label:
        raise LabelError("malformed", "an <object> needs a <name>")
    if classes is not None and label not in classes:
        raise LabelError("unknown-class", f"{label!r} is not one of {len(classes)} classes")
    outlines = _outlines(node, frame, units)
    box = _box(node, frame, units, outlines)
    confidence = node.text_of("confidence")
    return Instance(
        check_text(label, "<name>"),
        frame.turn_box(box),
        tuple(frame.turn_points(outline) for outline in outlines),
        score=node.number_of("confidence") if confidence else None,
        attributes=_attributes(node),
    )


def _box(
    node: Node,
    frame: LabelFrame,
    units: _Units,
    outlines: Sequence[NDArray[np.floating]],
) -> Region:
    """The box of an object; around its polygons where it has no ``<bndbox>``."""
    corners = node.find("bndbox")
    if corners is None and outlines:
        return checked_box(point_bounds(np.concatenate(outlines)).tolist(), frame.size)
    if corners is None:
        raise LabelError("malformed", f"object {node.text_of('name')!r} has no <bndbox>")
    flat = [corners.number_of(tag) for tag in _CORNERS]
    x0, y0, x1, y1 = units.to_pixels(flat, frame)
    # The last pixel belongs to the box, so its far edge is one pixel further.
    far = 0 if units.fractions else 1
    return checked_box((x0, y0, x1 + far, y1 + far), frame.size)
