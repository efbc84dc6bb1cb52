"""Areas of text outlines and of their intersections, by shapely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .libraries import load_library

FloatArray = NDArray[np.float64]


def to_shapes(outlines: Sequence[ArrayLike]) -> NDArray[np.object_]:
    """Shapely polygons ``object[N]`` of outlines ``float[K, 2]``; crossing edges are repaired."""
    shapely = load_library("shapely")
    shapes = [shapely.Polygon(_points(outline, index)) for index, outline in enumerate(outlines)]
    array = np.empty(len(shapes), object)
    # A buffer of zero drops one wing of a bow tie, as the text scorers do.
    array[:] = [shape if shape.is_valid else shape.buffer(0) for shape in shapes]
    return array


def common_areas(first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    """The area ``float[N, M]`` of the intersection of each pair of shapes."""
    shapely = load_library("shapely")
    areas = np.zeros((len(first), len(second)))
    tree = shapely.STRtree(second)
    rows, columns = tree.query(first, predicate="intersects")
    areas[rows, columns] = shapely.area(shapely.intersection(first[rows], second[columns]))
    return areas


def polygon_iou(first: Sequence[ArrayLike], second: Sequence[ArrayLike]) -> FloatArray:
    """Intersection over union ``float[N, M]`` of outlines ``float[K, 2]``."""
    shapes = to_shapes(first), to_shapes(second)
    return divide_areas(common_areas(*shapes), *map(get_areas, shapes))


def get_areas(shapes: NDArray[Any]) -> FloatArray:
    """The area ``float[N]`` of each shape."""
    return np.asarray([shape.area for shape in shapes], np.float64)


def divide_areas(common: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """IoU ``float[N, M]`` from intersections ``float[N, M]`` and areas; 0 without any area."""
    union = first[:, None] + second[None, :] - common
    return np.divide(common, union, out=np.zeros(common.shape), where=union > 0)


def _points(outline: ArrayLike, index: int) -> FloatArray:
    points = np.asarray(outline, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"outline {index} must be [K, 2] with K >= 3, got {list(points.shape)}")
    return points
