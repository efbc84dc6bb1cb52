"""Average precision of draws of images against the COCO tools on the very same images."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.metrics.coco_ap import average_precision, coco_metrics
from florence2.evaluation.metrics.detection import DetectedObjects, GroundTruthObjects
from florence2.evaluation.metrics.resampling import match_images


@dataclass(frozen=True)
class Pictures:
    """True and detected objects of the same images."""

    ground_truths: list[GroundTruthObjects]
    detections: list[DetectedObjects]


def from_coco(dataset: dict[str, Any], results: list[dict[str, Any]]) -> Pictures:
    """Annotations and results as plain arrays, images by ascending id."""
    names = {item["id"]: item["name"] for item in dataset["categories"]}

    def boxes(items: list[dict[str, Any]]) -> np.ndarray:
        extents = np.asarray([item["bbox"] for item in items]).reshape(-1, 4)
        return np.hstack([extents[:, :2], extents[:, :2] + extents[:, 2:]])

    ground_truths, detections = [], []
    for number in sorted(image["id"] for image in dataset["images"]):
        true = [item for item in dataset["annotations"] if item["image_id"] == number]
        found = [item for item in results if item["image_id"] == number]
        labels = [names[item["category_id"]] for item in true]
        crowd = [item["iscrowd"] for item in true]
        ground_truths.append(GroundTruthObjects(number, boxes(true), labels, crowd))
        labels = [names[item["category_id"]] for item in found]
        scores = [item["score"] for item in found]
        detections.append(DetectedObjects(number, boxes(found), labels, scores))
    return Pictures(ground_truths, detections)


def made_up(count: int, objects: float = 4, classes: int = 5, seed: int = 0) -> Pictures:
    """Images with crowds, doubled boxes, shaken boxes and false positives; scores all differ."""
    generator = np.random.default_rng(seed)
    ground_truths, detections = [], []
    for image in range(count):
        there, more = int(generator.poisson(objects)), int(generator.poisson(objects))
        corners = generator.uniform(0, 300, (there, 2))
        boxes = np.hstack([corners, corners + generator.uniform(20, 200, (there, 2))])
        labels = [f"class {number}" for number in generator.integers(0, classes, there)]
        crowd = generator.uniform(size=there) < 0.1
        ground_truths.append(GroundTruthObjects(image, boxes, labels, crowd))
        again = generator.integers(0, there, more) if there else np.zeros(0, int)
        guesses = boxes[again] + generator.normal(0, 8, (len(again), 4))
        guesses[:, 2:] = np.maximum(guesses[:, :2], guesses[:, 2:])
        names = [labels[number] for number in again]
        scores = generator.uniform(size=len(again))
        detections.append(DetectedObjects(image, guesses, names, scores))
    return Pictures(ground_truths, detections)


def drawn(images: Pictures, counts: np.ndarray) -> Pictures:
    """The images copied as often as the counts say, each copy with an id of its own."""
    ground_truths, detections = [], []
    for ground_truth, found, count in zip(
        images.ground_truths, images.detections, counts, strict=True
    ):
        for copy in range(int(count)):
            name = (ground_truth.image_id, copy)
            ground_truths.append(
                GroundTruthObjects(
                    name, ground_truth.boxes, ground_truth.labels, ground_truth.ignored
                )
            )
            detections.append(DetectedObjects(name, found.boxes, found.labels, found.scores))
    return Pictures(ground_truths, detections)


@pytest.mark.parametrize(
    ("annotations", "results"),
    [
        (
            "coco_official/instances_val2014_100.json",
            "coco_official/instances_val2014_fakebbox100_results.json",
        ),
        ("coco_sampled/sampled_gts_bbox_area.json", "coco_sampled/sampled_bbox_results.json"),
    ],
)
def test_equals_the_coco_tools(shared: Path, annotations: str, results: str) -> None:
    dataset = json.loads((shared / "eval" / annotations).read_text())
    found = json.loads((shared / "eval" / results).read_text())
    found = found["annotations"] if isinstance(found, dict) else found
    images = from_coco(dataset, found)
    matches = match_images(images.ground_truths, images.detections)
    metrics = coco_metrics(dataset, found)
    assert matches.average_precision() == pytest.approx(metrics.ap, abs=1e-9)
    assert matches.average_precision(iou=0.5) == pytest.approx(metrics.ap_50, abs=1e-9)
    assert matches.average_precision(iou=0.75) == pytest.approx(metrics.ap_75, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_counts_equal_copies(seed: int) -> None:
    images = made_up(30, seed=seed)
    matches = match_images(images.ground_truths, images.detections)
    counts = np.bincount(np.random.default_rng(seed).integers(0, 30, 30), minlength=30)
    assert {0, 1, 2} <= set(counts.tolist())
    copies = drawn(images, counts)
    metrics = average_precision(copies.ground_truths, copies.detections)
    assert matches.average_precision(counts) == pytest.approx(metrics.ap, abs=1e-12)
    assert matches.average_precision(counts, 0.5) == pytest.approx(metrics.ap_50, abs=1e-12)
    assert metrics.ap != pytest.approx(matches.average_precision(), abs=1e-3)


def test_a_dataset_held_twice_has_the_same_metric() -> None:
    images = made_up(10)
    matches = match_images(images.ground_truths, images.detections)
    once = matches.average_precision()
    assert matches.average_precision(np.full(10, 2)) == pytest.approx(once, abs=1e-12)


def test_no_more_than_a_hundred_detections_count() -> None:
    ground_truth = GroundTruthObjects("a", [[0, 0, 10, 10]], ["cat"])
    boxes = [[50, 50, 60, 60]] * 100 + [[0, 0, 10, 10]]
    found = DetectedObjects("a", boxes, ["cat"] * 101, np.linspace(1, 0.5, 101))
    assert match_images([ground_truth], [found]).average_precision() == 0
    fewer = DetectedObjects("a", boxes[1:], ["cat"] * 100, np.linspace(1, 0.5, 100))
    assert match_images([ground_truth], [fewer]).average_precision() == pytest.approx(0.01)


def test_nothing_to_find_and_nothing_found() -> None:
    ground_truths = [
        GroundTruthObjects("a", [[0, 0, 10, 10]], ["cat"]),
        GroundTruthObjects("b", [], []),
    ]
    matches = match_images(ground_truths, [DetectedObjects("b", [[0, 0, 1, 1]], ["dog"])])
    assert matches.average_precision() == 0
    # Without the first image there is no object at all.
    assert matches.average_precision([0, 2]) == 0


def test_faults_are_named() -> None:
    images = made_up(3)
    matches = match_images(images.ground_truths, images.detections)
    with pytest.raises(ValueError, match="3 images need the same number of counts, got 2"):
        matches.average_precision([1, 1])
    with pytest.raises(ValueError, match="not negative"):
        matches.average_precision([1, -1, 1])
    with pytest.raises(ValueError, match=r"iou must be one of .* got 0\.52"):
        matches.average_precision(iou=0.52)
    with pytest.raises(ValueError, match="not in the ground truth: 99"):
        match_images(images.ground_truths, [DetectedObjects(99, [], [])])


@pytest.mark.slow
def test_a_hundred_draws_of_five_thousand_images() -> None:
    images = made_up(5000, objects=8, classes=80)
    started = time.perf_counter()
    matches = match_images(images.ground_truths, images.detections)
    assert time.perf_counter() - started < 30
    generator = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(100):
        matches.average_precision(np.bincount(generator.integers(0, 5000, 5000), minlength=5000))
    assert time.perf_counter() - started < 20
