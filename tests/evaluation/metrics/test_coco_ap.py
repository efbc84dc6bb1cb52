"""COCO's figures against published ones, from dictionaries and from plain arrays."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.metrics.coco_ap import FIGURES, average_precision, coco_figures
from florence2.evaluation.metrics.detection import DetectedObjects, TrueObjects

OFFICIAL = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)
SAMPLED_PRECISION = (0.503647, 0.696973, 0.571667, 0.593252, 0.557991, 0.489363)
SAMPLED_RECALL = (0.386813, 0.593680, 0.595353, 0.654764, 0.603130, 0.553744)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def pictures(dataset: dict[str, Any], results: list[dict[str, Any]]) -> tuple[list, list]:
    """The same dictionaries as plain arrays, a list of pictures each."""
    names = {item["id"]: item["name"] for item in dataset["categories"]}

    def boxes(items: list[dict[str, Any]]) -> np.ndarray:
        extents = np.asarray([item["bbox"] for item in items]).reshape(-1, 4)
        return np.hstack([extents[:, :2], extents[:, :2] + extents[:, 2:]])

    truths, detections = [], []
    # Equal scores rank in the order of the pictures, which COCO takes by id.
    for image in sorted(dataset["images"], key=lambda image: image["id"]):
        true = [item for item in dataset["annotations"] if item["image_id"] == image["id"]]
        found = [item for item in results if item["image_id"] == image["id"]]
        truths.append(
            TrueObjects(
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
    return truths, detections


def test_official_fake_results(shared: Path) -> None:
    folder = shared / "eval/coco_official"
    dataset = read(folder / "instances_val2014_100.json")
    results = read(folder / "instances_val2014_fakebbox100_results.json")
    figures = coco_figures(dataset, results).summary()
    assert tuple(round(value, 3) for value in figures.values()) == OFFICIAL
    assert tuple(figures) == FIGURES


def test_sampled_results(shared: Path) -> None:
    folder = shared / "eval/coco_sampled"
    dataset = read(folder / "sampled_gts_bbox_area.json")
    results = read(folder / "sampled_bbox_results.json")["annotations"]
    figures = coco_figures(dataset, results)
    expected = SAMPLED_PRECISION + SAMPLED_RECALL
    assert tuple(round(value, 6) for value in figures.summary().values()) == expected
    known = [value for value in figures.per_class.values() if value >= 0]
    assert np.mean(known) == pytest.approx(figures.ap)


def test_plain_arrays_give_the_same(shared: Path) -> None:
    folder = shared / "eval/coco_official"
    dataset = read(folder / "instances_val2014_100.json")
    results = read(folder / "instances_val2014_fakebbox100_results.json")
    figures = average_precision(*pictures(dataset, results)).summary()
    assert figures == pytest.approx(coco_figures(dataset, results).summary(), abs=1e-12)


def test_nothing_found_scores_zero() -> None:
    truth = TrueObjects("a", [[0, 0, 10, 10]], ["cat"])
    figures = average_precision([truth], [])
    assert figures.ap == 0
    assert figures.per_class == {"cat": 0.0}


def test_faults_are_named() -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}
    dataset = {
        "images": [{"id": 1, "width": 9, "height": 9}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "cat"}],
    }
    result = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1.0}
    assert coco_figures(dataset, [result]).ap == pytest.approx(1.0)
    for change, message in [
        ({"image_id": 2}, "images of the detections not in the ground truth: 2"),
        ({"category_id": 7}, "categories not in the ground truth: 7"),
        ({"score": float("nan")}, r"scores must be finite; at \(0,\) there is nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            coco_figures(dataset, [{**result, **change}])
    twice = {**dataset, "annotations": [annotation, annotation]}
    with pytest.raises(ValueError, match="annotation ids must be unique; repeated: 1"):
        coco_figures(twice, [result])


@pytest.mark.slow
def test_five_thousand_pictures_in_a_minute() -> None:
    generator = np.random.default_rng(0)
    names = [f"class {number}" for number in range(80)]
    truths, detections = [], []
    for image in range(5000):
        count = int(generator.poisson(7))
        corners = generator.uniform(0, 500, (count + 80, 2))
        boxes = np.hstack([corners, corners + generator.uniform(8, 250, (count + 80, 2))])
        labels = [names[number] for number in generator.integers(0, 80, count + 80)]
        truths.append(TrueObjects(image, boxes[:count], labels[:count]))
        shaken = boxes + generator.normal(0, 5, boxes.shape)
        scores = generator.uniform(0, 1, len(shaken))
        detections.append(DetectedObjects(image, shaken, labels, scores))
    started = time.perf_counter()
    figures = average_precision(truths, detections)
    assert time.perf_counter() - started < 60
    assert 0.01 < figures.ap < 0.5
