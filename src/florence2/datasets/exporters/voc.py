"""Pascal VOC out: ``Annotations/NAME.xml`` and ``JPEGImages``; pixels count from 1.

``ImageSets/Main/SPLIT.txt`` lists the images of each split, and ``labelmap.txt`` the classes, empty
ones too. Outlines are ``<polygon>``, as supervision has them; attributes that VOC has no element
for are ``<attributes>``, as CVAT has them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as Xml

from ...results.records import Record
from .export_names import split_file_name
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, Points, list_regions
from .xml_text import attribute_texts, coordinate, strip_invalid_xml

_DEFAULTS = {"pose": "Unspecified", "truncated": "0", "difficult": "0"}
# Elements of VOC itself that some objects have.
_OPTIONAL = ("occluded",)


class VocExporter:
    """One file an image; the lists of splits and classes at the end."""

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._names: dict[str, list[str]] = {}

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{image_suffix(record)}"
        self._output.write_image(record, f"JPEGImages/{file_name}")
        page = Xml.Element("annotation")
        _text(page, "folder", "JPEGImages")
        _text(page, "filename", file_name)
        size = Xml.SubElement(page, "size")
        for tag, value in (("width", record.width), ("height", record.height), ("depth", 3)):
            _text(size, tag, str(value))
        _text(page, "segmented", "0")
        found = list_regions(record, self._output.classes)
        for region in found:
            self._output.classes.find_class_index(region.name, region.category_id)
            page.append(_object(region))
        Xml.indent(page)
        self._output.write_one(f"Annotations/{name}.xml", Xml.tostring(page, "unicode") + "\n")
        split = "train" if record.split is None else split_file_name(record.split)
        self._names.setdefault(split, []).append(name)
        return len(found)

    def finish(self) -> list[Path]:
        files = []
        for split, names in self._names.items() or [("train", [])]:
            listing = "".join(f"{PurePosixPath(name)}\n" for name in names)
            files.append(self._output.write(f"ImageSets/Main/{split}.txt", listing))
        names = [" ".join(strip_invalid_xml(name).split()) for name in self._output.classes.names]
        if any(":" in name or name.startswith("#") or name == "background" for name in names):
            # A colon ends a name in labelmap.txt, and its background is not a class.
            files.append(self._output.write("classes.txt", "".join(f"{name}\n" for name in names)))
        else:
            lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
            lines += [f"{name}:{_color(number)}::" for number, name in enumerate(names, start=1)]
            files.append(self._output.write("labelmap.txt", "\n".join(lines) + "\n"))
        return files


def _object(found: ExportRegion) -> Xml.Element:
    attributes = attribute_texts(found.attributes)
    node = Xml.Element("object")
    _text(node, "name", found.name)
    for tag, text in _DEFAULTS.items():
        _text(node, tag, attributes.pop(tag, text))
    for tag in _OPTIONAL:
        if tag in attributes:
            _text(node, tag, attributes.pop(tag))
    if found.score is not None:
        _text(node, "confidence", f"{found.score:.6f}")
    corners = Xml.SubElement(node, "bndbox")
    x0, y0, x1, y1 = (float(value) for value in found.box)
    # Both corners belong to the box: the near one starts at 1, the far one is the last pixel.
    for tag, pixel in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
        _text(corners, tag, coordinate(pixel))
    for part in found.outlines_or_corners:
        node.append(_polygon(part))
    if attributes:
        holder = Xml.SubElement(node, "attributes")
        for name, text in attributes.items():
            attribute = Xml.SubElement(holder, "attribute")
            _text(attribute, "name", name)
            _text(attribute, "value", text)
    return node


def _polygon(points: Points) -> Xml.Element:
    node = Xml.Element("polygon")
    for number, (x, y) in enumerate(points, start=1):
        _text(node, f"x{number}", coordinate(x + 1))
        _text(node, f"y{number}", coordinate(y + 1))
    return node


def _color(number: int) -> str:
    """The color of a class in the palette of VOC."""
    color = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            color[channel] |= (number >> channel & 1) << (7 - bit)
        number >>= 3
    return ",".join(map(str, color))


def _text(parent: Xml.Element, tag: str, text: str) -> None:
    Xml.SubElement(parent, tag).text = strip_invalid_xml(text)
