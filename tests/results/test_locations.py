"""The quantizer: released values, round trips, float32 arithmetic, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from florence2.results.locations import BINS, dequantize, quantize


@pytest.mark.parametrize(
    ("pixels", "back"),
    [
        (
            [[0, 0, 30, 40], [500, 550, 600, 690], [750, 1121, 851, 1239]],
            [[0, 0, 30, 40], [500, 550, 600, 690], [750, 1121, 799, 1199]],
        ),
        ([[0, 0], [300, 400], [850, 1250]], [[0, 0], [300, 400], [799, 1199]]),
    ],
)
def test_round_trips_of_transformers(pixels: list[list[int]], back: list[list[int]]) -> None:
    """transformers' own test of its quantizer, which cuts pixels to whole numbers."""
    bins = quantize(pixels, (800, 1200))
    assert dequantize(bins, (800, 1200)).astype(int).tolist() == back


def test_released_values() -> None:
    pixels = dequantize([53, 333, 933, 774], (640, 480))
    assert pixels.dtype == np.float32
    assert pixels.tolist() == [
        34.23999786376953, 160.0800018310547, 597.4400024414062, 371.7599792480469
    ]  # fmt: skip
    assert dequantize([[1, 2]], (1333, 750)).tolist() == [[1.9994999170303345, 1.875]]


@given(st.tuples(st.integers(1, 100_000), st.integers(1, 100_000)))
def test_every_bin_comes_back(size: tuple[int, int]) -> None:
    bins = np.stack([np.arange(BINS), np.arange(BINS)], axis=1)
    assert np.array_equal(quantize(dequantize(bins, size), size), bins)


@given(st.lists(st.floats(0, 1333, width=32), min_size=1), st.integers(0, 1))
def test_a_pixel_moves_by_half_a_bin_at_most(values: list[float], axis: int) -> None:
    size = (1333, 750)
    pixels = np.zeros((len(values), 2), dtype=np.float32)
    pixels[:, axis] = np.minimum(values, size[axis])
    moved = np.abs(dequantize(quantize(pixels, size), size) - pixels)[:, axis]
    assert moved.max() <= size[axis] / BINS / 2 * 1.001


def test_outside_goes_to_the_nearest_bin() -> None:
    assert quantize([-7, 1e30, 640, 479.9], (640, 480)).tolist() == [0, 999, 999, 999]


def test_arithmetic_is_float32() -> None:
    # In float64 this lands in bin 500.
    assert 1 / (2 / BINS) == 500
    assert quantize([1, 1], (2, 2)).tolist() == [499, 499]


@pytest.mark.parametrize("function", [quantize, dequantize])
@pytest.mark.parametrize("values", [3.0, [1.0, 2.0, 3.0], [[1.0]]])
def test_coordinates_come_in_pairs(function: object, values: object) -> None:
    with pytest.raises(ValueError, match="pairs"):
        function(values, (10, 10))  # type: ignore[operator]


@pytest.mark.parametrize("size", [(0, 10), (10, -1)])
def test_an_image_has_an_area(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        quantize([1, 2], size)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_pixels_are_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        quantize([1, value], (10, 10))
