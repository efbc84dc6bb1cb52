"""Matching, F1 and proposal recall on images small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.evaluation.metrics.coco_ap import average_precision
from florence2.evaluation.metrics.detection import (
    DetectedObjects,
    GroundTruthObjects,
    MatchCounts,
    count_matches,
    pair_images,
    proposal_hits,
)

SQUARE = [0, 0, 10, 10]
# IoU with SQUARE: 80 / 100 = .8 and 60 / 100 = .6
NEAR, FAR = [0, 0, 10, 8], [0, 0, 10, 6]


def random_pictures(
    count: int, seed: int = 0
) -> tuple[list[GroundTruthObjects], list[DetectedObjects]]:
    generator = np.random.default_rng(seed)
    ground_truths, detections = [], []
    for image in range(count):
        objects = int(generator.integers(1, 6))
        corners = generator.uniform(0, 80, (objects, 2))
        boxes = np.hstack([corners, corners + generator.uniform(5, 60, (objects, 2))])
        labels = generator.choice(["cat", "dog"], objects).tolist()
        shaken = np.vstack([boxes + generator.normal(0, 4, boxes.shape) for _ in range(3)])
        ground_truths.append(GroundTruthObjects(image, boxes, labels))
        scores = generator.uniform(0, 1, len(shaken))
        detections.append(DetectedObjects(image, shaken, labels * 3, scores))
    return ground_truths, detections


def agreement(
    ground_truths: list[GroundTruthObjects],
    detections: list[DetectedObjects],
    *,
    by_class: bool = True,
) -> MatchCounts:
    """Precision, recall and F1 over all images."""
    return MatchCounts.of(count_matches(ground_truths, detections, by_class=by_class).sum(axis=0))


def proposal_recall(
    ground_truths: list[GroundTruthObjects], detections: list[DetectedObjects], top: int = 100
) -> float:
    """Class-agnostic average recall over COCO's IoU thresholds."""
    counts = proposal_hits(ground_truths, detections, top).sum(axis=0)
    return float(np.mean(counts[:-1] / counts[-1]))


def test_f1_counts_one_match_per_object() -> None:
    ground_truth = [GroundTruthObjects("a", [SQUARE, [50, 50, 60, 60]], ["cat", "cat"])]
    found = [DetectedObjects("a", [FAR, NEAR, [90, 90, 99, 99]], ["cat"] * 3)]
    metrics = agreement(ground_truth, found)
    assert (metrics.matched, metrics.detected, metrics.true) == (1, 3, 2)
    assert (metrics.precision, metrics.recall) == (1 / 3, 1 / 2)
    assert metrics.f1 == pytest.approx(0.4)


def test_labels_matter_only_by_class() -> None:
    ground_truth = [GroundTruthObjects("a", [SQUARE], ["cat"])]
    found = [DetectedObjects("a", [SQUARE], ["dog"])]
    assert agreement(ground_truth, found).f1 == 0
    assert agreement(ground_truth, found, by_class=False).f1 == 1


def test_ignored_objects_count_neither_way() -> None:
    ground_truth = [
        GroundTruthObjects("a", [SQUARE, [50, 50, 60, 60]], ["cat", "cat"], ignored=[True, False])
    ]
    found = [DetectedObjects("a", [SQUARE], ["cat"])]
    assert count_matches(ground_truth, found).tolist() == [[0, 0, 1]]


def test_a_silent_model_scores_zero() -> None:
    ground_truth = [GroundTruthObjects("a", [SQUARE], ["cat"])]
    assert agreement(ground_truth, []).f1 == 0
    assert proposal_recall(ground_truth, []) == 0


def test_proposals_take_the_highest_scoring_first() -> None:
    ground_truth = [GroundTruthObjects("a", [SQUARE], ["cat"])]
    found = [DetectedObjects("a", [NEAR, SQUARE], ["", ""], [0.9, 0.1])]
    assert proposal_recall(ground_truth, found, top=1) == pytest.approx(0.7)
    assert proposal_recall(ground_truth, found, top=2) == pytest.approx(1.0)


@pytest.mark.parametrize("top", [1, 10, 100])
def test_proposals_equal_coco_without_categories(top: int) -> None:
    ground_truths, detections = random_pictures(30)
    metrics = average_precision(ground_truths, detections, by_class=False).summary()
    assert proposal_recall(ground_truths, detections, top) == pytest.approx(
        metrics[f"ar_{top}"], abs=1e-12
    )


def test_faults_are_named() -> None:
    ground_truth = GroundTruthObjects("a", [SQUARE], ["cat"])
    with pytest.raises(ValueError, match="repeated: 'a'"):
        pair_images([ground_truth, ground_truth], [])
    with pytest.raises(ValueError, match="not in the ground truth: 'b'"):
        pair_images([ground_truth], [DetectedObjects("b", [], [])])
    with pytest.raises(ValueError, match="repeated: 'a'"):
        pair_images([ground_truth], [DetectedObjects("a", [], []), DetectedObjects("a", [], [])])
    with pytest.raises(ValueError, match=r"scores of image 'a'.*\(1,\) there is nan"):
        DetectedObjects("a", [SQUARE, SQUARE], ["x", "y"], [1.0, float("nan")])
    with pytest.raises(ValueError, match="boxes and labels of image 'a' differ in length: 1 and 2"):
        GroundTruthObjects("a", [SQUARE], ["cat", "dog"])
    with pytest.raises(ValueError, match=r"\[N, 4\]"):
        GroundTruthObjects("a", [[1, 2, 3]], ["cat"])
    with pytest.raises(ValueError, match="no images"):
        pair_images([], [])
