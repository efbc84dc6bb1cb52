"""COCO's run-length masks, and the polygons around them.

A mask ``bool[H, W]`` is stored as the lengths of its runs, column by column, absent first; the
compressed form writes them as a string of 5-bit groups (pycocotools' ``maskApi.c`` defines it).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...processing.image import MAX_PIXELS
from ...results.types import ImageSize
from .problems import LabelError

Mask = NDArray[np.bool_]
Point = tuple[int, int]

# Pixels by which a traced outline may be smoothed: the height of its staircase.
_SMOOTHING = 1.0
# An outline longer than this is noise, not an object.
MAX_OUTLINE = 500_000
# No image has a side or a run that is longer.
_MAX_LENGTH = 2**62
# A run of more bits than this is longer than any image.
_MAX_SHIFT = 40
_TURNS = {(1, 0): (0, 1), (0, 1): (-1, 0), (-1, 0): (0, -1), (0, -1): (1, 0)}


def decode_mask(encoded: dict[str, Any], image_size: ImageSize | None = None) -> Mask:
    """The mask ``bool[H, W]`` of ``{"size": [H, W], "counts": runs or string}``.

    Raises ``LabelError`` when the runs do not fill the size, and when it is not that of an image
    of ``image_size``. All of it is checked before memory is taken for the pixels.
    """
    try:
        height, width = (_whole(value) for value in encoded["size"])
        counts = encoded["counts"]
        runs = _runs(counts) if isinstance(counts, str) else [_whole(value) for value in counts]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        reason = f"{error!r:.120}"
        raise LabelError("malformed", f"a mask is {{size, counts}}: {reason}") from error
    if min(runs, default=0) < 0 or sum(runs) != height * width or min(height, width) < 1:
        raise LabelError(
            "malformed",
            f"mask runs sum to {sum(runs):.6g}, not to {height:.6g} x {width:.6g} pixels",
        )
    if image_size is not None and (width, height) != image_size:
        raise LabelError("image-size", f"the mask is {width:.6g} x {height:.6g}")
    if height * width > MAX_PIXELS:
        raise LabelError("unsupported-mask", f"a mask of {height:.6g} x {width:.6g} is too large")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def mask_polygons(mask: Mask) -> list[list[float]]:
    """The outlines ``[x, y, x, y, ...]`` of the mask's parts, smoothed by up to a pixel.

    Raises ``LabelError`` for an empty mask and for one with holes, which polygons cannot express.
    """
    loops = _trace(mask)
    if not loops:
        raise LabelError("empty-polygon", "the mask has no pixel")
    if any(_signed_area(loop) < 0 for loop in loops):
        raise LabelError("unsupported-mask", "the mask has holes, which polygons cannot express")
    return [_smooth(loop).reshape(-1).tolist() for loop in loops]


def _runs(text: str) -> list[int]:
    """The run lengths of the compressed form.

    Each number is written in groups of 5 bits, lowest first, each as a character from ``"0"`` on;
    bit 6 says that more follows. From the fourth number on, they are differences to the number
    two before.
    """
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            group = ord(text[position]) - 48
            if not 0 <= group < 64 or shift > _MAX_SHIFT:
                raise ValueError(f"{text[position]!r} at {position} of counts")
            value |= (group & 0x1F) << shift
            more = bool(group & 0x20)
            shift += 5
            position += 1
        if group & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _whole(value: Any) -> int:
    """A whole number, also written as a float. Raises ``ValueError`` for other values."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} is not a whole number")
    if abs(value) >= _MAX_LENGTH:
        raise ValueError("a number is larger than any image")
    return int(value)


def _trace(mask: Mask) -> list[list[Point]]:
    """The closed outlines along pixel borders, with the mask to the right of each step.

    In image coordinates outlines run clockwise (positive area), holes the other way round.
    """
    padded = np.pad(mask, 1)
    starts: dict[Point, list[Point]] = {}
    inside, above, left = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    edges = (
        (inside & ~above, (1, 0), (0, 0)),
        (~inside & above, (-1, 0), (1, 0)),
        (inside & ~left, (0, -1), (0, 1)),
        (~inside & left, (0, 1), (0, 0)),
    )
    length = sum(int(np.count_nonzero(edge)) for edge, _, _ in edges)
    if length > MAX_OUTLINE:
        raise LabelError("unsupported-mask", f"the outline of the mask is {length:,} pixels long")
    for edge, step, offset in edges:
        for y, x in np.argwhere(edge).tolist():
            starts.setdefault((x + offset[0], y + offset[1]), []).append(step)
    loops = []
    while starts:
        loops.append(_follow(starts))
    return loops


def _follow(starts: dict[Point, list[Point]]) -> list[Point]:
    """One closed outline, its corners only, taken out of ``starts``."""
    first = next(iter(starts))
    x, y = first
    step = starts[first][0]
    corners: list[Point] = []
    previous: Point | None = None
    while (x, y) in starts:
        steps = starts[x, y]
        # Where two parts touch at a corner, turning right keeps to the part at hand.
        right = _TURNS[previous] if previous else step
        step = right if right in steps else steps[0]
        steps.remove(step)
        if not steps:
            del starts[x, y]
        if step != previous:
            corners.append((x, y))
        previous = step
        x, y = x + step[0], y + step[1]
        if (x, y) == first:
            break
    return corners


def _signed_area(points: list[Point]) -> float:
    x, y = np.asarray(points, dtype=np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _smooth(loop: list[Point]) -> NDArray[np.float64]:
    """The loop without the corners that lie within the smoothing of a straight line.

    Ramer, Douglas and Peucker's rule on the two halves between the farthest corners.
    """
    points = np.asarray(loop, dtype=np.float64)
    far = int(np.linalg.norm(points - points[0], axis=1).argmax())
    closed = np.concatenate([points, points[:1]])
    kept = {0, far}
    pending = [(0, far), (far, len(points))]
    while pending:
        start, end = pending.pop()
        if end - start < 2:
            continue
        distances = _line_distances(closed[start + 1 : end], closed[start], closed[end])
        worst = int(distances.argmax()) + start + 1
        if distances[worst - start - 1] > _SMOOTHING:
            kept.add(worst)
            pending += [(start, worst), (worst, end)]
    # A part of a few pixels may shrink to a line: it is kept as it was traced.
    return points[sorted(kept)] if len(kept) > 2 else points


def _line_distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    direction = end - start
    length = np.linalg.norm(direction)
    offset = points - start
    if length == 0:
        return np.asarray(np.linalg.norm(offset, axis=1))
    return np.asarray(np.abs(direction[0] * offset[:, 1] - direction[1] * offset[:, 0]) / length)
