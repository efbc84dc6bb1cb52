"""Searchable PDF exporter: one file per source, with the recognized text as an invisible layer.

A page has the size that its image states in dots per inch. A JPEG is embedded as it is, without
being encoded again. A source that is a PDF keeps its own pages; the text is laid over them.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from ...processing.containers import UnitReader, find_container_kind, parse_unit_name
from ...processing.image import load_image, open_image, read_orientation
from ...results.records import Record
from .ocr_documents import order_text_lines
from .output import ExportDirectory
from .record_regions import ExportRegion
from .xml_text import strip_invalid_xml

if TYPE_CHECKING:
    from reportlab.pdfgen.canvas import Canvas

_LATIN, _LATIN_FILE = "Vera", "Vera.ttf"
_CJK = "STSong-Light"
_INCH = 72  # points
DEFAULT_DPI = 150
# Other values are invalid: many files have 0, 1 or 65,535.
_MIN_DPI, _MAX_DPI = 20, 4800
_MAX_POINTS = 14_400  # the largest side that readers of PDF open
# The transform of the unit square of a stored image to an upright page of size (w, h).
_PLACED: dict[int, Callable[[float, float], tuple[float, ...]]] = {
    1: lambda w, h: (w, 0, 0, h, 0, 0),
    2: lambda w, h: (-w, 0, 0, h, w, 0),
    3: lambda w, h: (-w, 0, 0, -h, w, h),
    4: lambda w, h: (w, 0, 0, -h, 0, h),
    5: lambda w, h: (0, -h, -w, 0, w, h),
    6: lambda w, h: (0, -h, w, 0, 0, h),
    7: lambda w, h: (0, h, w, 0, 0, 0),
    8: lambda w, h: (0, h, -w, 0, w, 0),
}


@dataclass
class _Source:
    """A file with several pages, and those of them that have predictions."""

    file: str
    name: str
    is_pdf: bool
    pages: list[tuple[int, Record, str]] = field(default_factory=list)


class PdfExporter:
    """Writes the PDF of an image at once, that of a file with several pages at the end.

    ``problems`` are files whose PDF could not be made in the end, by name, with the reason.
    """

    def __init__(self, output: ExportDirectory) -> None:
        self._output = output
        self._sources: dict[str, _Source] = {}
        self._taken: set[str] = set()
        self._pages = tempfile.TemporaryDirectory(prefix="florence2-pdf-")
        self.problems: dict[str, str] = {}

    def add(self, record: Record, name: str) -> int:
        """Write the PDF of an image, or keep the page for the PDF of its file."""
        paragraphs = order_text_lines(record)
        unit = parse_unit_name(record.path or "")
        if record.image_loader is None or unit.name == unit.file:
            content = compose_pdf([(record.image_bytes(), paragraphs)])
            self._output.write_one(f"{self._free(name)}.pdf", content)
        else:
            self._keep_page(record, name, unit.file, unit.page)
        return sum(map(len, paragraphs))

    def finish(self) -> list[Path]:
        """Write the PDF of each file with several pages."""
        for source in self._sources.values():
            try:
                content = _overlaid(source) if source.is_pdf else self._composed(source)
                self._output.write_one(f"{source.name}.pdf", content)
            except (OSError, ValueError) as error:
                self.problems[source.file] = str(error)
        self._pages.cleanup()
        return []

    def _keep_page(self, record: Record, name: str, file: str, page: int | None) -> None:
        source = self._sources.get(file)
        if source is None:
            stem = name.rpartition("-page-" if page is not None else "-")[0] or name
            is_pdf = find_container_kind(file) == "pdf"
            source = _Source(file, self._free(stem.removesuffix(".pdf")), is_pdf)
        number = len(source.pages) + 1 if page is None else page
        spooled = ""
        if source.is_pdf:
            UnitReader().page_sizes(file, [number])  # raises for a missing page
        else:
            spooled = f"{len(self._sources)}-{number}.png"
            Path(self._pages.name, spooled).write_bytes(record.image_bytes())
        self._sources[file] = source
        source.pages.append((number, record, spooled))

    def _composed(self, source: _Source) -> bytes:
        directory = Path(self._pages.name)
        # Page by page: all pages of a file may not fit into memory.
        return compose_pdf(
            ((directory / spooled).read_bytes(), order_text_lines(record))
            for _, record, spooled in sorted(source.pages, key=lambda page: page[0])
        )

    def _free(self, name: str) -> str:
        """A unique name for a PDF: sources may differ in their suffix only."""
        number, free = 1, name
        while free.casefold() in self._taken:
            number += 1
            free = f"{name}-{number}"
        self._taken.add(free.casefold())
        return free


def compose_pdf(pages: Iterable[tuple[bytes, list[list[ExportRegion]]]]) -> bytes:
    """A PDF of images with their lines of text, each page in the size of its image."""
    from reportlab.pdfgen.canvas import Canvas

    result = io.BytesIO()
    with _binary_streams():
        canvas = Canvas(result, invariant=True, pageCompression=1)
        for content, paragraphs in pages:
            height, scale = _draw_image(canvas, content)
            for line in (line for paragraph in paragraphs for line in paragraph):
                _write_line(canvas, line, height, scale)
            canvas.showPage()
        canvas.save()
    return result.getvalue()


def _overlaid(source: _Source) -> bytes:
    """The PDF of a source with its lines laid over its own pages; redrawn where that fails."""
    reader = UnitReader()
    pages = sorted(source.pages, key=lambda page: page[0])
    numbers = [number for number, _, _ in pages]
    try:
        sizes = reader.page_sizes(source.file, numbers)
        overlay = _text_pdf([record for _, record, _ in pages], sizes)
        return reader.add_overlay(source.file, overlay, numbers)
    except (OSError, ValueError):
        return compose_pdf(
            (record.image_bytes(), order_text_lines(record)) for _, record, _ in pages
        )


def _text_pdf(records: Sequence[Record], sizes: Sequence[tuple[float, float]]) -> bytes:
    """Pages of these sizes in points that hold only invisible text."""
    from reportlab.pdfgen.canvas import Canvas

    result = io.BytesIO()
    canvas = Canvas(result, invariant=True, pageCompression=1)
    for record, (width, height) in zip(records, sizes, strict=True):
        canvas.setPageSize((width, height))
        scale = (width / record.width, height / record.height)
        for line in (line for paragraph in order_text_lines(record) for line in paragraph):
            _write_line(canvas, line, height, scale)
        canvas.showPage()
    canvas.save()
    return result.getvalue()


def _draw_image(canvas: Canvas, content: bytes) -> tuple[float, tuple[float, float]]:
    """Draw an image over a page of its size; its height in points, and points per pixel."""
    with open_image(content) as image:
        stored = image.size
        orientation = read_orientation(image)
        across, down = (_INCH / dpi for dpi in _resolution(image.info.get("dpi")))
        jpeg = image.format in ("JPEG", "MPO") and (image.mode != "CMYK" or "adobe" in image.info)
        mode = image.mode
    if jpeg:
        kept: Any = _jpeg_reader(content, stored, mode)
    else:
        loaded = load_image(content)
        kept, orientation = _pixel_reader(loaded), 1
        turned = loaded.size != stored
        stored = loaded.size
        across, down = (down, across) if turned else (across, down)
    if orientation >= 5:
        across, down = down, across
    columns, rows = stored if orientation < 5 else stored[::-1]
    fit = min(1.0, _MAX_POINTS / max(columns * across, rows * down))
    scale = (across * fit, down * fit)
    width, height = columns * scale[0], rows * scale[1]
    canvas.setPageSize((width, height))
    canvas.saveState()
    canvas.transform(*_PLACED[orientation](width, height))
    canvas.drawImage(kept, 0, 0, 1, 1)
    canvas.restoreState()
    return height, scale


def _resolution(stated: object) -> tuple[float, float]:
    """Dots per inch across and down: those of the file if they are plausible."""
    try:
        across, down = (float(value) for value in cast(Any, stated))
    except (TypeError, ValueError, ZeroDivisionError):
        return DEFAULT_DPI, DEFAULT_DPI
    if all(_MIN_DPI <= value <= _MAX_DPI for value in (across, down)):
        return across, down
    return DEFAULT_DPI, DEFAULT_DPI


def _jpeg_reader(content: bytes, size: tuple[int, int], mode: str) -> Any:
    """What the library draws a JPEG from: its bytes, not decoded."""
    from reportlab.lib.utils import ImageReader

    class JpegReader(ImageReader):
        def __init__(self) -> None:
            self._width, self._height = size
            self.mode, self._dataA, self.fileName = mode, None, ""

        def getRGBData(self) -> bytes:  # noqa: N802
            return content

        def getSize(self) -> tuple[int, int]:  # noqa: N802
            return size

        def jpeg_fh(self) -> Any:
            return io.BytesIO(content)

        def identity(self) -> str:
            return f"[a JPEG of {len(content)} bytes]"

    return JpegReader()


def _pixel_reader(image: Image.Image) -> Any:
    """What the library draws pixels from; gray images are stored with one channel."""
    from reportlab.lib.utils import ImageReader

    pixels = np.asarray(image)
    if (pixels == pixels[..., :1]).all():
        image = image.convert("L")
    return ImageReader(image)


@contextmanager
def _binary_streams() -> Iterator[None]:
    """Within the block, reportlab writes binary streams instead of ASCII85."""
    from reportlab import rl_config

    before, rl_config.useA85 = rl_config.useA85, 0
    try:
        yield
    finally:
        rl_config.useA85 = before


def _write_line(
    canvas: Canvas, line: ExportRegion, page_height: float, scale: tuple[float, float]
) -> None:
    """The words of a line, invisible, along its lower edge and as long as it is."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    quad = line.quad.astype(np.float64) * np.asarray(scale)
    top_left, _, right, left = quad
    length, size = math.dist(left, right), max(math.dist(left, top_left), 1.0)
    runs = _runs(strip_invalid_xml(line.words).strip())
    natural = sum(stringWidth(words, font, size) for font, words in runs)
    if length <= 0 or natural <= 0:
        return
    canvas.saveState()
    canvas.translate(left[0], page_height - left[1])
    canvas.rotate(-math.degrees(math.atan2(right[1] - left[1], right[0] - left[0])))
    text = canvas.beginText()
    text.setTextRenderMode(3)
    text.setHorizScale(100 * length / natural)
    # Characters extend below their baseline by about a fifth of their height.
    text.setTextOrigin(0, 0.2 * size)
    for font, words in runs:
        text.setFont(font, size)
        text.textOut(words)
    canvas.drawText(text)
    canvas.restoreState()


def _runs(words: str) -> list[tuple[str, str]]:
    """Split words by font: characters that the Latin font lacks use a CJK font.

    Both fonts come with the library or the PDF reader; the text is invisible.
    """
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.pdfmetrics import getFont, getRegisteredFontNames, registerFont
    from reportlab.pdfbase.ttfonts import TTFont

    if _LATIN not in getRegisteredFontNames():
        registerFont(TTFont(_LATIN, _LATIN_FILE))
        registerFont(UnicodeCIDFont(_CJK))
    known = cast(Any, getFont(_LATIN)).face.charToGlyph
    by_font = groupby(words, lambda character: _LATIN if ord(character) in known else _CJK)
    return [(font, "".join(characters)) for font, characters in by_font]
