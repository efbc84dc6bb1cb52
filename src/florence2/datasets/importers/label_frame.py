"""The image as its labels see it: upright, or as its file stores it.

Some tools apply the orientation of a photo (EXIF, TIFF) before they label it, others do not. Where
the size in the label file tells which, the labels are turned with the image. Where both sizes are
equal (half turns, mirrors, square images), the labels are taken to be for the upright image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...processing.image import ImageInfo
from ...results.records import Record, Region
from ...results.types import ImageSize
from .image_files import check_declared_size, size_value


@dataclass(frozen=True)
class LabelFrame:
    """The coordinates of the labels of one image.

    ``size`` is the ``(width, height)`` that the labels are in; ``orientation`` is the turn that
    leads from there to the upright image (5 to 8 as in EXIF), 1 for none.
    """

    size: ImageSize
    orientation: int = 1

    def turn_points(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """``points`` ``float[K, 2]`` of the labels in pixels of the upright image."""
        if self.orientation == 1:
            return points
        width, height = self.size
        x, y = points[:, 0], points[:, 1]
        turned = {5: (y, x), 6: (height - y, x), 7: (height - y, width - x), 8: (y, width - x)}
        return np.stack(turned[self.orientation], axis=1)

    def turn_box(self, box: Sequence[float]) -> Region:
        """The box ``(x0, y0, x1, y1)`` of the labels in pixels of the upright image."""
        corners = self.turn_points(np.asarray(box, dtype=np.float64).reshape(2, 2))
        (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return x0, y0, x1, y1


def find_frame(record: Record, info: ImageInfo, declared: tuple[object, object]) -> LabelFrame:
    """The frame of labels whose file gives the image the size ``declared``.

    Raises ``LabelError`` when that is neither the upright nor the stored size.
    """
    size = (size_value(declared[0]), size_value(declared[1]))
    if size != record.image_size and info.orientation >= 5 and size == info.stored_size:
        return LabelFrame(info.stored_size, info.orientation)
    check_declared_size(record, declared)
    return LabelFrame(record.image_size)
