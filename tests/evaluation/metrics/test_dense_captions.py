"""DenseCap's merging, matching and average precision, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.evaluation.metrics.dense_captions import merge_regions, pair_regions, rank_pairs

LEFT, RIGHT, NEAR_LEFT = [0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 9]


def boxes(*rows: list[int]) -> np.ndarray:
    return np.asarray(rows, np.float64).reshape(-1, 4)


def test_regions_that_overlap_are_merged() -> None:
    merged = merge_regions(boxes(RIGHT, LEFT, NEAR_LEFT), ["a sign", "a dog", "a brown dog"])
    # The fullest group comes first; its box is the mean of IoU .9 neighbours.
    assert merged.boxes.tolist() == [[0, 0, 10, 9.5], RIGHT]
    assert merged.references == (("a dog", "a brown dog"), ("a sign",))
    assert merge_regions(boxes(), []).boxes.shape == (0, 4)
    # A box without area overlaps nothing, not even itself, and is still a region.
    assert len(merge_regions(boxes([5, 5, 5, 5]), ["a dot"]).boxes) == 1


def test_the_first_to_come_takes_the_region() -> None:
    ground_truth = merge_regions(boxes(LEFT, RIGHT), ["a dog", "a sign"])
    found = boxes(LEFT, NEAR_LEFT, [20, 0, 30, 5], [50, 50, 60, 60])
    pairs = pair_regions([ground_truth], [(found, np.asarray([0.5, 0.9, 0.8, 0.7]))])
    assert pairs.indices.tolist() == [1, 2, 3, 0]
    assert pairs.regions.tolist() == [0, 1, -1, 0]
    assert pairs.overlaps.tolist() == pytest.approx([0.9, 0.5, 0, 1])
    # The better box came second, as in the authors' scorer.
    assert pairs.first.tolist() == [True, True, False, False]
    assert pairs.hits(0.6).tolist() == [True, False, False, False]


def test_average_precision_over_places_and_words() -> None:
    ground_truth = merge_regions(boxes(LEFT, RIGHT), ["a dog", "a sign"])
    pairs = pair_regions([ground_truth], [(boxes(LEFT, [20, 0, 30, 5]), np.asarray([0.9, 0.8]))])
    ones = np.ones(1)
    # IoU 1 and .5: both right up to .5, one of two above.
    boxes_alone = rank_pairs(pairs).average_precisions(ones, slice(None))
    assert boxes_alone == pytest.approx([1, 1, 1, 51 / 101, 51 / 101])
    with_words = rank_pairs(pairs, np.asarray([0.12, 1.0])).average_precisions(ones, slice(None))
    assert with_words is not None and len(with_words) == 30
    # METEOR .12 exceeds 0, .05 and .1; above that only the second is right.
    half = 51 / 101
    low = [1, 1, 1, half / 2, half / 2, half / 2]
    high = [half, half, half, 0, 0, 0]
    assert with_words == pytest.approx(low * 3 + high * 2)


def test_a_meteor_of_zero_is_no_match() -> None:
    ground_truth = merge_regions(boxes(LEFT), ["a dog"])
    pairs = pair_regions([ground_truth], [(boxes(LEFT), np.ones(1))])
    metrics = rank_pairs(pairs, np.zeros(1)).average_precisions(np.ones(1), slice(None))
    assert metrics is not None and metrics.max() == 0


def test_nothing_detected() -> None:
    ground_truth = merge_regions(boxes(LEFT), ["a dog"])
    pairs = pair_regions([ground_truth], [(boxes(), np.zeros(0))])
    metrics = rank_pairs(pairs).average_precisions(np.ones(1), slice(None))
    assert metrics == pytest.approx([0] * 5)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="boxes and phrases differ in length: 1 and 2"):
        merge_regions(boxes(LEFT), ["a", "b"])
    ground_truth = merge_regions(boxes(LEFT), ["a dog"])
    with pytest.raises(ValueError, match="true and predicted images differ in length: 1 and 0"):
        pair_regions([ground_truth], [])
