"""PDF files through pdfium. Only the decoder process calls this: pdfium may end the process."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any

from PIL import Image

from ...io.extras import optional_import

MAX_PAGES = 100_000
MAX_SIDE = 30_000
_INCH = 72


class PdfDocument:
    """The pages of an open PDF, with what was filled into its forms.

    Raises ``ValueError`` for what is no PDF, needs another ``password``, or claims more than
    ``MAX_PAGES`` pages.
    """

    def __init__(self, stream: IO[bytes], password: str | None = None) -> None:
        pdfium = optional_import("pypdfium2", "pypdfium2", "'florence2[formats]'")
        self._pdfium, self._stream = pdfium, stream
        try:
            self._document = pdfium.PdfDocument(stream, password=password)
            # Before the first page: pages that are loaded earlier do not show their fields.
            self._document.init_forms()
        except pdfium.PdfiumError as error:
            raise ValueError(f"it cannot be read as a PDF ({error})") from error
        self.count = self._checked_count()

    def close(self) -> None:
        """Free the document."""
        self._document.close()
        self._stream.close()

    def render(self, index: int, resolution: float, max_pixels: int) -> Image.Image:
        """Page ``index`` from 0, at ``resolution`` pixels to the inch or fewer, in RGB."""
        page = self._page(index)
        try:
            width, height = page.get_size()
            if not (0 < width < 1e9 and 0 < height < 1e9):
                raise ValueError(f"page {index + 1} is {width:g} x {height:g} points large")
            scale = min(
                resolution / _INCH,
                (max_pixels / (width * height)) ** 0.5,
                MAX_SIDE / max(width, height),
            )
            bitmap = page.render(scale=scale)
            image: Image.Image = bitmap.to_pil().convert("RGB")
            image.info["dpi"] = (image.width * _INCH / width, image.height * _INCH / height)
            return image
        finally:
            page.close()

    def page_sizes(self, indices: Sequence[int]) -> list[tuple[float, float]]:
        """Width and height of pages in points, as they are shown."""
        sizes = []
        for index in indices:
            page = self._page(index)
            width, height = page.get_size()
            sizes.append((float(width), float(height)))
            page.close()
        return sizes

    def add_overlay(self, overlay: bytes, indices: Sequence[int]) -> bytes:
        """This PDF with the pages of ``overlay``, a PDF too, laid over the pages ``indices``."""
        pdfium = self._pdfium
        layer = pdfium.PdfDocument(overlay)
        as_form = getattr(layer, "page_as_xobject", None) or layer.capture_page_as_xobject
        for number, index in enumerate(indices):
            page = self._page(index)
            content = as_form(number, self._document).as_pageobject()
            content.set_matrix(pdfium.PdfMatrix(*_upright_matrix(page)))
            page.insert_obj(content)
            page.gen_content()
            page.close()
        stream = io.BytesIO()
        self._document.save(stream)
        layer.close()
        return stream.getvalue()

    def _page(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise ValueError(f"the PDF has pages 1 to {self.count}, not {index + 1}")
        try:
            return self._document[index]
        except self._pdfium.PdfiumError as error:
            raise ValueError(f"page {index + 1} cannot be read ({error})") from error

    def _checked_count(self) -> int:
        """The number of pages: as stated where the last page exists."""
        count = len(self._document)
        if count > MAX_PAGES:
            raise ValueError(f"it claims {count} pages, more than the limit of {MAX_PAGES}")
        if count < 2 or self._has_page(count - 1):
            return count
        present = next((index for index in range(count) if not self._has_page(index)), count - 1)
        return present + 1  # the first one that is missing fails by its number

    def _has_page(self, index: int) -> bool:
        try:
            self._document[index].close()
        except self._pdfium.PdfiumError:
            return False
        return True


def _upright_matrix(page: Any) -> tuple[float, ...]:
    """From the page as it is shown, with its origin at the bottom left, to its own space."""
    media, crop = page.get_mediabox(), page.get_cropbox()
    left, bottom = max(media[0], crop[0]), max(media[1], crop[1])
    right, top = min(media[2], crop[2]), min(media[3], crop[3])
    return {
        0: (1, 0, 0, 1, left, bottom),
        90: (0, 1, -1, 0, right, bottom),
        180: (-1, 0, 0, -1, right, top),
        270: (0, -1, 1, 0, left, top),
    }[page.get_rotation()]
