"""Phrase recall, referring accuracy and mask IoU by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from florence2.evaluation.metrics.grounding import (
    mask_ious,
    mask_overlaps,
    phrase_hits,
    referring_hits,
)
from florence2.results.masks import polygons_to_mask

LEFT, RIGHT, BOTH = [0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 20, 10]
AWAY = [90, 90, 99, 99]


def phrase_recall(
    predicted: Any, ground_truths: Any, top: tuple[int, ...] = (1, 5, 10), protocol: Any = "any"
) -> dict[int, float]:
    """Recall@k for each k of ``top``."""
    hits = phrase_hits(predicted, ground_truths, top, protocol=protocol)
    return dict(zip(top, hits.mean(axis=0).tolist(), strict=True))


def test_phrase_recall_counts_the_first_k() -> None:
    predicted = [[AWAY, LEFT], [AWAY] * 9 + [RIGHT], []]
    recall = phrase_recall(predicted, [[LEFT], [RIGHT], [LEFT]])
    assert recall == {1: 0, 5: pytest.approx(1 / 3), 10: pytest.approx(2 / 3)}


def test_protocols_differ_where_a_phrase_has_two_boxes() -> None:
    # BOTH has IoU .5 with each half, which is enough.
    assert phrase_recall([[BOTH]], [[LEFT, RIGHT]], (1,)) == {1: 1}
    assert phrase_recall([[LEFT]], [[LEFT, [10, 0, 30, 10]]], (1,), protocol="any") == {1: 1}
    assert phrase_recall([[LEFT]], [[LEFT, [10, 0, 30, 10]]], (1,), protocol="merged") == {1: 0}
    assert phrase_recall([[BOTH]], [[LEFT, RIGHT]], (1,), protocol="merged") == {1: 1}


def test_referring_needs_more_than_half() -> None:
    hits = referring_hits([BOTH, [0, 0, 10, 9], [0, 0, 0, 0]], [LEFT, LEFT, LEFT])
    assert hits.tolist() == [False, True, False]


def test_masks() -> None:
    square = polygons_to_mask([np.array([[0, 0], [8, 0], [8, 8], [0, 8]])], (16, 12))
    assert square.shape == (12, 16)
    assert square.sum() == 64
    half = polygons_to_mask([np.array([[0, 0], [8, 0], [8, 4], [0, 4]])], (16, 12))
    empty = polygons_to_mask([np.array([[0, 0], [8, 0]])], (16, 12))
    overlaps = mask_overlaps([(half, square), (square, square), (empty, half), (empty, empty)])
    assert overlaps.tolist() == [[32, 64], [64, 64], [0, 32], [0, 0]]
    assert mask_ious(overlaps).tolist() == [0.5, 1, 0, 1]


def test_parts_of_one_instance_are_joined() -> None:
    parts = [np.array([[0, 0], [4, 0], [4, 4], [0, 4]]), np.array([[2, 0], [6, 0], [6, 4], [2, 4]])]
    assert polygons_to_mask(parts, (10, 10)).sum() == 24


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="phrase 0 has no true box"):
        phrase_recall([[LEFT]], [[]])
    with pytest.raises(ValueError, match="differ in length: 1 and 2"):
        referring_hits([LEFT], [LEFT, LEFT])
    with pytest.raises(ValueError, match=r"true boxes must be finite; at \(0, 3\)"):
        referring_hits([LEFT], [[0, 0, 1, float("nan")]])
    with pytest.raises(ValueError, match="masks of pair 0 differ"):
        mask_overlaps([(np.zeros((2, 2), bool), np.zeros((2, 3), bool))])
    with pytest.raises(ValueError, match="'any' or 'merged'"):
        phrase_recall([[LEFT]], [[LEFT]], protocol="all")
