"""Arithmetic on boxes, quads and polygons in numpy.

Boxes are ``float[N, 4]`` as ``(x0, y0, x1, y1)``; points are ``float[..., 2]`` as ``(x, y)``.
Everything is in pixels of the upright image unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

MIN_VERTICES = 4
"""Minimum number of vertices of each polygon when vertices are allocated."""


def box_area(boxes: FloatArray) -> FloatArray:
    """Areas ``float[N]`` of boxes ``float[N, 4]``; an inverted box has area 0."""
    width = np.clip(boxes[:, 2] - boxes[:, 0], 0, None)
    height = np.clip(boxes[:, 3] - boxes[:, 1], 0, None)
    return width * height


def box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union ``float[N, M]`` of ``float[N, 4]`` with ``float[M, 4]``.

    Two boxes without area have IoU 0, also with themselves.
    """
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    extent = np.clip(bottom_right - top_left, 0, None)
    intersection = extent[..., 0] * extent[..., 1]
    union = box_area(first)[:, None] + box_area(second)[None, :] - intersection
    overlap: FloatArray = np.zeros_like(intersection)
    np.divide(intersection, union, out=overlap, where=union > 0)
    return overlap


def fix_inverted_boxes(boxes: FloatArray) -> FloatArray:
    """The same boxes with ``x0 <= x1`` and ``y0 <= y1``."""
    return np.concatenate(
        [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
    )


def clip_points(points: FloatArray, image_size: tuple[int, int]) -> FloatArray:
    """Points ``float[..., 2]`` moved into the image; ``image_size`` is ``(width, height)``."""
    return np.clip(points, 0, np.asarray(image_size, dtype=points.dtype))


def clip_boxes(boxes: FloatArray, image_size: tuple[int, int]) -> FloatArray:
    """Boxes ``float[N, 4]`` cut to the image; ``image_size`` is ``(width, height)``."""
    return clip_points(boxes.reshape(-1, 2, 2), image_size).reshape(-1, 4)


def point_bounds(points: FloatArray) -> FloatArray:
    """The box ``float[4]`` around points ``float[K, 2]``; zeros when there are none."""
    if len(points) == 0:
        return np.zeros(4, dtype=points.dtype)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def quad_bounds(quads: FloatArray) -> FloatArray:
    """The boxes ``float[N, 4]`` around quads ``float[N, 4, 2]``."""
    return np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)


def polygon_area(points: FloatArray) -> float:
    """The area of the simple polygon ``float[K, 2]`` (shoelace, closed); 0 below three points."""
    if len(points) < 3:
        return 0.0
    following = np.roll(points, -1, axis=0)
    cross = points[:, 0] * following[:, 1] - following[:, 0] * points[:, 1]
    return float(abs(cross.sum()) / 2)


def resample_polyline(points: FloatArray, count: int) -> FloatArray:
    """Resample a closed polygon ``float[K, 2]`` to ``float[count, 2]`` at even distances.

    The first is the polygon's first point; the others follow its direction. A polygon of length
    zero gives its first point repeatedly; one without points raises ``ValueError``.
    """
    if not len(points):
        raise ValueError("cannot resample a polygon without points")
    closed = np.concatenate([points, points[:1]])
    walked = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    distances = np.linspace(0, walked[-1], count, endpoint=False)
    spaced = [np.interp(distances, walked, along) for along in closed.T]
    return np.stack(spaced, axis=1).astype(points.dtype)


def allocate_vertices(count: int, lengths: Sequence[float], min_vertices: int) -> list[int]:
    """Allocate ``count`` vertices to polygons by their lengths, at least ``min_vertices`` each.

    Polygons of length zero get equal numbers.
    """
    weights = lengths if sum(lengths) else [1.0] * len(lengths)
    return [max(min_vertices, round(count * each / sum(weights))) for each in weights]


def resample_polygons(polygons: Sequence[FloatArray], count: int) -> list[FloatArray]:
    """Resample polygons to ``count`` vertices in all, at even distances from their first points.

    Vertices are allocated by length, at least four to each polygon. Errors as in
    ``resample_polyline``.
    """
    lengths = [float(np.hypot(*(np.roll(each, -1, axis=0) - each).T).sum()) for each in polygons]
    shares = allocate_vertices(count, lengths, MIN_VERTICES)
    return [resample_polyline(each, share) for each, share in zip(polygons, shares, strict=True)]


def non_maximum_suppression(
    boxes: FloatArray,
    scores: FloatArray,
    iou_threshold: float,
    classes: Sequence[str] | None = None,
) -> NDArray[np.int64]:
    """Indices ``int[K]``, best score first, of the boxes that greedy suppression keeps.

    A box is suppressed by a higher-scoring one of the same class with IoU above ``iou_threshold``;
    ``classes=None`` lets every box compete with every other. Equal scores keep their order.
    """
    overlap = box_iou(boxes, boxes)
    if classes is not None:
        names = np.asarray(classes, dtype=object)
        overlap = np.where(names[:, None] == names[None, :], overlap, 0)
    remaining = np.argsort(-np.asarray(scores), kind="stable")
    kept: list[int] = []
    while len(remaining):
        best, rest = int(remaining[0]), remaining[1:]
        kept.append(best)
        remaining = rest[overlap[best, rest] <= iou_threshold]
    return np.asarray(kept, dtype=np.int64)


def match_closest(overlap: FloatArray, min_overlap: float) -> NDArray[np.int64]:
    """Pairs ``int[K, 2]`` of (row, column) of ``overlap``, each index in one pair at most.

    The pair with the greatest overlap comes first; pairs below ``min_overlap`` are left out.
    """
    allowed = overlap >= min_overlap
    closest_first = np.argsort(-overlap[allowed], kind="stable")
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    pairs = []
    for row, column in np.argwhere(allowed)[closest_first].tolist():
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append((row, column))
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
