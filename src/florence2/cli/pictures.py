"""The pictures of a run as the model takes them: paths as they are, pages and frames rendered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .sources import Source

if TYPE_CHECKING:
    from ..image import ImageSource
    from ..workflows.video import Frame

# A frame is the one of a time when it is not further from it than this, in seconds.
_SLACK = 1e-3


class PictureReader:
    """Gives the pictures of sources, in their order; a video is decoded once from its beginning."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._file = ""
        self._frames: Iterator[Frame] = iter(())
        self._frame: Frame | None = None

    def get(self, source: Source) -> ImageSource:
        """The picture. Raises ``ValueError`` or ``OSError`` for a page or frame without one."""
        if source.page is not None:
            from ..workflows.documents import load_page

            return load_page(source.file, source.page)
        if source.seconds is not None:
            return self._frame_at(source.file, source.seconds)
        return source.image

    def _frame_at(self, file: str, seconds: float) -> ImageSource:
        from ..workflows.video import frames_of

        if file != self._file:
            self._file, self._frame = file, None
            self._frames = frames_of(file, self._every)
        while self._frame is None or self._frame.seconds + _SLACK < seconds:
            self._frame = next(self._frames, None)
            if self._frame is None:
                raise ValueError(f"the video has no frame at {seconds:g} s")
        return self._frame.image
