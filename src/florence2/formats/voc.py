"""Pascal VOC: an XML file for each picture (the VOC2012 development kit, section 6).

Pixels count from 1 and both corners belong to the box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..records import Annotation, Record
from ..results import ImageSize
from .instances import INSTANCE_TASKS, Instance, check_tasks, instance_annotations
from .pictures import SeenNames, check_declared_size, name_in, read_picture
from .problems import Intake, LabelError
from .regions import checked_box
from .xml_nodes import Node, read_xml

TASKS = tuple(task for task in INSTANCE_TASKS if task != "<REGION_TO_SEGMENTATION>")


def find_voc(source: Path, split: str | None = None) -> Iterator[Path]:
    """The annotation files of the data set in folder ``source``, in order.

    With ``split``, those that ``ImageSets/Main/SPLIT.txt`` lists, or of the folder ``SPLIT``.
    Raises ``FileNotFoundError`` when there are none.
    """
    folder = source / "Annotations" if (source / "Annotations").is_dir() else source
    listed = source / "ImageSets" / "Main" / f"{split}.txt"
    if split is None:
        files = sorted(folder.rglob("*.xml"))
    elif listed.is_file():
        names = [line.split()[0] for line in listed.read_text("utf-8").splitlines() if line.strip()]
        files = [folder / f"{name}.xml" for name in names]
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
            # A file of bad objects only is not one that says nothing is there.
            if instances or not page.find_all("object"):
                made = instance_annotations(instances, record.image_size, tokens, intake.annotator)
                annotations = intake.checked(made, record.image_size, file)
            yield replace(record, annotations=annotations)


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
    return Instance(
        label, checked_box((x0 - first_pixel, y0 - first_pixel, x1 + far, y1 + far), image_size)
    )
