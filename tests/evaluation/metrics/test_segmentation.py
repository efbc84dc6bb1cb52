"""Confusion matrices and mIoU worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.evaluation.metrics.segmentation import confusion_matrix, segmentation_figures


def test_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, 255, 2]])
    predicted = np.array([[0, 1, 1], [1, 0, 0]])
    matrix = confusion_matrix(predicted, truth, 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    figures = segmentation_figures(matrix)
    assert figures.per_class[:3].tolist() == [1 / 3, 2 / 3, 0]
    assert np.isnan(figures.per_class[3])
    assert figures.mean_iou == pytest.approx(1 / 3)
    assert figures.pixel_accuracy == 3 / 5


def test_matrices_add_over_pictures() -> None:
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, 5, (2, 2, 16, 16))
    parts = sum(confusion_matrix(p, t, 5) for p, t in zip(predicted, truth, strict=True))
    assert np.array_equal(parts, confusion_matrix(predicted, truth, 5))


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(2,\) and \(3,\)"):
        confusion_matrix(np.zeros(2, int), np.zeros(3, int), 2)
    with pytest.raises(ValueError, match="the prediction holds class 0 to 9"):
        confusion_matrix(np.array([0, 9]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="no pixel"):
        segmentation_figures(np.zeros((2, 2), int))
