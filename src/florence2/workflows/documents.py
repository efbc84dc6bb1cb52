"""Pages of PDF files as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from ..image import MAX_PIXELS

_INCH = 72
DEFAULT_RESOLUTION = 150


class PdfPages:
    """The pages of a PDF, rendered one at a time as RGB pictures.

    ``source`` is a path or the bytes of a file; ``resolution`` is pixels to the inch, less where
    a page would have more than ``max_pixels``. Raises ``FileNotFoundError``, ``ValueError`` for a
    file that is no PDF or needs another ``password``, ``ImportError`` without pypdfium2.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        *,
        resolution: float = DEFAULT_RESOLUTION,
        password: str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if resolution <= 0:
            raise ValueError(f"resolution is pixels to the inch above 0, got {resolution}")
        try:
            import pypdfium2
        except ImportError as error:
            raise ImportError(
                "PDF pages need pypdfium2: pip install 'florence2[formats]'"
            ) from error
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise FileNotFoundError(f"{source} is missing")
        self._resolution, self._max_pixels = resolution, max_pixels
        try:
            self._document = pypdfium2.PdfDocument(source, password=password)
        except pypdfium2.PdfiumError as error:
            name = "the file" if isinstance(source, bytes) else str(source)
            raise ValueError(f"{name} cannot be read as a PDF ({error})") from error

    def __enter__(self) -> PdfPages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._document.close()

    def __len__(self) -> int:
        return len(self._document)

    def __iter__(self) -> Iterator[Image.Image]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: int) -> Image.Image:
        """The picture of a page, counted from 0. ``IndexError`` when there is none."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} pages, got {index + 1}")
        page: Any = self._document[index]
        try:
            width, height = page.get_size()
            scale = self._resolution / _INCH
            scale = min(scale, (self._max_pixels / max(1.0, width * height)) ** 0.5)
            picture: Image.Image = page.render(scale=scale).to_pil().convert("RGB")
            return picture
        finally:
            page.close()


def load_page(source: str | Path | bytes, page: int = 1, **options: Any) -> Image.Image:
    """Page number ``page``, from 1 on, of a PDF as a picture; ``ValueError`` when it is not there.

    ``options`` are those of ``PdfPages``.
    """
    with PdfPages(source, **options) as pages:
        if not 1 <= page <= len(pages):
            raise ValueError(f"the PDF has pages 1 to {len(pages)}, not {page}")
        return pages[page - 1]


def page_count(source: str | Path | bytes) -> int:
    """How many pages a PDF has. Raises what ``PdfPages`` raises."""
    with PdfPages(source) as pages:
        return len(pages)
