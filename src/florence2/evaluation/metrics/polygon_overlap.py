"""Areas of text outlines, and what they have in common, through shapely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .libraries import load_library

FloatArray = NDArray[np.float64]


def to_shapes(outlines: Sequence[ArrayLike]) -> NDArray[np.object_]:
    """Shapely polygons `object[N]` of outlines `float[K, 2]`, crossing edges mended."""
    shapely = load_library("shapely")
    shapes = [shapely.Polygon(_points(outline, index)) for index, outline in enumerate(outlines)]
    array = np.empty(len(shapes), object)
    # Buffering by nothing would drop one wing of a bow tie, as the text scorers do.
    array[:] = [shape if shape.is_valid else shape.buffer(0) for shape in shapes]
    return array


def common_areas(first: NDArray[Any], second: NDArray[Any]) -> FloatArray:
    """The area `float[N, M]` that each of the first shapes shares with each of the second."""
    shapely = load_library("shapely")
    areas = np.zeros((len(first), len(second)))
    tree = shapely.STRtree(second)
    rows, columns = tree.query(first, predicate="intersects")
    areas[rows, columns] = shapely.area(shapely.intersection(first[rows], second[columns]))
    return areas


def _points(outline: ArrayLike, index: int) -> FloatArray:
    points = np.asarray(outline, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"outline {index} must be [K, 2] with K >= 3, got {list(points.shape)}")
    return points
