"""Matching, F1 and proposal recall on pictures small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.evaluation.metrics.coco_ap import average_precision
from florence2.evaluation.metrics.detection import (
    Agreement,
    DetectedObjects,
    TrueObjects,
    agreement_counts,
    pair_images,
    proposal_hits,
)

SQUARE = [0, 0, 10, 10]
# IoU with SQUARE: 80 / 100 = .8 and 60 / 100 = .6
NEAR, FAR = [0, 0, 10, 8], [0, 0, 10, 6]


def random_pictures(count: int, seed: int = 0) -> tuple[list[TrueObjects], list[DetectedObjects]]:
    generator = np.random.default_rng(seed)
    truths, detections = [], []
    for image in range(count):
        objects = int(generator.integers(1, 6))
        corners = generator.uniform(0, 80, (objects, 2))
        boxes = np.hstack([corners, corners + generator.uniform(5, 60, (objects, 2))])
        labels = generator.choice(["cat", "dog"], objects).tolist()
        shaken = np.vstack([boxes + generator.normal(0, 4, boxes.shape) for _ in range(3)])
        truths.append(TrueObjects(image, boxes, labels))
        scores = generator.uniform(0, 1, len(shaken))
        detections.append(DetectedObjects(image, shaken, labels * 3, scores))
    return truths, detections


def agreement(
    truths: list[TrueObjects], detections: list[DetectedObjects], *, by_class: bool = True
) -> Agreement:
    """Precision, recall and F1 over all pictures."""
    return Agreement.of(agreement_counts(truths, detections, by_class=by_class).sum(axis=0))


def proposal_recall(
    truths: list[TrueObjects], detections: list[DetectedObjects], top: int = 100
) -> float:
    """Class-agnostic average recall over COCO's IoU thresholds."""
    counts = proposal_hits(truths, detections, top).sum(axis=0)
    return float(np.mean(counts[:-1] / counts[-1]))


def test_f1_counts_one_match_per_object() -> None:
    truth = [TrueObjects("a", [SQUARE, [50, 50, 60, 60]], ["cat", "cat"])]
    found = [DetectedObjects("a", [FAR, NEAR, [90, 90, 99, 99]], ["cat"] * 3)]
    figures = agreement(truth, found)
    assert (figures.matched, figures.detected, figures.true) == (1, 3, 2)
    assert (figures.precision, figures.recall) == (1 / 3, 1 / 2)
    assert figures.f1 == pytest.approx(0.4)


def test_labels_matter_only_by_class() -> None:
    truth = [TrueObjects("a", [SQUARE], ["cat"])]
    found = [DetectedObjects("a", [SQUARE], ["dog"])]
    assert agreement(truth, found).f1 == 0
    assert agreement(truth, found, by_class=False).f1 == 1


def test_ignored_objects_count_neither_way() -> None:
    truth = [TrueObjects("a", [SQUARE, [50, 50, 60, 60]], ["cat", "cat"], ignored=[True, False])]
    found = [DetectedObjects("a", [SQUARE], ["cat"])]
    assert agreement_counts(truth, found).tolist() == [[0, 0, 1]]


def test_a_silent_model_scores_zero() -> None:
    truth = [TrueObjects("a", [SQUARE], ["cat"])]
    assert agreement(truth, []).f1 == 0
    assert proposal_recall(truth, []) == 0


def test_proposals_take_the_surest_first() -> None:
    truth = [TrueObjects("a", [SQUARE], ["cat"])]
    found = [DetectedObjects("a", [NEAR, SQUARE], ["", ""], [0.9, 0.1])]
    assert proposal_recall(truth, found, top=1) == pytest.approx(0.7)
    assert proposal_recall(truth, found, top=2) == pytest.approx(1.0)


@pytest.mark.parametrize("top", [1, 10, 100])
def test_proposals_equal_coco_without_categories(top: int) -> None:
    truths, detections = random_pictures(30)
    figures = average_precision(truths, detections, by_class=False).summary()
    assert proposal_recall(truths, detections, top) == pytest.approx(
        figures[f"ar_{top}"], abs=1e-12
    )


def test_faults_are_named() -> None:
    truth = TrueObjects("a", [SQUARE], ["cat"])
    with pytest.raises(ValueError, match="repeated: 'a'"):
        pair_images([truth, truth], [])
    with pytest.raises(ValueError, match="not in the ground truth: 'b'"):
        pair_images([truth], [DetectedObjects("b", [], [])])
    with pytest.raises(ValueError, match="repeated: 'a'"):
        pair_images([truth], [DetectedObjects("a", [], []), DetectedObjects("a", [], [])])
    with pytest.raises(ValueError, match=r"scores of image 'a'.*\(1,\) there is nan"):
        DetectedObjects("a", [SQUARE, SQUARE], ["x", "y"], [1.0, float("nan")])
    with pytest.raises(ValueError, match="boxes and labels of image 'a' must be as many: 1 and 2"):
        TrueObjects("a", [SQUARE], ["cat", "dog"])
    with pytest.raises(ValueError, match=r"\[N, 4\]"):
        TrueObjects("a", [[1, 2, 3]], ["cat"])
    with pytest.raises(ValueError, match="no images"):
        pair_images([], [])
