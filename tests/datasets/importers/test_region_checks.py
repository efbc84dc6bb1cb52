from __future__ import annotations

import math

import numpy as np
import pytest

from florence2.datasets import LabelError
from florence2.datasets.importers.region_checks import box_of_bins, checked_box, checked_polygon

SIZE = (100, 80)


def test_a_box_a_pixel_over_the_border_is_cut() -> None:
    assert checked_box((-1, 0, 50, 81), SIZE) == (0, 0, 50, 80)


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((-1.1, 0, 50, 50), "outside-image"),
        ((0, 0, 50, 81.5), "outside-image"),
        ((200, 200, 300, 300), "outside-image"),
        ((5, 5, 5, 9), "degenerate-box"),
        ((9, 5, 5, 9), "degenerate-box"),
        ((100, 5, 101, 9), "degenerate-box"),
        ((0, 0, math.nan, 9), "degenerate-box"),
        ((0, 0, 9), "degenerate-box"),
    ],
)
def test_bad_boxes(box: tuple[float, ...], kind: str) -> None:
    with pytest.raises(LabelError) as caught:
        checked_box(box, SIZE)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("polygon", "kind"),
    [
        ([], "empty-polygon"),
        ([1, 1, 5, 5], "empty-polygon"),
        ([1, 1, 5, 5, 9, 9], "empty-polygon"),
        ([1, 1, 5, 5, 9], "empty-polygon"),
        ([1, 1, 5, math.inf, 9, 0], "empty-polygon"),
        ([1, 1, 50, 1, 50, 90], "outside-image"),
    ],
)
def test_bad_polygons(polygon: list[float], kind: str) -> None:
    with pytest.raises(LabelError) as caught:
        checked_polygon(polygon, SIZE)
    assert caught.value.kind == kind


def test_a_polygon_is_cut_to_the_image() -> None:
    points = checked_polygon([-0.5, 0, 50, 0, 50, 80.5], SIZE)
    np.testing.assert_array_equal(points, [[0, 0], [50, 0], [50, 80]])


def test_a_region_of_bins_lies_at_their_centres() -> None:
    assert box_of_bins([0, 0, 999, 499], SIZE) == pytest.approx((0.05, 0.04, 99.95, 39.96))
    for bins in ([0, 0, 1000, 5], [1, 2, 3]):
        with pytest.raises(LabelError, match="four tokens"):
            box_of_bins(bins, SIZE)
