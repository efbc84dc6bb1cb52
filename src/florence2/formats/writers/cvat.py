"""CVAT out: ``annotations.xml`` in "CVAT for images 1.1", for boxes, polygons and texts."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from ...records import Record
from .contents import Found, regions_of, texts_of
from .output import Output, suffix_of
from .xml_text import allowed


class CvatWriter:
    """Holds the labels of the whole set, for the format is one file."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._images: list[Xml.Element] = []
        self._with_captions = False

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{suffix_of(record)}"
        self._output.picture(record, f"images/{file_name}")
        image = Xml.Element("image", {
            "id": str(len(self._images)), "name": allowed(file_name),
            "width": str(record.width), "height": str(record.height),
        })  # fmt: skip
        for found in regions_of(record, self._output.classes):
            self._output.classes.number_of(found.name)
            image.extend(_shapes(found, group=len(image) + 1))
        count = len(image)
        for task, text in texts_of(record).items():
            tag = Xml.SubElement(image, "tag", {"label": "caption", "source": "auto"})
            Xml.SubElement(tag, "attribute", {"name": "text"}).text = allowed(text)
            Xml.SubElement(tag, "attribute", {"name": "task"}).text = task
            self._with_captions = True
            count += 1
        self._images.append(image)
        return count

    def finish(self) -> list[Path]:
        page = Xml.Element("annotations")
        Xml.SubElement(page, "version").text = "1.1"
        meta = Xml.SubElement(page, "meta")
        job = Xml.SubElement(meta, "job")
        Xml.SubElement(job, "size").text = str(len(self._images))
        labels = Xml.SubElement(job, "labels")
        for name in self._output.classes.names:
            label = Xml.SubElement(labels, "label")
            Xml.SubElement(label, "name").text = allowed(name)
            attributes = Xml.SubElement(label, "attributes")
            _attribute(attributes, "score", "text")
        if self._with_captions:
            label = Xml.SubElement(labels, "label")
            Xml.SubElement(label, "name").text = "caption"
            attributes = Xml.SubElement(label, "attributes")
            _attribute(attributes, "text", "text")
            _attribute(attributes, "task", "text")
        page.extend(self._images)
        Xml.indent(page)
        content = b'<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(page, "utf-8") + b"\n"
        return [self._output.put("annotations.xml", content)]


def _attribute(parent: Xml.Element, name: str, kind: str) -> None:
    node = Xml.SubElement(parent, "attribute")
    for tag, text in (("name", name), ("mutable", "False"), ("input_type", kind)):
        Xml.SubElement(node, tag).text = text
    Xml.SubElement(node, "default_value")
    Xml.SubElement(node, "values")


def _shapes(found: Found, group: int) -> list[Xml.Element]:
    """A box, or a polygon for each outline; those of one thing share a group."""
    shared = {"label": allowed(found.name), "source": "auto", "occluded": "0", "z_order": "0"}
    outlines = found.outlines_or_corners
    if outlines:
        shared |= {"group_id": str(group)} if len(outlines) > 1 else {}
        shapes = [
            Xml.Element(
                "polygon", shared | {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in each)}
            )
            for each in outlines
        ]
    else:
        x0, y0, x1, y1 = found.box
        corners = {"xtl": x0, "ytl": y0, "xbr": x1, "ybr": y1}
        shapes = [Xml.Element("box", shared | {key: f"{at:.2f}" for key, at in corners.items()})]
    if found.score is not None:
        for shape in shapes:
            Xml.SubElement(shape, "attribute", {"name": "score"}).text = f"{found.score:.4f}"
    return shapes
