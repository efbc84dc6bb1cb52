"""Checks of one box or polygon against its image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...results.geometry import clip_boxes, clip_points, polygon_area
from ...results.locations import BINS, dequantize
from ...results.records import Region
from ...results.types import ImageSize
from .problems import LabelError

# Label tools round outwards: a label may reach over the border by this many pixels.
TOLERANCE = 1.0
# Fractions of an image are rounded, too.
_ROUNDING = 1e-3


def checked_box(corners: Sequence[float], image_size: ImageSize) -> Region:
    """The box ``(x0, y0, x1, y1)`` cut to the image.

    Raises ``LabelError`` for a box without area, not finite, or outside the image by more than
    the tolerance.
    """
    box = np.asarray(corners, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise LabelError("degenerate-box", f"a box is four finite numbers, got {list(corners)}")
    _check_inside(box.reshape(2, 2), image_size, "box", corners)
    x0, y0, x1, y1 = (float(value) for value in clip_boxes(box[None], image_size)[0])
    if x1 <= x0 or y1 <= y0:
        raise LabelError("degenerate-box", f"box {_short(corners)} has no area")
    return x0, y0, x1, y1


def checked_polygon(flat: Sequence[float], image_size: ImageSize) -> NDArray[np.float64]:
    """The polygon ``float64[K, 2]`` of ``x, y, x, y, ...``, cut to the image.

    Raises ``LabelError`` for a polygon without area, or outside the image by more than the
    tolerance.
    """
    values = np.asarray(flat, dtype=np.float64)
    if values.ndim != 1 or len(values) % 2 or not np.isfinite(values).all():
        raise LabelError(
            "empty-polygon", f"a polygon is finite numbers x, y, x, y, ..., got {_short(flat)}"
        )
    points = values.reshape(-1, 2)
    if len(points) < 3:
        raise LabelError("empty-polygon", f"polygon {_short(flat)} has fewer than three points")
    _check_inside(points, image_size, "polygon", flat)
    cut = clip_points(points, image_size)
    if polygon_area(cut) == 0:
        raise LabelError("empty-polygon", f"polygon {_short(flat)} has no area")
    return cut.astype(np.float64, copy=False)


def are_fractions(boxes: Iterable[Sequence[float]]) -> bool:
    """Whether all boxes ``(x0, y0, x1, y1)`` of a dataset are between 0 and 1, so not in pixels.

    Stops at the first box that does not. False when there is no box.
    """
    found = False
    for box in boxes:
        if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in box):
            return False
        found = True
    return found


def box_of_bins(bins: Sequence[int], image_size: ImageSize) -> Region:
    """The box in pixels that four location tokens mean. Raises ``LabelError`` as the checks do."""
    if len(bins) != 4 or not all(0 <= index < BINS for index in bins):
        raise LabelError(
            "unreadable-prompt", f"a region is four tokens <loc_0> to <loc_{BINS - 1}>, got {bins}"
        )
    return checked_box(dequantize(bins, image_size).tolist(), image_size)


def _check_inside(
    points: NDArray[np.float64], image_size: ImageSize, what: str, original: Sequence[float]
) -> None:
    over = np.maximum(-points, points - np.asarray(image_size, dtype=np.float64)).max()
    if over > TOLERANCE:
        width, height = image_size
        raise LabelError(
            "outside-image",
            f"{what} {_short(original)} is {over:g} px outside the image of {width} x {height}",
        )


def _short(values: Sequence[float]) -> str:
    shown = ", ".join(
        f"{value:g}" if isinstance(value, float) else f"{value}" for value in values[:8]
    )
    return f"({shown}{', ...' if len(values) > 8 else ''})"
