"""COCO's metrics against published ones, from dictionaries and from plain arrays."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.metrics.coco_ap import METRIC_NAMES, average_precision, coco_metrics
from florence2.evaluation.metrics.detection import DetectedObjects, GroundTruthObjects

OFFICIAL = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)
SAMPLED_PRECISION = (0.503647, 0.696973, 0.571667, 0.593252, 0.557991, 0.489363)
SAMPLED_RECALL = (0.386813, 0.593680, 0.595353, 0.654764, 0.603130, 0.553744)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def images(dataset: dict[str, Any], results: list[dict[str, Any]]) -> tuple[list, list]:
    """The same dictionaries as plain arrays, a list of images each."""
    names = {item["id"]: item["name"] for item in dataset["categories"]}

    def boxes(items: list[dict[str, Any]]) -> np.ndarray:
        extents = np.asarray([item["bbox"] for item in items]).reshape(-1, 4)
        return np.hstack([extents[:, :2], extents[:, :2] + extents[:, 2:]])

    ground_truths, detections = [], []
    # Equal scores rank in the order of the images, which COCO takes by id.
    for image in sorted(dataset["images"], key=lambda image: image["id"]):
        true = [item for item in dataset["annotations"] if item["image_id"] == image["id"]]
        found = [item for item in results if item["image_id"] == image["id"]]
        ground_truths.append(
            GroundTruthObjects(
                image["id"],
                boxes(true),
                [names[item["category_id"]] for item in true],
                [item["iscrowd"] for item in true],
                [item["area"] for item in true],
            )
        )
        labels = [names[item["category_id"]] for item in found]
        scores = [item["score"] for item in found]
        detections.append(DetectedObjects(image["id"], boxes(found), labels, scores))
    return ground_truths, detections


def test_official_fake_results(shared: Path) -> None:
    directory = shared / "eval/coco_official"
    dataset = read(directory / "instances_val2014_100.json")
    results = read(directory / "instances_val2014_fakebbox100_results.json")
    metrics = coco_metrics(dataset, results).summary()
    assert tuple(round(value, 3) for value in metrics.values()) == OFFICIAL
    assert tuple(metrics) == METRIC_NAMES


def test_sampled_results(shared: Path) -> None:
    directory = shared / "eval/coco_sampled"
    dataset = read(directory / "sampled_gts_bbox_area.json")
    results = read(directory / "sampled_bbox_results.json")["annotations"]
    metrics = coco_metrics(dataset, results)
    expected = SAMPLED_PRECISION + SAMPLED_RECALL
    assert tuple(round(value, 6) for value in metrics.summary().values()) == expected
    known = [value for value in metrics.per_class.values() if value >= 0]
    assert np.mean(known) == pytest.approx(metrics.ap)


def test_plain_arrays_give_the_same(shared: Path) -> None:
    directory = shared / "eval/coco_official"
    dataset = read(directory / "instances_val2014_100.json")
    results = read(directory / "instances_val2014_fakebbox100_results.json")
    metrics = average_precision(*images(dataset, results)).summary()
    assert metrics == pytest.approx(coco_metrics(dataset, results).summary(), abs=1e-12)


def test_nothing_found_scores_zero() -> None:
    ground_truth = GroundTruthObjects("a", [[0, 0, 10, 10]], ["cat"])
    metrics = average_precision([ground_truth], [])
    assert metrics.ap == 0
    assert metrics.per_class == {"cat": 0.0}


def test_faults_are_named() -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}
    dataset = {
        "images": [{"id": 1, "width": 9, "height": 9}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "cat"}],
    }
    result = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1.0}
    assert coco_metrics(dataset, [result]).ap == pytest.approx(1.0)
    for change, message in [
        ({"image_id": 2}, "images of the detections not in the ground truth: 2"),
        ({"category_id": 7}, "categories not in the ground truth: 7"),
        ({"score": float("nan")}, r"scores must be finite; at \(0,\) there is nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            coco_metrics(dataset, [{**result, **change}])
    twice = {**dataset, "annotations": [annotation, annotation]}
    with pytest.raises(ValueError, match="annotation ids must be unique; repeated: 1"):
        coco_metrics(twice, [result])


@pytest.mark.slow
def test_five_thousand_images_in_a_minute() -> None:
    generator = np.random.default_rng(0)
    names = [f"class {number}" for number in range(80)]
    ground_truths, detections = [], []
    for image in range(5000):
        count = int(generator.poisson(7))
        corners = generator.uniform(0, 500, (count + 80, 2))
        boxes = np.hstack([corners, corners + generator.uniform(8, 250, (count + 80, 2))])
        labels = [names[number] for number in generator.integers(0, 80, count + 80)]
        ground_truths.append(GroundTruthObjects(image, boxes[:count], labels[:count]))
        shaken = boxes + generator.normal(0, 5, boxes.shape)
        scores = generator.uniform(0, 1, len(shaken))
        detections.append(DetectedObjects(image, shaken, labels, scores))
    started = time.perf_counter()
    metrics = average_precision(ground_truths, detections)
    assert time.perf_counter() - started < 60
    assert 0.01 < metrics.ap < 0.5
