"""Read text out: hOCR files, and PDF files whose pictures can be searched.

Lines stand in reading order, in paragraphs (``reading_order``). hOCR is that of the specification
1.2: boxes are whole pixels from the top left.
"""

from __future__ import annotations

import io
import math
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as Xml

import numpy as np
from PIL import Image, ImageOps

from ...reading_order import paragraphs_of
from ...records import Record
from ...results import Quads
from .contents import Found, lines_of
from .output import Output, suffix_of
from .xml_text import allowed

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

_LATIN, _LATIN_FILE = "Vera", "Vera.ttf"
_CHINESE = "STSong-Light"
_POINTS_PER_PIXEL = 72 / 150


class HocrWriter:
    """A ``.hocr`` file beside each picture."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def add(self, record: Record, name: str) -> int:
        file_name = f"{name}{suffix_of(record)}"
        self._output.picture(record, file_name)
        paragraphs = ordered_lines(record)
        self._output.put_each(f"{name}.hocr", _page(record, file_name, paragraphs))
        return sum(map(len, paragraphs))

    def finish(self) -> list[Path]:
        return []


class PdfWriter:
    """A ``.pdf`` for each picture: the picture, with what was read lying unseen on its lines."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def add(self, record: Record, name: str) -> int:
        paragraphs = ordered_lines(record)
        self._output.put_each(f"{name}.pdf", searchable_pdf([(record.image_bytes(), paragraphs)]))
        return sum(map(len, paragraphs))

    def finish(self) -> list[Path]:
        return []


def ordered_lines(record: Record) -> list[list[Found]]:
    """The lines of a record by paragraph, in reading order."""
    lines = lines_of(record)
    quads = Quads([each.quad for each in lines], [each.words for each in lines], record.image_size)
    return [[lines[index] for index in paragraph] for paragraph in paragraphs_of(quads)]


def searchable_pdf(pages: list[tuple[bytes, list[list[Found]]]]) -> bytes:
    """A PDF of pictures with their lines of text, 150 pixels to the inch."""
    from reportlab.pdfgen.canvas import Canvas

    stream = io.BytesIO()
    canvas = Canvas(stream, invariant=True, pageCompression=1)
    for content, paragraphs in pages:
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
        width, height = (side * _POINTS_PER_PIXEL for side in picture.size)
        canvas.setPageSize((width, height))
        canvas.drawInlineImage(picture, 0, 0, width, height)
        for line in (line for paragraph in paragraphs for line in paragraph):
            _write_line(canvas, line, height)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def _write_line(canvas: Canvas, line: Found, page_height: float) -> None:
    """The words of a line, invisible, along its lower edge and as long as it is."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    _, _, right, left = line.quad.astype(np.float64) * _POINTS_PER_PIXEL
    top_left = line.quad[0].astype(np.float64) * _POINTS_PER_PIXEL
    length, size = math.dist(left, right), max(math.dist(left, top_left), 1.0)
    runs = _runs(allowed(line.words).strip())
    natural = sum(stringWidth(words, font, size) for font, words in runs)
    if length <= 0 or natural <= 0:
        return
    canvas.saveState()
    canvas.translate(left[0], page_height - left[1])
    canvas.rotate(-math.degrees(math.atan2(right[1] - left[1], right[0] - left[0])))
    text = canvas.beginText()
    text.setTextRenderMode(3)
    text.setHorizScale(100 * length / natural)
    # Letters hang below their base line by about a fifth of their height.
    text.setTextOrigin(0, 0.2 * size)
    for font, words in runs:
        text.setFont(font, size)
        text.textOut(words)
    canvas.drawText(text)
    canvas.restoreState()


def _runs(words: str) -> list[tuple[str, str]]:
    """The words by font: what the Latin one lacks is left to one for Chinese and its neighbours.

    Both come with the library or the reader; unseen, a letter need only be known by its number.
    """
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.pdfmetrics import getFont, getRegisteredFontNames, registerFont
    from reportlab.pdfbase.ttfonts import TTFont

    if _LATIN not in getRegisteredFontNames():
        registerFont(TTFont(_LATIN, _LATIN_FILE))
        registerFont(UnicodeCIDFont(_CHINESE))
    known = cast(Any, getFont(_LATIN)).face.charToGlyph
    by_font = groupby(words, lambda letter: _LATIN if ord(letter) in known else _CHINESE)
    return [(font, "".join(letters)) for font, letters in by_font]


def _page(record: Record, file_name: str, paragraphs: list[list[Found]]) -> str:
    html = Xml.Element("html", {"xmlns": "http://www.w3.org/1999/xhtml", "lang": "en"})
    head = Xml.SubElement(html, "head")
    Xml.SubElement(head, "title").text = allowed(file_name)
    Xml.SubElement(head, "meta", {"charset": "utf-8"})
    for name, content in (
        ("ocr-system", "florence2"), ("ocr-capabilities", "ocr_page ocr_par ocr_line ocrx_word"),
    ):  # fmt: skip
        Xml.SubElement(head, "meta", {"name": name, "content": content})
    body = Xml.SubElement(html, "body")
    title = f'image "{allowed(file_name)}"; bbox 0 0 {record.width} {record.height}; ppageno 0'
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


def _hocr_line(parent: Xml.Element, line: Found, number: int) -> None:
    corners = " ".join(f"{value:.0f}" for value in line.quad.reshape(-1))
    title = f"{_bbox(line.box)}; poly {corners}"
    if line.score is not None:
        title += f"; x_wconf {100 * line.score:.0f}"
    node = Xml.SubElement(
        parent, "span", {"class": "ocr_line", "id": f"line_1_{number}", "title": title}
    )
    words = allowed(line.words).split()
    letters = max(1, sum(map(len, words)) + len(words) - 1)
    begin = 0
    for index, word in enumerate(words, start=1):
        # Where a word lies within its line follows from its letters alone.
        box = _part(line.box, begin / letters, (begin + len(word)) / letters)
        begin += len(word) + 1
        Xml.SubElement(
            node, "span",
            {"class": "ocrx_word", "id": f"word_1_{number}_{index}", "title": _bbox(box)},
        ).text = word  # fmt: skip


def _part(box: Any, begin: float, end: float) -> Any:
    x0, y0, x1, y1 = box
    return np.array([x0 + begin * (x1 - x0), y0, x0 + end * (x1 - x0), y1])


def _bbox(box: Any) -> str:
    low, high = np.floor(box[:2]), np.ceil(box[2:])
    return "bbox " + " ".join(f"{value:.0f}" for value in (*low, *high))
