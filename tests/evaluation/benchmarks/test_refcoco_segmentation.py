"""Masks for referring expressions: the ground truth itself, halves of it, and the photographs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from florence2.evaluation.benchmark import BenchmarkExample, BenchmarkScores, ExamplePrediction
from florence2.evaluation.benchmarks.refcoco_segmentation import BENCHMARK, true_mask
from florence2.evaluation.benchmarks.referring_expressions import Referent
from florence2.results.tasks import find_task
from florence2.results.types import Polygons

SIZE = (640, 480)
ReferWriter = Callable[..., Path]


def outline(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.asarray([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def from_truth(example: BenchmarkExample) -> Polygons:
    parts = [np.reshape(polygon, (-1, 2)) for polygon in example.ground_truth.segmentation]
    return Polygons([parts], [""], example.ground_truth.image_size)


def values(scored: BenchmarkScores) -> dict[str, float]:
    return {metric.name: metric.value for metric in scored.metrics}


def test_the_ground_truth_is_perfect(write_refer: ReferWriter) -> None:
    examples = BENCHMARK.read(write_refer(), "val")
    assert examples[0].task.token == "<REFERRING_EXPRESSION_SEGMENTATION>"
    assert examples[0].prompt_input == "the lady"
    scored = BENCHMARK.score(
        [ExamplePrediction(example, from_truth(example)) for example in examples]
    )
    assert values(scored) == {"mIoU": 100, "cIoU": 100, "P@0.5": 100}
    assert scored.per_example == (1, 1, 1)


def test_parts_and_silence(write_refer: ReferWriter) -> None:
    examples = BENCHMARK.read(write_refer(), "val")
    # Two polygons of two instances make one mask: three quarters of the lady's 100 x 200 pixels.
    quarters = [[outline(100, 100, 200, 200)], [outline(100, 200, 200, 250)]]
    half_beside = [[outline(150, 100, 250, 300)]]
    answers = [Polygons(quarters, ["", ""], SIZE), Polygons(half_beside, [""], SIZE), None]
    scored = BENCHMARK.score(
        [
            ExamplePrediction(example, answer)
            for example, answer in zip(examples, answers, strict=True)
        ]
    )
    assert scored.per_example == pytest.approx((0.75, 1 / 3, 0))
    intersections, unions = 15_000 + 10_000 + 0, 20_000 + 30_000 + 400
    assert values(scored) == pytest.approx(
        {
            "mIoU": 100 * (0.75 + 1 / 3) / 3,
            "cIoU": 100 * intersections / unions,
            "P@0.5": 100 / 3,
        }
    )
    assert scored.tables[0].rows == (("small", 1, 0.0), ("large", 2, 54.2))


def test_polygons_of_photographs_give_their_own_masks(shared: Path) -> None:
    path = shared / "eval/photos/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    predictions = []
    for item in content["annotations"][:150]:
        if not item["iscrowd"]:
            size = sizes[item["image_id"]]
            ground_truth = Referent((0, 0, 1, 1), item["segmentation"], item["area"], "thing", size)
            name = str(item["image_id"])
            example = BenchmarkExample(
                str(item["id"]), path, name, find_task("segment"), "it", ground_truth
            )
            predictions.append(ExamplePrediction(example, from_truth(example)))
    scored = BENCHMARK.score(predictions)
    # Although answers are single precision: what that shifts is too little to count.
    assert values(scored) == {"mIoU": 100, "cIoU": 100, "P@0.5": 100}


def test_run_lengths_are_read() -> None:
    encoded = {"size": [3, 2], "counts": [1, 2, 3]}
    mask = true_mask(Referent((0, 0, 1, 3), encoded, 2.0, "thing", (2, 3)))
    assert mask.tolist() == [[False, False], [True, False], [True, False]]


def test_an_object_without_outline_is_named(write_refer: ReferWriter) -> None:
    data = write_refer()
    path = data / "refcoco/instances.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["segmentation"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="expression 2 has no segmentation"):
        BENCHMARK.read(data, "val")
