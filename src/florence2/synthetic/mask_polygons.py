"""Masks as polygons with few vertices and a minimum IoU."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..results.geometry import resample_polygons
from ..results.masks import fill_polygons, find_row_crossings
from .compositing import mask_to_box
from .scene import Mask

Points = NDArray[np.float32]
_Contour = NDArray[np.int32]

_MIN_IOU = 0.95
_SPECK_SHARE = 0.01
_BISECTION_STEPS = 5
_MIN_TOLERANCE = 0.3
_SUBPIXELS = 4
# Masks smaller than this are compared at more than one point a pixel.
_GRID = 512
# Tolerance that removes pixel steps before a contour is measured.
_STAIR_TOLERANCE = 0.7
# Total numbers of vertices of evenly spaced polygons.
_VERTEX_COUNTS = (12, 16, 20, 24, 32, 40, 48, 64)
# Upscaling, and the share of the remaining way to IoU 1 that is required in addition: small ragged
# masks need finer vertices.
_ATTEMPTS = ((1, 0.06), (2, 0.06), (4, 0.2), (8, 0.5))


@dataclass(frozen=True)
class _Part:
    """A connected part of a mask: its contour and those of its holes, on pixel corners."""

    contour: _Contour
    holes: tuple[_Contour, ...]
    area: float


def trace_polygons(mask: Mask, *, iou: float = _MIN_IOU) -> list[Points]:
    """Polygons ``float32[K, 2]`` in pixels whose union has at least ``iou`` with ``mask``.

    The polygons have few vertices. Each runs clockwise from its top-most vertex, the left-most of
    several; the polygons are sorted from top to bottom. The format has no holes: a polygon is
    connected to its holes by a slit. Specks are left out. An empty mask has no polygons.
    """
    left, top, window = _crop_mask(mask)
    if not window.size:
        return []
    shift = np.array([left, top], np.float32)
    for upscale, extra in _ATTEMPTS:
        enlarged = np.repeat(np.repeat(window, upscale, 0), upscale, 1) if upscale > 1 else window
        found = _find_simplest(enlarged, iou + extra * (1 - iou))
        if found is None:
            continue
        polygons = [polygon / np.float32(upscale) for polygon in found]
        if _exact_iou(polygons, window) >= iou:
            return _sort_top_down([_start_at_top(polygon + shift) for polygon in polygons])
    raise ValueError(f"no polygons of a mask of {window.sum()} pixels have an IoU of {iou}")


def trace_even_polygons(mask: Mask, *, iou: float = _MIN_IOU) -> list[Points]:
    """Polygons as from ``trace_polygons``, with evenly spaced vertices along the contour.

    The smallest number of vertices with at least ``iou`` is used; the result of
    ``trace_polygons`` if there is none. A model that predicts one vertex after another learns
    vertices at a fixed distance more easily than those of the simplest polygon.
    """
    left, top, window = _crop_mask(mask)
    if not window.size:
        return []
    shift = np.array([left, top], np.float32)
    contours = [
        _start_at_top(contour)
        for contour in _approximate_parts(_drop_specks(_find_parts(window)), _STAIR_TOLERANCE)
    ]
    fit = _PolygonFit(window)
    for count in _VERTEX_COUNTS if contours else ():
        found = resample_polygons(contours, count)
        if fit(found) >= iou and _exact_iou(found, window) >= iou:
            return _sort_top_down([polygon + shift for polygon in found])
    return trace_polygons(mask, iou=iou)


def _exact_iou(polygons: list[Points], mask: Mask) -> float:
    """The intersection over union of polygons with a mask; small masks are cut into subpixels."""
    height, width = mask.shape
    upscale = max(1, min(_SUBPIXELS, _GRID // max(height, width)))
    filled = fill_polygons(polygons, (width, height), upscale)
    target = np.repeat(np.repeat(mask, upscale, 0), upscale, 1) if upscale > 1 else mask
    union = int(np.count_nonzero(filled | target))
    return int(np.count_nonzero(filled & target)) / union if union else 1.0


def _crop_mask(mask: Mask) -> tuple[int, int, Mask]:
    """The tight crop of a mask, with its left and top."""
    if not mask.any():
        return 0, 0, mask[:0, :0]
    left, top, right, bottom = map(int, mask_to_box(mask))
    return left, top, mask[top:bottom, left:right]


def _find_simplest(window: Mask, iou: float) -> list[Points] | None:
    """The coarsest polygons with at least ``iou``, by bisection; ``None`` if there are none."""
    parts = _drop_specks(_find_parts(window))
    fit = _PolygonFit(window)
    best = _approximate_parts(parts, 0.0)
    if fit(best) < iou:
        return None
    low, high = np.log(_MIN_TOLERANCE), np.log(max(window.shape) / 12 + 1)
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        found = _approximate_parts(parts, float(np.exp(middle)))
        if found and fit(found) >= iou:
            low = middle
            if _count_vertices(found) < _count_vertices(best):
                best = found
        else:
            high = middle
    return best


def _find_parts(window: Mask) -> list[_Part]:
    """The connected parts, largest first.

    A pixel covers the square between four corners, so pixel corners are traced: a contour through
    pixel centers would lose half a pixel on every side.
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
    """The parts without the smallest holes and specks whose total area is negligible."""
    limit = _SPECK_SHARE * sum(part.area for part in parts)
    holes = [cv2.contourArea(hole) for part in parts for hole in part.holes]
    smallest_hole = _max_negligible_area(holes, limit)
    smallest_part = _max_negligible_area([part.area for part in parts], limit)
    return [
        _Part(
            part.contour,
            tuple(hole for hole in part.holes if cv2.contourArea(hole) > smallest_hole),
            part.area,
        )
        for part in parts
        if part.area > smallest_part
    ]


def _max_negligible_area(areas: list[float], limit: float) -> float:
    """The largest area such that all areas up to it sum to at most ``limit``."""
    ordered = np.sort(np.asarray(areas, np.float64))
    count = int(np.searchsorted(np.cumsum(ordered), limit, side="right"))
    # Equal areas are dropped together or not at all.
    while 0 < count < len(ordered) and ordered[count] == ordered[count - 1]:
        count -= 1
    return float(ordered[count - 1]) if count else 0.0


def _approximate_parts(parts: list[_Part], tolerance: float) -> list[Points]:
    """Approximate all parts at one tolerance; those that collapse are left out."""
    polygons = []
    for part in parts:
        polygon = _approximate(part.contour, tolerance)
        if len(polygon) < 3:
            continue
        for hole in part.holes:
            inner = _approximate(hole, tolerance)
            polygon = _join_hole(polygon, inner) if len(inner) >= 3 else polygon
        polygons.append(polygon)
    return polygons


def _approximate(contour: _Contour, tolerance: float) -> Points:
    return cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2).astype(np.float32)


def _join_hole(contour: Points, hole: Points) -> Points:
    """One polygon from a contour and a hole, connected at their nearest vertices."""
    if cv2.contourArea(contour, True) * cv2.contourArea(hole, True) > 0:
        hole = hole[::-1]
    gaps = np.square(contour[:, None] - hole[None]).sum(axis=2)
    leave, enter = np.unravel_index(int(gaps.argmin()), gaps.shape)
    around = np.concatenate([hole[enter:], hole[: enter + 1]])
    return np.concatenate([contour[: leave + 1], around, contour[leave:]])


class _PolygonFit:
    """The IoU of polygons with one mask, from the crossings of their edges with pixel rows.

    The area left of each crossing is looked up in cumulative sums, so the cost depends on the
    length of the contour. Polygons must have one orientation and no self-intersections.
    """

    def __init__(self, window: Mask) -> None:
        self._rows, self._columns = window.shape
        self._finer = max(1, min(_SUBPIXELS, _GRID // 2 // self._rows))
        self._window = np.pad(window, ((0, 0), (0, 1)))
        self._before = np.pad(np.cumsum(window, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
        self._area = self._finer * int(self._before[:, -1].sum())

    def __call__(self, polygons: list[Points]) -> float:
        row, x, sign = find_row_crossings(polygons, self._rows, self._finer)
        x = np.clip(x, 0, self._columns)
        column = x.astype(np.int64)
        covered = self._before[row, column] + (x - column) * self._window[row, column]
        common = abs(float((sign * covered).sum()))
        return common / (abs(float((sign * x).sum())) + self._area - common)


def _start_at_top(polygon: Points) -> Points:
    """The polygon clockwise from its top-most vertex, the left-most of several."""
    # OpenCV's orientation is for an upward y axis.
    if cv2.contourArea(polygon, True) < 0:
        polygon = polygon[::-1]
    first = int(np.lexsort((polygon[:, 0], polygon[:, 1]))[0])
    return np.roll(polygon, -first, axis=0)


def _sort_top_down(polygons: list[Points]) -> list[Points]:
    """The polygons sorted by the y, then the x of their first vertices."""
    return sorted(polygons, key=lambda polygon: (*polygon[0, ::-1].tolist(),))


def _count_vertices(polygons: list[Points]) -> int:
    return sum(map(len, polygons))
