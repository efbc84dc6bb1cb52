"""Where one thing is in respect of another, said only when it is plain to see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .scene import Box, SceneObject

OPPOSITES = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "next to": "next to",
    "in front of": "behind",
    "behind": "in front of",
}
"""The relations there are, each with what holds the other way round."""

_MIN_DISTANCE = 0.12
_MAX_OVERLAP = 0.2
_MAX_SLOPE = 0.8
_MAX_GAP = 0.1
_MIN_HIDDEN = 0.12


def union_box(boxes: Sequence[Box]) -> Box:
    """The bounds of all boxes."""
    corners = np.asarray(boxes, dtype=np.float64)
    x0, y0 = corners[:, :2].min(axis=0).tolist()
    x1, y1 = corners[:, 2:].max(axis=0).tolist()
    return x0, y0, x1, y1


def find_direction(first: Box, second: Box, size: tuple[int, int]) -> str | None:
    """ "left of", "right of", "above" or "below": where ``first`` is seen from ``second``.

    ``None`` unless the middles lie well apart, more along one axis than along the other, and the
    boxes hardly overlap along it. ``size`` is the picture's, (width, height).
    """
    reach = min(size)
    across = (second[0] + second[2] - first[0] - first[2]) / 2
    down = (second[1] + second[3] - first[1] - first[3]) / 2
    axis = 0 if abs(across) >= abs(down) else 1
    apart, aside = (across, down) if axis == 0 else (down, across)
    if abs(apart) < _MIN_DISTANCE * reach or abs(aside) > _MAX_SLOPE * abs(apart):
        return None
    low, high = (first, second) if apart > 0 else (second, first)
    overlap = low[axis + 2] - high[axis]
    shorter = min(low[axis + 2] - low[axis], high[axis + 2] - high[axis])
    if overlap > _MAX_OVERLAP * shorter:
        return None
    return (("left of", "right of"), ("above", "below"))[axis][0 if apart > 0 else 1]


def is_next_to(first: Box, second: Box, size: tuple[int, int]) -> bool:
    """Whether two boxes stand side by side with little or nothing between them."""
    if find_direction(first, second, size) not in ("left of", "right of"):
        return False
    gap = max(first[0], second[0]) - min(first[2], second[2])
    shared = min(first[3], second[3]) - max(first[1], second[1])
    lower = min(first[3] - first[1], second[3] - second[1])
    return gap <= _MAX_GAP * min(size) and shared >= 0.5 * lower


def is_in_front_of(objects: Sequence[SceneObject], nearer: int, farther: int) -> bool:
    """Whether the object at index ``nearer`` hides a good part of the one at ``farther``.

    Objects go from the farthest to the nearest. What is hidden is not known pixel by pixel: the
    nearer must show in much of the farther's box, and the farther lack a part.
    """
    if nearer <= farther or objects[farther].visible > 1 - _MIN_HIDDEN:
        return False
    x0, y0, x1, y1 = (round(value) for value in objects[farther].box)
    shown = np.count_nonzero(objects[nearer].mask[y0:y1, x0:x1])
    return bool(shown >= _MIN_HIDDEN * (x1 - x0) * (y1 - y0))
