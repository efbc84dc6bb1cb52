"""Masks as bitmaps, run lengths and polygons: the only module that converts between them.

A mask is ``bool[H, W]``. COCO stores it as the lengths of its runs, column by column, background
first; the compressed form writes them as a string of 5-bit groups (pycocotools' ``maskApi.c``
defines it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.extras import optional_import
from .answers import ImageSize
from .geometry import FloatArray

Mask = NDArray[np.bool_]
Point = tuple[int, int]
MaskFault = Literal["malformed", "image-size", "unsupported-mask", "empty-polygon"]

# As large as the largest image that is decoded.
MAX_MASK_PIXELS = 2**27
# Pixels by which a traced contour may be smoothed: the height of its staircase.
_SMOOTHING = 1.0
# A contour longer than this is noise, not an object.
MAX_CONTOUR = 500_000
# No image has a side or a run that is longer.
_MAX_LENGTH = 2**62
# A run of more bits than this is longer than any image.
_MAX_SHIFT = 40
_TURNS = {(1, 0): (0, 1), (0, 1): (-1, 0), (-1, 0): (0, -1), (0, -1): (1, 0)}


class MaskError(ValueError):
    """A mask that cannot be decoded or expressed as polygons; ``kind`` is the kind of fault."""

    def __init__(self, kind: MaskFault, message: str) -> None:
        super().__init__(message)
        self.kind: MaskFault = kind


def decode_rle(encoded: dict[str, Any], image_size: ImageSize | None = None) -> Mask:
    """Decode ``{"size": [H, W], "counts": runs or string}`` to a mask ``bool[H, W]``.

    Everything is checked before memory for the pixels is allocated.

    Args:
        encoded: Run lengths as COCO stores them, compressed or not.
        image_size: ``(width, height)`` that the mask must have.

    Raises:
        MaskError: The runs do not fill the size, or it is not ``image_size``.
    """
    try:
        height, width = (_whole(value) for value in encoded["size"])
        counts = encoded["counts"]
        runs = _runs(counts) if isinstance(counts, str) else [_whole(value) for value in counts]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        reason = f"{error!r:.120}"
        raise MaskError("malformed", f"a mask is {{size, counts}}: {reason}") from error
    if min(runs, default=0) < 0 or sum(runs) != height * width or min(height, width) < 1:
        raise MaskError(
            "malformed",
            f"mask runs sum to {sum(runs):.6g}, not to {height:.6g} x {width:.6g} pixels",
        )
    if image_size is not None and (width, height) != image_size:
        raise MaskError("image-size", f"the mask is {width:.6g} x {height:.6g}")
    if height * width > MAX_MASK_PIXELS:
        raise MaskError("unsupported-mask", f"a mask of {height:.6g} x {width:.6g} is too large")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def mask_to_polygons(mask: Mask) -> list[list[float]]:
    """Trace the parts of a mask as polygons ``[x, y, x, y, ...]``, smoothed by up to a pixel.

    Raises ``MaskError`` for an empty mask and for one with holes, which polygons cannot express.
    """
    loops = _trace(mask)
    if not loops:
        raise MaskError("empty-polygon", "the mask has no pixel")
    if any(_signed_area(loop) < 0 for loop in loops):
        raise MaskError("unsupported-mask", "the mask has holes, which polygons cannot express")
    return [_smooth(loop).reshape(-1).tolist() for loop in loops]


def polygons_to_mask(polygons: Iterable[ArrayLike], image_size: ImageSize) -> Mask:
    """Rasterize the union of polygons to ``bool[H, W]`` as COCO does; for metrics.

    Coordinates are rounded to a thousandth of a pixel: official ones have two decimals, and their
    float32 rounding errors would move single pixels.

    Args:
        polygons: ``float[K, 2]`` each, in pixels; below three points one covers nothing.
        image_size: ``(width, height)``.

    Raises:
        ImportError: faster-coco-eval is not installed.
    """
    width, height = image_size
    flat = [np.round(np.asarray(polygon, np.float64), 3).reshape(-1) for polygon in polygons]
    contours = [points.tolist() for points in flat if points.size >= 6]
    if not contours:
        return np.zeros((height, width), bool)
    library = optional_import(
        "faster_coco_eval.core.mask", "faster-coco-eval", '"florence2[evaluate]"'
    )
    encoded = library.merge(library.frPyObjects(contours, height, width))
    return np.asarray(library.decode(encoded), bool)


def fill_polygons(polygons: Sequence[FloatArray], image_size: ImageSize, upscale: int = 1) -> Mask:
    """The mask ``bool[height * upscale, width * upscale]`` of cells with their center inside.

    A point with an odd number of edges to its left is inside. OpenCV's polygon filling includes
    the edges, 10% too much for a thin ring.
    """
    width, height = image_size[0] * upscale, image_size[1] * upscale
    if not polygons:
        return np.zeros((height, width), bool)
    row, x, _ = find_row_crossings([polygon * upscale for polygon in polygons], height, 1)
    cell = row * (width + 1) + np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    crossings = np.bincount(cell, minlength=height * (width + 1)).reshape(height, width + 1)
    return (np.cumsum(crossings, axis=1)[:, :width] & 1).astype(bool)


def find_row_crossings(
    polygons: Sequence[FloatArray], rows: int, upscale: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Where edges cross lines, ``upscale`` of them in every row: row, x, and -1 for edges going up.

    The lines are the center lines of equal strips.
    """
    points = np.concatenate(polygons).astype(np.float64)
    ends = np.concatenate([each for polygon in polygons for each in (polygon[1:], polygon[:1])])
    (x, y), (x_end, y_end) = points.T, ends.T.astype(np.float64)
    y, y_end = y * upscale - 0.5, y_end * upscale - 0.5
    first = np.clip(np.ceil(np.minimum(y, y_end)), 0, rows * upscale).astype(np.int64)
    extra = np.clip(np.ceil(np.maximum(y, y_end)), 0, rows * upscale).astype(np.int64)
    count = extra - first
    edge = np.repeat(np.arange(len(points)), count)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (x_end - x) / np.where(count > 0, y_end - y, 1)
    return line // upscale, x[edge] + (line - y[edge]) * slope[edge], np.sign(y_end - y)[edge]


def _runs(text: str) -> list[int]:
    """The run lengths of the compressed form.

    Each number is written in groups of 5 bits, lowest first, each as a character from ``"0"`` on;
    bit 6 is set if more follows. From the fourth number on, they are differences to the number
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
    """The closed contours along pixel borders, with the mask to the right of each step.

    In image coordinates contours run clockwise (positive area), holes the other way round.
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
    if length > MAX_CONTOUR:
        raise MaskError("unsupported-mask", f"the contour of the mask is {length:,} pixels long")
    for edge, step, offset in edges:
        for y, x in np.argwhere(edge).tolist():
            starts.setdefault((x + offset[0], y + offset[1]), []).append(step)
    loops = []
    while starts:
        loops.append(_follow(starts))
    return loops


def _follow(starts: dict[Point, list[Point]]) -> list[Point]:
    """One closed contour, its vertices only, taken out of ``starts``."""
    first = next(iter(starts))
    x, y = first
    step = starts[first][0]
    vertices: list[Point] = []
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
            vertices.append((x, y))
        previous = step
        x, y = x + step[0], y + step[1]
        if (x, y) == first:
            break
    return vertices


def _signed_area(points: list[Point]) -> float:
    x, y = np.asarray(points, dtype=np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _smooth(loop: list[Point]) -> NDArray[np.float64]:
    """The loop without the corners within the smoothing distance of a straight line.

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
