"""ICDAR hmean and error rates by hand."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.evaluation.metric import ratio
from florence2.evaluation.metrics.detection import MatchCounts
from florence2.evaluation.metrics.ocr import (
    TextRegions,
    character_errors,
    icdar_counts,
)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def icdar_figures(
    ground_truths: list[TextRegions], found: list[TextRegions], *, end_to_end: bool = False
) -> MatchCounts:
    """Precision, recall and hmean over all images."""
    return MatchCounts.of(icdar_counts(ground_truths, found, end_to_end=end_to_end).sum(axis=0))


def test_hmean_by_hand() -> None:
    ground_truth = [TextRegions([box(0, 0, 10, 10), box(20, 0, 30, 10)], ["one", "two"])]
    found = [
        TextRegions(
            [box(0, 0, 10, 8), box(20, 0, 25, 10), box(50, 0, 60, 10)], ["ONE", "two", "three"]
        )
    ]
    metrics = icdar_figures(ground_truth, found)
    # The first has IoU .8; the second exactly .5, which is not above it.
    assert (metrics.recall, metrics.precision) == (1 / 2, 1 / 3)
    assert metrics.f1 == pytest.approx(0.4)


def test_end_to_end_needs_the_text() -> None:
    ground_truth = [TextRegions([box(0, 0, 10, 10), box(20, 0, 30, 10)], ["One", "two"])]
    found = [TextRegions([box(0, 0, 10, 10), box(20, 0, 30, 10)], ["one", "too"])]
    assert icdar_figures(ground_truth, found).f1 == 1
    assert icdar_figures(ground_truth, found, end_to_end=True).f1 == 0.5


def test_ignored_words_take_predictions_with_them() -> None:
    ground_truth = [
        TextRegions([box(0, 0, 10, 10), box(20, 0, 30, 10)], ["one", "###"], [False, True])
    ]
    found = [TextRegions([box(0, 0, 10, 10), box(22, 2, 26, 6)], ["one", "small"])]
    metrics = icdar_figures(ground_truth, found)
    assert (metrics.matched, metrics.detected, metrics.true) == (1, 1, 1)


def test_images_without_words() -> None:
    nothing = TextRegions([], [])
    something = TextRegions([box(0, 0, 5, 5)], ["a"])
    assert icdar_figures([nothing], [nothing]).f1 == 0
    assert icdar_figures([nothing, something], [something, something]).precision == 0.5
    assert icdar_figures([something], [nothing]).recall == 0


def test_error_rates_sum_before_they_divide() -> None:
    ground_truths, predictions = ["hello world", "ab"], ["hallo world", ""]
    assert character_errors(predictions, ground_truths).tolist() == [[1, 11], [2, 2]]
    assert ratio(character_errors(predictions, ground_truths).sum(axis=0)) == 3 / 13


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="outlines and texts differ in length: 1 and 0"):
        TextRegions([box(0, 0, 1, 1)], [])
    with pytest.raises(ValueError, match="differ in length: 1 and 0"):
        icdar_figures([TextRegions([], [])], [])
    with pytest.raises(ValueError, match="outline 0 must be"):
        icdar_figures([TextRegions([np.zeros((2, 2))], ["a"])], [TextRegions([], [])])
