"""Pascal VOC: an XML file for each picture (the VOC2012 development kit, section 6).

Pixels count from 1 and both corners belong to the box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..records import Annotation, Category, LabeledObject, Record
from ..results import ImageSize
from .instances import (
    INSTANCE_TASKS,
    Instance,
    check_tasks,
    instance_annotations,
    label_objects,
)
from .pictures import SeenNames, check_declared_size, name_in, read_picture
from .problems import Intake, LabelError
from .regions import checked_box, checked_polygon
from .splits import find_role, match_splits
from .xml_nodes import Node, read_xml

TASKS = tuple(task for task in INSTANCE_TASKS if task != "<REGION_TO_SEGMENTATION>")


def find_voc(source: Path, split: str | None = None) -> Iterator[Path]:
    """The annotation files of the data set in folder ``source``, in order.

    With ``split``, those that ``ImageSets/Main/SPLIT.txt`` lists, or of the folder ``SPLIT``.
    Raises ``FileNotFoundError`` when there are none.
    """
    folder = source / "Annotations" if (source / "Annotations").is_dir() else source
    lists = {file.stem: file for file in sorted((source / "ImageSets" / "Main").glob("*.txt"))}
    if split is None:
        files = sorted(folder.rglob("*.xml"))
    elif split in lists or not (source / split).is_dir():
        files = []
        for name in match_splits(split, lists):
            lines = lists[name].read_text("utf-8").splitlines()
            files += [folder / f"{line.split()[0]}.xml" for line in lines if line.strip()]
    else:
        files = sorted((source / split).rglob("*.xml"))
    if not files:
        raise FileNotFoundError(
            f"{source} holds no annotation (*.xml){f' of split {split!r}' if split else ''}"
        )
    yield from files


def read_voc(
    files: Iterator[Path],
    root: Path,
    intake: Intake,
    tasks: Sequence[str] = ("object-detection",),
    classes: Sequence[str] | None = None,
    first_pixel: int = 1,
) -> Iterator[Record]:
    """A record for each annotation file whose picture can be read; its id is its path from root.

    ``tasks`` are those of ``TASKS``. ``classes`` are the names allowed, all by default.
    ``first_pixel`` is 0 for files whose writer counts from 0.
    """
    tokens = check_tasks(tasks, TASKS)
    seen = SeenNames()
    splits = _listed_splits(root)
    intake.declare(_label_map(root, intake))
    for file in files:
        with intake.listing(file):
            if not file.is_file():
                raise LabelError("missing-file", f"{file} is missing")
            page = read_xml(file)
            path = _picture_path(file, page, root)
            seen.add(path, "picture")
            record = read_picture(path, name_in(root, path))
            check_declared_size(record, _declared_size(page))
            instances = []
            for node in page.find_all("object"):
                with intake.listing(file, node.line):
                    instances.append(_instance(node, record.image_size, classes, first_pixel))
            annotations: tuple[Annotation, ...] = ()
            objects: tuple[LabeledObject, ...] | None = None
            # A file of bad objects only is not one that says nothing is there.
            if instances or not page.find_all("object"):
                made = instance_annotations(instances, record.image_size, tokens, intake.annotator)
                annotations = intake.checked(made, record.image_size, file)
                objects = label_objects(instances, intake.annotator)
            yield replace(
                record,
                annotations=annotations,
                objects=objects,
                split=splits.get(file.stem),
                file_name=_file_name(root, path),
            )


def _picture_path(file: Path, page: Node, root: Path) -> Path:
    """Where the picture lies: in ``JPEGImages``, or beside the annotation."""
    name = page.text_of("filename")
    if not name:
        raise LabelError("malformed", "there is no <filename>")
    beside = file.with_name(name)
    return beside if beside.is_file() else root / "JPEGImages" / name


def _declared_size(page: Node) -> tuple[float, float]:
    size = page.find("size")
    return (0, 0) if size is None else (size.number_of("width"), size.number_of("height"))


def _file_name(root: Path, path: Path) -> str:
    """The name of the picture among those of the set: below ``JPEGImages``, where there is one."""
    folder = root / "JPEGImages"
    return name_in(folder if path.is_relative_to(folder) else root, path)


def _listed_splits(root: Path) -> dict[str, str]:
    """The split of each picture that ``ImageSets/Main`` lists in one of its own."""
    found: dict[str, str] = {}
    for file in sorted((root / "ImageSets" / "Main").glob("*.txt")):
        # Others are joins (trainval) or list one class (cat_train).
        if find_role(file.stem) is None:
            continue
        for line in file.read_text("utf-8", errors="replace").splitlines():
            if line.strip():
                found.setdefault(PurePosixPath(line.split()[0]).name, file.stem)
    return found


def _label_map(root: Path, intake: Intake) -> list[Category]:
    """The classes of ``labelmap.txt`` (``name:color:parts:actions``) or ``classes.txt``."""
    for name in ("labelmap.txt", "classes.txt"):
        file = root / name
        if not file.is_file():
            continue
        lines = file.read_text("utf-8-sig", errors="replace").splitlines()
        names = [line.split(":")[0] if name == "labelmap.txt" else line for line in lines]
        kept = [each.strip() for each in names if each.strip() and not each.startswith("#")]
        hidden = ("background",) if name == "labelmap.txt" else ()
        return [Category(each) for each in dict.fromkeys(kept) if each not in hidden]
    return []


def _attributes(node: Node) -> dict[str, str]:
    """What an object has besides its name and place; ``<attributes>`` are those of CVAT."""
    found = {
        each.tag: each.text
        for each in node.children
        if not each.children and each.text and each.tag not in ("name", "confidence")
    }
    for holder in node.find_all("attributes"):
        for each in holder.find_all("attribute"):
            if each.text_of("name"):
                found[each.text_of("name")] = each.text_of("value")
    return found


def _outlines(
    node: Node, image_size: ImageSize, first_pixel: int
) -> tuple[NDArray[np.float64], ...]:
    """The polygons of an object: ``<polygon>`` with ``<x1>``, ``<y1>``, ``<x2>`` ..."""
    outlines = []
    for polygon in node.find_all("polygon"):
        flat = []
        for number in range(1, len(polygon.children) // 2 + 1):
            for axis in "xy":
                flat.append(polygon.number_of(f"{axis}{number}") - first_pixel)
        if flat:
            outlines.append(checked_polygon(flat, image_size))
    return tuple(outlines)


def _instance(
    node: Node, image_size: ImageSize, classes: Sequence[str] | None, first_pixel: int
) -> Instance:
    label = node.text_of("name")
    if not label:
        raise LabelError("malformed", "an <object> needs a <name>")
    if classes is not None and label not in classes:
        raise LabelError("unknown-class", f"{label!r} is none of {len(classes)} classes")
    corners = node.find("bndbox")
    if corners is None:
        raise LabelError("malformed", f"object {label!r} has no <bndbox>")
    x0, y0, x1, y1 = (corners.number_of(tag) for tag in ("xmin", "ymin", "xmax", "ymax"))
    # The last pixel belongs to the box, so its far edge lies one further on.
    far = 1 - first_pixel
    confidence = node.text_of("confidence")
    return Instance(
        label,
        checked_box((x0 - first_pixel, y0 - first_pixel, x1 + far, y1 + far), image_size),
        _outlines(node, image_size, first_pixel),
        score=node.number_of("confidence") if confidence else None,
        attributes=_attributes(node),
    )
