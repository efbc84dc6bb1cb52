"""Visible masks as polygons: the simplest outlines that still cover what the mask covers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..results.geometry import resample_polygons
from .compositing import mask_to_box
from .scene import Mask

Points = NDArray[np.float32]
_Contour = NDArray[np.int32]

_MIN_IOU = 0.95
_SPECK_SHARE = 0.01
_BISECTION_STEPS = 5
_MIN_TOLERANCE = 0.3
_SUBPIXELS = 4
# Only what is smaller than this is judged at more than one point a pixel.
_GRID = 512
# Steps between pixels are evened out by this much before a rim is measured.
_STAIR_TOLERANCE = 0.7
# Vertices of all parts of an even outline together.
_VERTEX_COUNTS = (12, 16, 20, 24, 32, 40, 48, 64)
# Into how many a pixel's side is cut, and how much of the way to a perfect IoU is asked for
# beyond what is wanted: ragged small masks need finer corners.
_ATTEMPTS = ((1, 0.06), (2, 0.06), (4, 0.2), (8, 0.5))


@dataclass(frozen=True)
class _Part:
    """A connected part of a mask: its rim and the rims of its holes, on the corners of pixels."""

    rim: _Contour
    holes: tuple[_Contour, ...]
    area: float


def trace_polygons(mask: Mask, *, iou: float = _MIN_IOU) -> list[Points]:
    """Polygons ``float32[K, 2]`` in pixels whose union has at least ``iou`` with ``mask``.

    Of the outlines that do, one with few vertices. Each runs clockwise from its top-most vertex,
    the left-most of several, and they go from the top down. The format knows no holes: a polygon
    is slit open to a hole that matters. Specks are left out. An empty mask has no polygons.
    """
    left, top, window = _crop_mask(mask)
    if not window.size:
        return []
    shift = np.array([left, top], np.float32)
    for finer, beyond in _ATTEMPTS:
        enlarged = np.repeat(np.repeat(window, finer, 0), finer, 1) if finer > 1 else window
        found = _find_simplest(enlarged, iou + beyond * (1 - iou))
        if found is None:
            continue
        polygons = [polygon / np.float32(finer) for polygon in found]
        if _exact_iou(polygons, window) >= iou:
            return _sort_top_down([_start_at_top(polygon + shift) for polygon in polygons])
    raise ValueError(f"no outline of a mask of {window.sum()} pixels has an IoU of {iou}")


def trace_even_polygons(mask: Mask, *, iou: float = _MIN_IOU) -> list[Points]:
    """Polygons as ``trace_polygons`` has them, with their vertices at even distances along the rim.

    Of the counts of vertices in question the least that has ``iou``; the simplest outline where
    none does. After one vertex the next is then at a known distance. Corners wherever they serve
    best leave a model that tells one vertex after another, always the likeliest, on the spot: it
    knows less of where a far corner is than of where it has just been.
    """
    left, top, window = _crop_mask(mask)
    if not window.size:
        return []
    shift = np.array([left, top], np.float32)
    rims = [
        _start_at_top(rim)
        for rim in _approximate_parts(_drop_specks(_find_parts(window)), _STAIR_TOLERANCE)
    ]
    judge = _PolygonFit(window)
    for count in _VERTEX_COUNTS if rims else ():
        found = resample_polygons(rims, count)
        if judge(found) >= iou and _exact_iou(found, window) >= iou:
            return _sort_top_down([polygon + shift for polygon in found])
    return trace_polygons(mask, iou=iou)


def _exact_iou(polygons: list[Points], mask: Mask) -> float:
    """The intersection over union of polygons with a mask; small masks are cut into subpixels."""
    height, width = mask.shape
    finer = max(1, min(_SUBPIXELS, _GRID // max(height, width)))
    drawn = _fill_polygons(polygons, (width, height), finer)
    truth = np.repeat(np.repeat(mask, finer, 0), finer, 1) if finer > 1 else mask
    union = int(np.count_nonzero(drawn | truth))
    return int(np.count_nonzero(drawn & truth)) / union if union else 1.0


def _crop_mask(mask: Mask) -> tuple[int, int, Mask]:
    """The tight part of a mask and where it lies."""
    if not mask.any():
        return 0, 0, mask[:0, :0]
    left, top, right, bottom = map(int, mask_to_box(mask))
    return left, top, mask[top:bottom, left:right]


def _find_simplest(window: Mask, iou: float) -> list[Points] | None:
    """The coarsest outline that is true enough, found by halving; ``None`` when none is."""
    parts = _drop_specks(_find_parts(window))
    judge = _PolygonFit(window)
    best = _approximate_parts(parts, 0.0)
    if judge(best) < iou:
        return None
    low, high = np.log(_MIN_TOLERANCE), np.log(max(window.shape) / 12 + 1)
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        found = _approximate_parts(parts, float(np.exp(middle)))
        if found and judge(found) >= iou:
            low = middle
            if _count_vertices(found) < _count_vertices(best):
                best = found
        else:
            high = middle
    return best


def _find_parts(window: Mask) -> list[_Part]:
    """The connected parts, largest first.

    A pixel covers the square between four corners, so the corners of all pixels are traced: a
    contour through the middles of the pixels would lose half a pixel all round.
    """
    corners = np.zeros((window.shape[0] + 1, window.shape[1] + 1), np.uint8)
    for down in (0, 1):
        for across in (0, 1):
            corners[down : down + window.shape[0], across : across + window.shape[1]] |= window
    found, tree = cv2.findContours(corners, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    contours = [contour.reshape(-1, 2) for contour in found]
    parts = []
    for index, contour in enumerate(contours):
        if tree[0][index][3] >= 0 or len(contour) < 3:
            continue
        inside = [other for other in range(len(contours)) if tree[0][other][3] == index]
        holes = tuple(contours[other] for other in inside if len(contours[other]) >= 3)
        area = cv2.contourArea(contour) - sum(map(cv2.contourArea, holes))
        parts.append(_Part(contour, holes, area))
    return sorted(parts, key=lambda part: -part.area)


def _drop_specks(parts: list[_Part]) -> list[_Part]:
    """The parts without the smallest holes and specks, as far as they hardly matter together."""
    least = _SPECK_SHARE * sum(part.area for part in parts)
    holes = [cv2.contourArea(hole) for part in parts for hole in part.holes]
    smallest_hole = _max_negligible_area(holes, least)
    smallest_part = _max_negligible_area([part.area for part in parts], least)
    return [
        _Part(
            part.rim,
            tuple(hole for hole in part.holes if cv2.contourArea(hole) > smallest_hole),
            part.area,
        )
        for part in parts
        if part.area > smallest_part
    ]


def _max_negligible_area(areas: list[float], least: float) -> float:
    """The largest area of which all up to it together make no more than ``least``."""
    ordered = np.sort(np.asarray(areas, np.float64))
    few = int(np.searchsorted(np.cumsum(ordered), least, side="right"))
    # Of several equally large either all go or none.
    while 0 < few < len(ordered) and ordered[few] == ordered[few - 1]:
        few -= 1
    return float(ordered[few - 1]) if few else 0.0


def _approximate_parts(parts: list[_Part], tolerance: float) -> list[Points]:
    """All parts at one tolerance; what collapses at it is left out."""
    polygons = []
    for part in parts:
        polygon = _approximate(part.rim, tolerance)
        if len(polygon) < 3:
            continue
        for hole in part.holes:
            inner = _approximate(hole, tolerance)
            polygon = _join_hole(polygon, inner) if len(inner) >= 3 else polygon
        polygons.append(polygon)
    return polygons


def _approximate(contour: _Contour, tolerance: float) -> Points:
    return cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2).astype(np.float32)


def _join_hole(rim: Points, hole: Points) -> Points:
    """One polygon: round the rim, over to the hole where it is nearest, round it and back."""
    if cv2.contourArea(rim, True) * cv2.contourArea(hole, True) > 0:
        hole = hole[::-1]
    gaps = np.square(rim[:, None] - hole[None]).sum(axis=2)
    leave, enter = np.unravel_index(int(gaps.argmin()), gaps.shape)
    around = np.concatenate([hole[enter:], hole[: enter + 1]])
    return np.concatenate([rim[: leave + 1], around, rim[leave:]])


class _PolygonFit:
    """The IoU of polygons with one mask, from where their edges cross the rows of its pixels.

    What lies left of every crossing is looked up in running sums, so a large mask costs no more
    than its rim. Polygons must run all one way round and not cross themselves.
    """

    def __init__(self, window: Mask) -> None:
        self._rows, self._columns = window.shape
        self._finer = max(1, min(_SUBPIXELS, _GRID // 2 // self._rows))
        self._window = np.pad(window, ((0, 0), (0, 1)))
        self._before = np.pad(np.cumsum(window, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
        self._area = self._finer * int(self._before[:, -1].sum())

    def __call__(self, polygons: list[Points]) -> float:
        row, x, sign = _find_crossings(polygons, self._rows, self._finer)
        x = np.clip(x, 0, self._columns)
        column = x.astype(np.int64)
        covered = self._before[row, column] + (x - column) * self._window[row, column]
        common = abs(float((sign * covered).sum()))
        return common / (abs(float((sign * x).sum())) + self._area - common)


def _find_crossings(
    polygons: list[Points], rows: int, finer: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Where edges cross lines, ``finer`` of them in every row: row, x, and -1 for edges going up.

    The lines lie in the middles of equal strips.
    """
    points = np.concatenate(polygons).astype(np.float64)
    ends = np.concatenate([each for polygon in polygons for each in (polygon[1:], polygon[:1])])
    (x, y), (x_end, y_end) = points.T, ends.T.astype(np.float64)
    y, y_end = y * finer - 0.5, y_end * finer - 0.5
    first = np.clip(np.ceil(np.minimum(y, y_end)), 0, rows * finer).astype(np.int64)
    beyond = np.clip(np.ceil(np.maximum(y, y_end)), 0, rows * finer).astype(np.int64)
    count = beyond - first
    edge = np.repeat(np.arange(len(points)), count)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (x_end - x) / np.where(count > 0, y_end - y, 1)
    return line // finer, x[edge] + (line - y[edge]) * slope[edge], np.sign(y_end - y)[edge]


def _fill_polygons(polygons: list[Points], size: tuple[int, int], finer: int) -> Mask:
    """Whether the middles of cells ``bool[height * finer, width * finer]`` lie inside.

    Inside lies what has an odd number of edges to its left. Painting polygons with OpenCV would
    paint their edges too, a tenth too much in a thin ring.
    """
    width, height = size[0] * finer, size[1] * finer
    if not polygons:
        return np.zeros((height, width), bool)
    row, x, _ = _find_crossings([polygon * finer for polygon in polygons], height, 1)
    cell = row * (width + 1) + np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    crossings = np.bincount(cell, minlength=height * (width + 1)).reshape(height, width + 1)
    return (np.cumsum(crossings, axis=1)[:, :width] & 1).astype(bool)


def _start_at_top(polygon: Points) -> Points:
    """The same polygon clockwise as seen, from its top-most vertex, the left-most of several."""
    # OpenCV calls it clockwise as if y grew upwards.
    if cv2.contourArea(polygon, True) < 0:
        polygon = polygon[::-1]
    first = int(np.lexsort((polygon[:, 0], polygon[:, 1]))[0])
    return np.roll(polygon, -first, axis=0)


def _sort_top_down(polygons: list[Points]) -> list[Points]:
    """The polygons by their first vertices: by y, then by x."""
    return sorted(polygons, key=lambda polygon: (*polygon[0, ::-1].tolist(),))


def _count_vertices(polygons: list[Points]) -> int:
    return sum(map(len, polygons))
