"""Relations are said when they are plain, and never when they are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from florence2.synthetic.phrases import (
    OPPOSITES,
    find_direction,
    is_in_front_of,
    is_next_to,
    union_box,
)
from florence2.synthetic.scene import Scene

SIZE = (200, 200)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ((10, 50, 40, 80), (100, 50, 140, 90), "left of"),
        ((100, 50, 140, 90), (10, 50, 40, 80), "right of"),
        ((50, 10, 80, 40), (55, 100, 90, 140), "above"),
        ((55, 100, 90, 140), (50, 10, 80, 40), "below"),
        # Too near, across the corner, overlapping.
        ((10, 50, 30, 70), (20, 50, 45, 70), None),
        ((10, 10, 40, 40), (100, 100, 130, 130), None),
        ((10, 10, 100, 60), (60, 20, 160, 50), None),
    ],
)
def test_direction(first: tuple, second: tuple, word: str | None) -> None:
    assert find_direction(first, second, SIZE) == word


def test_a_direction_holds_the_other_way_round() -> None:
    rng = np.random.default_rng(0)
    said = 0
    for _ in range(300):
        corners = rng.uniform(0, 150, (2, 2))
        sides = rng.uniform(10, 50, (2, 2))
        boxes = np.concatenate([corners, corners + sides], axis=1).tolist()
        word = find_direction(boxes[0], boxes[1], SIZE)
        other = find_direction(boxes[1], boxes[0], SIZE)
        assert other == (None if word is None else OPPOSITES[word])
        said += word is not None
        if word == "left of":
            assert boxes[0][2] - boxes[1][0] <= 0.2 * 50
            assert sum(boxes[0][::2]) < sum(boxes[1][::2])
    assert said > 100


def test_next_to_is_side_by_side_and_close() -> None:
    assert is_next_to((10, 50, 60, 100), (65, 60, 110, 105), SIZE)
    assert not is_next_to((10, 50, 60, 100), (120, 50, 170, 100), SIZE)
    assert not is_next_to((50, 10, 100, 60), (50, 65, 100, 110), SIZE)


def test_in_front_of_follows_occlusion(build: Callable[..., Scene]) -> None:
    scene = build(
        ("car", None, (20, 20, 100, 80)),
        ("dog", None, (60, 30, 120, 90)),
        ("cat", None, (150, 150, 190, 190)),
    )
    assert is_in_front_of(scene.objects, 1, 0)
    assert not is_in_front_of(scene.objects, 0, 1)
    assert not is_in_front_of(scene.objects, 2, 0)


def test_the_union_of_boxes() -> None:
    assert union_box([(1, 5, 3, 6), (2, 0, 9, 4)]) == (1, 0, 9, 6)
