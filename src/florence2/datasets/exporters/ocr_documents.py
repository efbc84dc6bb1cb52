"""hOCR exporter.

Lines are in reading order, in paragraphs (``reading_order``). hOCR is that of the specification
1.2: boxes are whole pixels from the top left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np

from ...results.reading_order import group_paragraphs
from ...results.records import Record
from ...results.types import Quads
from .output import ExportDirectory, image_suffix
from .record_regions import ExportRegion, list_text_lines
from .xml_text import strip_invalid_xml


class HocrExporter:
    """A ``.hocr`` file beside each image."""

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{image_suffix(record)}"
        self._output.write_image(record, file_name)
        paragraphs = order_text_lines(record)
        self._output.write_one(f"{name}.hocr", _page(record, file_name, paragraphs))
        return sum(map(len, paragraphs))

    def finish(self) -> list[Path]:
        return []


def order_text_lines(record: Record) -> list[list[ExportRegion]]:
    """The lines of a record by paragraph, in reading order."""
    lines = list_text_lines(record)
    quads = Quads([line.quad for line in lines], [line.words for line in lines], record.image_size)
    return [[lines[index] for index in paragraph] for paragraph in group_paragraphs(quads)]


def _page(record: Record, file_name: str, paragraphs: list[list[ExportRegion]]) -> str:
    html = Xml.Element("html", {"xmlns": "http://www.w3.org/1999/xhtml", "lang": "en"})
    head = Xml.SubElement(html, "head")
    Xml.SubElement(head, "title").text = strip_invalid_xml(file_name)
    Xml.SubElement(head, "meta", {"charset": "utf-8"})
    for name, content in (
        ("ocr-system", "florence2"),
        ("ocr-capabilities", "ocr_page ocr_par ocr_line ocrx_word"),
    ):
        Xml.SubElement(head, "meta", {"name": name, "content": content})
    body = Xml.SubElement(html, "body")
    bounds = f"bbox 0 0 {record.width} {record.height}"
    title = f'image "{strip_invalid_xml(file_name)}"; {bounds}; ppageno 0'
    page = Xml.SubElement(body, "div", {"class": "ocr_page", "id": "page_1", "title": title})
    number = 0
    for index, paragraph in enumerate(paragraphs, start=1):
        boxes = np.array([line.box for line in paragraph])
        whole = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        node = Xml.SubElement(
            page, "p", {"class": "ocr_par", "id": f"par_1_{index}", "title": _bbox(whole)}
        )
        for line in paragraph:
            number += 1
            _hocr_line(node, line, number)
    Xml.indent(html)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(html, "unicode") + "\n"


def _hocr_line(parent: Xml.Element, line: ExportRegion, number: int) -> None:
    corners = " ".join(f"{value:.0f}" for value in line.quad.reshape(-1))
    title = f"{_bbox(line.box)}; poly {corners}"
    if line.score is not None:
        title += f"; x_wconf {100 * line.score:.0f}"
    node = Xml.SubElement(
        parent, "span", {"class": "ocr_line", "id": f"line_1_{number}", "title": title}
    )
    words = strip_invalid_xml(line.words).split()
    characters = max(1, sum(map(len, words)) + len(words) - 1)
    begin = 0
    for index, word in enumerate(words, start=1):
        # The position of a word in its line is estimated from the number of characters.
        box = _part(line.box, begin / characters, (begin + len(word)) / characters)
        begin += len(word) + 1
        Xml.SubElement(
            node,
            "span",
            {"class": "ocrx_word", "id": f"word_1_{number}_{index}", "title": _bbox(box)},
        ).text = word


def _part(box: Any, begin: float, end: float) -> Any:
    x0, y0, x1, y1 = box
    return np.array([x0 + begin * (x1 - x0), y0, x0 + end * (x1 - x0), y1])


def _bbox(box: Any) -> str:
    low, high = np.floor(box[:2]), np.ceil(box[2:])
    return "bbox " + " ".join(f"{value:.0f}" for value in (*low, *high))
