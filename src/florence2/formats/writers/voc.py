"""Pascal VOC out: ``Annotations/NAME.xml`` and ``JPEGImages``; pixels count from 1."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as Xml

from ...records import Record
from .contents import Found, regions_of
from .output import Output, suffix_of
from .xml_text import allowed


class VocWriter:
    """One file a picture; the list of all in ``ImageSets/Main/train.txt`` at the end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._names: list[str] = []

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{suffix_of(record)}"
        self._output.picture(record, f"JPEGImages/{file_name}")
        page = Xml.Element("annotation")
        _text(page, "folder", "JPEGImages")
        _text(page, "filename", file_name)
        size = Xml.SubElement(page, "size")
        for tag, value in (("width", record.width), ("height", record.height), ("depth", 3)):
            _text(size, tag, str(value))
        _text(page, "segmented", "0")
        count = 0
        for found in regions_of(record, self._output.classes):
            self._output.classes.number_of(found.name)
            page.append(_object(found))
            count += 1
        Xml.indent(page)
        self._output.put(f"Annotations/{name}.xml", Xml.tostring(page, "unicode") + "\n")
        self._names.append(name)
        return count

    def finish(self) -> list[Path]:
        listing = "".join(f"{PurePosixPath(name)}\n" for name in self._names)
        return [self._output.put("ImageSets/Main/train.txt", listing)]


def _object(found: Found) -> Xml.Element:
    node = Xml.Element("object")
    _text(node, "name", found.name)
    for tag, value in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
        _text(node, tag, value)
    if found.score is not None:
        _text(node, "confidence", f"{found.score:.6f}")
    corners = Xml.SubElement(node, "bndbox")
    x0, y0, x1, y1 = (float(value) for value in found.box)
    # Both corners belong to the box: the near one starts at 1, the far one is the last pixel.
    for tag, place in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
        _text(corners, tag, f"{place:.2f}")
    return node


def _text(parent: Xml.Element, tag: str, text: str) -> None:
    Xml.SubElement(parent, tag).text = allowed(text)
