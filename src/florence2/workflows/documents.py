"""Pages of PDF files as images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from ..processing.containers import UnitReader
from ..processing.containers.unit_reader import DEFAULT_RESOLUTION
from ..processing.image import MAX_PIXELS

__all__ = ["DEFAULT_RESOLUTION", "PdfPages", "load_page"]


class PdfPages:
    """The pages of a PDF, rendered one at a time as RGB images, with filled forms.

    Pages are rendered in a separate process with limits on memory and time.

    Args:
        source: a path, or the bytes of a file.
        resolution: pixels per inch; lower for a page that would have more than ``max_pixels``.
        password: password of the file.
        max_pixels: maximum number of pixels of a page.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a PDF or needs another password.
        ImportError: pypdfium2 is not installed.
    """

    def __init__(
        self,
        source: str | Path | bytes,
        *,
        resolution: float = DEFAULT_RESOLUTION,
        password: str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._reader = UnitReader(resolution=resolution, max_pixels=max_pixels)
        self._source, self._password = source, password
        if not isinstance(source, bytes) and not Path(source).exists():
            raise FileNotFoundError(f"{source} is missing")
        self._count = self._reader.count_pages(source, password)

    def __enter__(self) -> PdfPages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass  # only the decoder process has the file open

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Image.Image]:
        for index in range(len(self)):
            yield self[index]

    def __getitem__(self, index: int) -> Image.Image:
        """The image of a page, by its index from 0. Raises ``IndexError``."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} pages, got {index + 1}")
        return self._reader.render_page(self._source, index, self._password)


def load_page(source: str | Path | bytes, page: int = 1, **options: Any) -> Image.Image:
    """Page number ``page`` of a PDF, counted from 1, as an image. ``ValueError`` for no such page.

    ``options`` are those of ``PdfPages``.
    """
    with PdfPages(source, **options) as pages:
        if not 1 <= page <= len(pages):
            raise ValueError(f"the PDF has pages 1 to {len(pages)}, not {page}")
        return pages[page - 1]
