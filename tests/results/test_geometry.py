"""Boxes, quads and polygons against hand-made cases and pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from florence2.results.geometry import (
    allocate_vertices,
    box_area,
    box_iou,
    clip_boxes,
    clip_points,
    fix_inverted_boxes,
    non_maximum_suppression,
    point_bounds,
    polygon_area,
    quad_bounds,
    resample_polyline,
)

BOX_LISTS = st.lists(
    st.tuples(*[st.floats(0, 100, width=32)] * 4).map(
        lambda corners: (
            *np.minimum(corners[:2], corners[2:]),
            *np.maximum(corners[:2], corners[2:]),
        )
    ),
    min_size=1,
    max_size=8,
)


def test_areas_and_inverted_boxes() -> None:
    boxes = np.array([[0, 0, 2, 3], [5, 5, 5, 9], [4, 4, 1, 1]], dtype=np.float32)
    assert box_area(boxes).tolist() == [6, 0, 0]
    assert fix_inverted_boxes(boxes)[2].tolist() == [1, 1, 4, 4]
    assert box_area(fix_inverted_boxes(boxes)).tolist() == [6, 0, 9]


def test_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [9, 9, 9, 9]], dtype=np.float32)
    overlap = box_iou(boxes, boxes)
    assert np.allclose(overlap, [[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 0]])
    assert box_iou(boxes, boxes[:0]).shape == (3, 0)


@given(first=BOX_LISTS, second=BOX_LISTS)
def test_iou_agrees_with_coco(first: list[list[float]], second: list[list[float]]) -> None:
    one, two = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)

    def with_sizes(boxes: np.ndarray) -> np.ndarray:
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)

    expected = coco_mask.iou(with_sizes(one), with_sizes(two), [0] * len(two))
    assert np.allclose(box_iou(one, two), np.nan_to_num(expected), atol=1e-6)


def test_clipping() -> None:
    boxes = np.array([[-5, 3, 700, 500]], dtype=np.float32)
    assert clip_boxes(boxes, (640, 480)).tolist() == [[0, 3, 640, 480]]
    points = np.array([[[-1, 481], [641, 0]]], dtype=np.float32)
    assert clip_points(points, (640, 480)).tolist() == [[[0, 480], [640, 0]]]


def test_bounds() -> None:
    corners = np.array([[[4, 1], [9, 2], [8, 7], [3, 6]]], dtype=np.float32)
    assert quad_bounds(corners).tolist() == [[3, 1, 9, 7]]
    assert point_bounds(corners[0]).tolist() == [3, 1, 9, 7]
    assert point_bounds(corners[0, :0]).tolist() == [0, 0, 0, 0]


def test_polygon_area() -> None:
    triangle = np.array([[0, 0], [4, 0], [0, 3]], dtype=np.float32)
    assert polygon_area(triangle) == 6
    assert polygon_area(triangle[::-1]) == 6
    assert polygon_area(triangle[:2]) == 0


BOXES = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]], dtype=np.float32)


@pytest.mark.parametrize(
    ("scores", "threshold", "classes", "kept"),
    [
        ([0.5, 0.9, 0.1], 0.5, None, [1, 2]),
        ([0.5, 0.9, 0.1], 0.9, None, [1, 0, 2]),
        ([0.5, 0.9, 0.1], 0.5, ["cat", "dog", "dog"], [1, 0, 2]),
        ([0.5, 0.9, 0.1], 0.5, ["dog", "dog", "cat"], [1, 2]),
        ([0.5, 0.5, 0.5], 0.5, None, [0, 2]),
    ],
)
def test_suppression(
    scores: list[float], threshold: float, classes: list[str] | None, kept: list[int]
) -> None:
    found = non_maximum_suppression(BOXES, np.array(scores), threshold, classes)
    assert found.tolist() == kept


def test_suppression_of_nothing() -> None:
    empty = np.zeros((0, 4), dtype=np.float32)
    assert non_maximum_suppression(empty, np.zeros(0), 0.5, []).tolist() == []


def test_points_at_even_distances() -> None:
    triangle = np.array([[0, 0], [3, 0], [3, 4]], np.float32)
    spaced = resample_polyline(triangle, 12)
    assert spaced.dtype == np.float32
    assert spaced[[0, 3, 7]].tolist() == triangle.tolist()
    assert resample_polyline(np.float32([[2, 1]]), 3).tolist() == [[2, 1]] * 3
    with pytest.raises(ValueError, match="without points"):
        resample_polyline(np.zeros((0, 2), np.float32), 4)


def test_vertices_are_shared_out_by_length() -> None:
    assert allocate_vertices(16, [30.0, 10.0], 4) == [12, 4]
    assert allocate_vertices(16, [100.0, 1.0], 4) == [16, 4]
    assert allocate_vertices(16, [0.0, 0.0], 4) == [8, 8]
    assert allocate_vertices(16, [], 4) == []
