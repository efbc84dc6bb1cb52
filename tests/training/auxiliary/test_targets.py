"""Polygons resampled to a fixed number of vertices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from florence2.results.types import Polygons
from florence2.training import Recipe, override
from florence2.training.auxiliary.targets import resample_record_polygons
from florence2.training.recipe import AuxiliaryConfig

SQUARE = np.array([[10, 10], [50, 10], [50, 50], [10, 50]], np.float32)


def test_vertices_are_at_equal_distances_from_the_first_on() -> None:
    resampled = resample_record_polygons(Polygons([[SQUARE]], ["box"], (100, 100)), 8)
    assert resampled.labels == ("box",) and resampled.image_size == (100, 100)
    expected = [[10, 10], [30, 10], [50, 10], [50, 30], [50, 50], [30, 50], [10, 50], [10, 30]]
    assert resampled.polygons[0][0].tolist() == expected


def test_parts_share_vertices_by_length_and_each_gets_some() -> None:
    small = 70 + (SQUARE - 10) / 20
    resampled = resample_record_polygons(
        Polygons([[SQUARE, small], [SQUARE]], ["a", "b"], (100, 100)), 16
    )
    assert [[len(part) for part in parts] for parts in resampled.polygons] == [[15, 4], [16]]
    np.testing.assert_allclose(resampled.polygons[0][1], small)


@given(st.lists(st.tuples(*[st.integers(0, 99)] * 2), min_size=1, max_size=40), st.integers(4, 40))
def test_every_vertex_lies_on_the_contour(points: list[tuple[int, int]], corners: int) -> None:
    outline = np.asarray(points, np.float32)
    resampled = resample_record_polygons(Polygons([[outline]], [""], (100, 100)), corners).polygons[
        0
    ][0]
    assert resampled.shape == (corners, 2)
    np.testing.assert_array_equal(resampled[0], outline[0])
    ends = np.roll(outline, -1, axis=0)
    for point in resampled.astype(np.float64):
        along = ends - outline
        lengths = np.maximum((along**2).sum(axis=1), 1e-9)
        share = np.clip(((point - outline) * along).sum(axis=1) / lengths, 0, 1)
        nearest = outline + share[:, None] * along
        assert np.hypot(*(nearest - point).T).min() < 1e-2


def test_a_part_without_points_is_left_out() -> None:
    nothing = np.zeros((0, 2), np.float32)
    resampled = resample_record_polygons(
        Polygons([[nothing, SQUARE], []], ["a", "b"], (100, 100)), 8
    )
    assert [len(parts) for parts in resampled.polygons] == [1, 0]


@pytest.mark.parametrize("corners", [1, 3, -4])
def test_too_few_vertices_are_refused(corners: int) -> None:
    with pytest.raises(
        ValueError, match=rf"polygon_vertices must be 0 .* or at least 4, got {corners}"
    ):
        AuxiliaryConfig(polygon_vertices=corners)
    assert override(Recipe(), ["auxiliary.polygon_vertices=16"]).auxiliary.polygon_vertices == 16
