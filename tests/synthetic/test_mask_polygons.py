"""Outlines cover their masks, judged here by another way of filling polygons."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from florence2.results.geometry import polygon_area
from florence2.synthetic.mask_polygons import trace_even_polygons, trace_polygons
from florence2.synthetic.scene import Mask

_FINER = 4


def _inside(polygons: list[np.ndarray], mask: Mask) -> Mask:
    """Subpixels with an odd number of edges to their left, edge by edge."""
    ys = (np.arange(mask.shape[0] * _FINER) + 0.5) / _FINER + 1e-4
    xs = (np.arange(mask.shape[1] * _FINER) + 0.5) / _FINER + 1e-4
    inside = np.zeros((len(ys), len(xs)), bool)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 != y1:
                crossed = (y0 <= ys) != (y1 <= ys)
                x = x0 + (ys - y0) * (x1 - x0) / (y1 - y0)
                inside ^= crossed[:, None] & (xs[None] > x[:, None])
    return inside


def _iou(polygons: list[np.ndarray], mask: Mask) -> float:
    truth = np.kron(mask, np.ones((_FINER, _FINER), bool))
    drawn = _inside(polygons, mask)
    return float((drawn & truth).sum() / (drawn | truth).sum())


def _random_mask(seed: int) -> Mask:
    """Ellipses, stars and rings, some with specks, some tiny."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(24, 120))
    drawn = np.zeros((side, side), np.uint8)
    middle = (int(rng.integers(8, side - 8)), int(rng.integers(8, side - 8)))
    reach = int(rng.integers(3, side // 2))
    if seed % 3 == 0:
        cv2.circle(drawn, middle, reach, 1, int(rng.integers(2, 9)))
    elif seed % 3 == 1:
        turns = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        radii = np.where(np.arange(10) % 2, 0.45, 1) * reach
        star = np.stack([np.cos(turns), np.sin(turns)], 1) * radii[:, None] + middle
        cv2.fillPoly(drawn, [np.round(star).astype(np.int32)], 1)
    for _ in range(int(rng.integers(1, 4)) if seed % 3 == 2 else 0):
        middle = (int(rng.integers(side)), int(rng.integers(side)))
        axes = (int(rng.integers(2, side // 3)), int(rng.integers(2, side // 3)))
        cv2.ellipse(drawn, middle, axes, int(rng.integers(180)), 0, 360, 1, -1)
    if seed % 5 == 0:
        drawn[rng.random(drawn.shape) < 0.001] = 1
    return drawn.astype(bool)


@pytest.mark.parametrize("seed", range(45))
@pytest.mark.parametrize("make", [trace_polygons, trace_even_polygons])
def test_an_outline_covers_its_mask(make: Callable[[Mask], list[np.ndarray]], seed: int) -> None:
    mask = _random_mask(seed)
    assert _iou(make(mask), mask) >= 0.948


def test_a_rectangle_has_four_exact_corners_in_order() -> None:
    mask = np.zeros((50, 60), bool)
    mask[10:30, 20:55] = True
    (polygon,) = trace_polygons(mask)
    assert polygon.tolist() == [[20, 10], [55, 10], [55, 30], [20, 30]]
    assert polygon.dtype == np.float32


@pytest.mark.parametrize("make", [trace_polygons, trace_even_polygons])
def test_outlines_run_clockwise_from_the_top_and_parts_go_down(
    make: Callable[[Mask], list[np.ndarray]],
) -> None:
    mask = np.zeros((80, 80), bool)
    cv2.circle(view := mask.view(np.uint8), (60, 20), 15, 1, -1)
    cv2.circle(view, (20, 60), 15, 1, -1)
    polygons = make(mask)
    assert len(polygons) == 2
    assert polygons[0][0, 1] < polygons[1][0, 1]
    for polygon in polygons:
        top = polygon[:, 1].min()
        assert polygon[0].tolist() == [polygon[polygon[:, 1] == top][:, 0].min(), top]
        x, y = polygon.T
        assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0


def test_an_even_outline_has_even_steps_and_starts_at_the_top() -> None:
    mask = np.zeros((90, 120), bool)
    cv2.ellipse(mask.view(np.uint8), (60, 45), (45, 25), 20, 0, 360, 1, -1)
    (polygon,) = trace_even_polygons(mask)
    assert len(polygon) in (12, 16, 20)
    steps = np.hypot(*np.diff(np.concatenate([polygon, polygon[:1]]), axis=0).T)
    assert steps.max() < 1.15 * steps.min()
    # The corner of a pixel at the top is nobody's middle, so the first vertex is exact.
    assert polygon[0, 1] == np.nonzero(mask)[0].min()


def test_the_parts_of_an_even_outline_share_its_vertices_by_their_length() -> None:
    mask = np.zeros((120, 120), bool)
    cv2.circle(view := mask.view(np.uint8), (40, 40), 30, 1, -1)
    cv2.circle(view, (100, 100), 12, 1, -1)
    large, small = trace_even_polygons(mask)
    assert len(large) > 1.8 * len(small) >= 1.8 * 4


def test_without_even_polygons_of_enough_iou_the_simplest_are_used() -> None:
    assert trace_even_polygons(np.zeros((9, 9), bool)) == []
    comb = np.zeros((60, 120), bool)
    comb[:4] = comb[:, ::4] = True
    (even,), (simplest,) = trace_even_polygons(comb), trace_polygons(comb)
    assert np.array_equal(even, simplest)


def test_a_ring_is_slit_open_and_keeps_its_hole() -> None:
    mask = np.zeros((100, 100), bool)
    cv2.circle(mask.view(np.uint8), (50, 50), 36, 1, 10)
    (polygon,) = trace_polygons(mask)
    assert not _inside([polygon], mask)[50 * _FINER, 50 * _FINER]
    assert polygon_area(polygon) == pytest.approx(mask.sum(), rel=0.05)


def test_specks_are_left_out_and_a_disc_takes_few_corners() -> None:
    mask = np.zeros((120, 120), bool)
    cv2.circle(mask.view(np.uint8), (60, 60), 40, 1, -1)
    mask[2:4, 2:4] = mask[110:112, 5:7] = True
    (polygon,) = trace_polygons(mask)
    assert len(polygon) <= 16


def test_single_pixels_and_nothing_at_all() -> None:
    mask = np.zeros((9, 9), bool)
    assert trace_polygons(mask) == []
    mask[4, 7] = True
    assert _iou(trace_polygons(mask), mask) == 1
    mask[5, 8] = True
    assert _iou(trace_polygons(mask), mask) >= 0.95
