"""Seeds of the two splits."""

from __future__ import annotations

import pytest

from florence2.synthetic.scene import scene_seed, seed_split


def test_seeds_of_training_and_testing_are_disjoint() -> None:
    training = {scene_seed("train", index) for index in range(5000)}
    testing = {scene_seed("test", index) for index in range(5000)}
    assert len(training) == len(testing) == 5000
    assert not training & testing


def test_a_seed_determines_its_split() -> None:
    for split in ("train", "test"):
        assert {seed_split(scene_seed(split, index)) for index in (0, 1, 2, 10**12)} == {split}


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'validation'"):
        scene_seed("validation", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="-1"):
        scene_seed("train", -1)
