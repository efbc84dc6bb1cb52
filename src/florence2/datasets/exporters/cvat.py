"""CVAT exporter: ``annotations.xml`` in "CVAT for images 1.1", for boxes, polygons and texts."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from ...results.records import Record, SourceId
from ..importers.class_list import fill_ids
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, list_captions, list_regions
from .xml_text import attribute_texts, coordinate, strip_invalid_xml

# Attributes that are XML attributes of a shape.
_OF_SHAPE = ("occluded", "z_order")
_CAPTION = "caption"


class CvatExporter:
    """Collects the labels of the dataset: the format is one file."""

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._images: list[Xml.Element] = []
        self._ids: list[SourceId | None] = []
        self._subsets: dict[str, None] = {}
        self._attributes: dict[str, dict[str, None]] = {}
        self._with_captions = False

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{image_suffix(record)}"
        image = Xml.Element("image", {"id": "", "name": strip_invalid_xml(file_name)})
        if record.split is not None:
            image.set("subset", strip_invalid_xml(record.split))
            self._subsets[strip_invalid_xml(record.split)] = None
        image.set("width", str(record.width))
        image.set("height", str(record.height))
        for found in list_regions(record, self._output.classes):
            self._output.classes.find_class_index(found.name, found.category_id)
            shapes = _shapes(found, group=len(image) + 1)
            known = self._attributes.setdefault(strip_invalid_xml(found.name), {})
            known |= dict.fromkeys(
                attribute.get("name", "") for attribute in shapes[0].iter("attribute")
            )
            image.extend(shapes)
        count = len(image)
        for task, text in list_captions(record).items():
            tag = Xml.SubElement(image, "tag", {"label": _CAPTION, "source": "auto"})
            Xml.SubElement(tag, "attribute", {"name": "text"}).text = strip_invalid_xml(text)
            Xml.SubElement(tag, "attribute", {"name": "task"}).text = task
            self._with_captions = True
            count += 1
        self._output.write_image(record, f"images/{file_name}")
        self._images.append(image)
        id = record.source_id
        self._ids.append(id if isinstance(id, int) and id >= 0 else None)
        return count

    def finish(self) -> list[Path]:
        for image, id in zip(self._images, fill_ids(self._ids), strict=True):
            image.set("id", str(id))
        page = Xml.Element("annotations")
        Xml.SubElement(page, "version").text = "1.1"
        meta = Xml.SubElement(page, "meta")
        labels = Xml.SubElement(self._holder(meta), "labels")
        for name in self._output.classes.names:
            others = self._attributes.get(strip_invalid_xml(name), {})
            _label(labels, strip_invalid_xml(name), dict.fromkeys(["score", *others]))
        if self._with_captions and _CAPTION not in self._output.classes.names:
            _label(labels, _CAPTION, {"text": None, "task": None})
        page.extend(self._images)
        Xml.indent(page)
        content = b'<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(page, "utf-8") + b"\n"
        return [self._output.write("annotations.xml", content)]

    def _holder(self, meta: Xml.Element) -> Xml.Element:
        """What holds the labels: a task, or a project with a task for each subset."""
        if not self._subsets:
            return _task(meta, 0, len(self._images))
        project = Xml.SubElement(meta, "project")
        Xml.SubElement(project, "id").text = "0"
        Xml.SubElement(project, "name").text = "florence2"
        tasks = Xml.SubElement(project, "tasks")
        for number, subset in enumerate(self._subsets):
            size = sum(image.get("subset") == subset for image in self._images)
            _task(tasks, number, size, subset)
        Xml.SubElement(project, "subsets").text = "\n".join(self._subsets)
        return project


def _task(parent: Xml.Element, id: int, size: int, subset: str = "") -> Xml.Element:
    task = Xml.SubElement(parent, "task")
    for tag, text in (
        ("id", str(id)),
        ("name", subset or "florence2"),
        ("size", str(size)),
        ("mode", "annotation"),
        ("overlap", "0"),
        ("flipped", "False"),
        ("subset", subset),
    ):
        Xml.SubElement(task, tag).text = text
    return task


def _label(parent: Xml.Element, name: str, attributes: dict[str, None]) -> None:
    label = Xml.SubElement(parent, "label")
    Xml.SubElement(label, "name").text = name
    holder = Xml.SubElement(label, "attributes")
    for attribute in attributes:
        node = Xml.SubElement(holder, "attribute")
        for tag, text in (("name", attribute), ("mutable", "False"), ("input_type", "text")):
            Xml.SubElement(node, tag).text = text
        Xml.SubElement(node, "default_value")
        Xml.SubElement(node, "values")


def _shapes(found: ExportRegion, group: int) -> list[Xml.Element]:
    """A box, or a polygon per part; the parts of one object share a group."""
    attributes = attribute_texts(found.attributes)
    shared = {
        "label": strip_invalid_xml(found.name),
        "source": "manual" if found.is_source else "auto",
        **{name: _flag(attributes.pop(name, "0")) for name in _OF_SHAPE},
    }
    outlines = found.outlines_or_corners
    if outlines:
        shared |= {"group_id": str(group)} if len(outlines) > 1 else {}
        shapes = [
            Xml.Element(
                "polygon",
                shared
                | {
                    "points": ";".join(f"{coordinate(x, 2)},{coordinate(y, 2)}" for x, y in outline)
                },
            )
            for outline in outlines
        ]
    else:
        x0, y0, x1, y1 = found.box
        corners = {"xtl": x0, "ytl": y0, "xbr": x1, "ybr": y1}
        coordinates = {key: coordinate(float(at), 2) for key, at in corners.items()}
        shapes = [Xml.Element("box", shared | coordinates)]
    if found.score is not None:
        attributes = {"score": f"{found.score:.6g}"} | attributes
    for shape in shapes:
        for name, text in attributes.items():
            Xml.SubElement(shape, "attribute", {"name": name}).text = text
    return shapes


def _flag(text: str) -> str:
    return {"true": "1", "false": "0"}.get(text.lower(), text)
