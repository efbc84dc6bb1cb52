from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from florence2.results.masks import MaskError, decode_rle, mask_to_polygons

oracle = pytest.importorskip("pycocotools.mask")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 9999))
def test_both_encodings_decode_as_the_reference_does(
    height: int, width: int, density: float, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    packed = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))
    compressed = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(decode_rle(compressed), mask)
    column_major = mask.T.reshape(-1).astype(int)
    borders = np.flatnonzero(np.diff(column_major, prepend=0))
    runs = np.diff([0, *borders, mask.size]).tolist()
    np.testing.assert_array_equal(decode_rle({"size": [height, width], "counts": runs}), mask)


def test_a_block_is_its_rectangle() -> None:
    mask = np.zeros((8, 9), bool)
    mask[1:4, 2:7] = True
    assert mask_to_polygons(mask) == [[2, 1, 7, 1, 7, 4, 2, 4]]


def test_parts_that_touch_at_a_corner_stay_two() -> None:
    assert len(mask_to_polygons(np.eye(2, dtype=bool))) == 2


def test_the_outline_of_a_round_mask_covers_it() -> None:
    y, x = np.mgrid[:120, :160]
    mask = (x - 80) ** 2 / 60**2 + (y - 60) ** 2 / 40**2 < 1
    polygons = mask_to_polygons(mask)
    drawn = oracle.decode(oracle.merge(oracle.frPyObjects(polygons, 120, 160))).astype(bool)
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.98
    assert len(polygons[0]) < 150


@pytest.mark.parametrize(
    ("encoded", "kind"),
    [
        ({"size": [4, 4], "counts": [3, 2]}, "malformed"),
        ({"size": [4, 4], "counts": "zzz"}, "malformed"),
        ({"size": [4], "counts": [16]}, "malformed"),
        ({"counts": [16]}, "malformed"),
    ],
)
def test_runs_that_fill_no_mask(encoded: dict[str, object], kind: str) -> None:
    with pytest.raises(MaskError) as caught:
        decode_rle(encoded)
    assert caught.value.kind == kind


def test_holes_and_nothing_are_refused() -> None:
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    with pytest.raises(MaskError, match="holes") as caught:
        mask_to_polygons(ring)
    assert caught.value.kind == "unsupported-mask"
    with pytest.raises(MaskError, match="no pixel"):
        mask_to_polygons(np.zeros((3, 3), bool))
