"""The images of a run as the model takes them: paths as they are, pages and frames decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sources import Source

if TYPE_CHECKING:
    from ...processing.image import ImageSource


class PictureReader:
    """Gives the images of sources; pages and frames of one file in their order are quick."""

    def __init__(self, every: float) -> None:
        from ...processing.containers import UnitReader

        self._reader = UnitReader(every)

    def get(self, source: Source) -> ImageSource:
        """The image. Raises ``ValueError``, ``OSError`` or ``ImportError`` where there is none."""
        if source.error:
            raise ValueError(source.error)
        unit = source.unit
        return source.image if unit is None else self._reader.load_unit(unit)
