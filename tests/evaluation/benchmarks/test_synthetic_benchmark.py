"""The scenes benchmark: perfect answers, spoiled ones, and the split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from florence2.datasets.shards import ShardWriter
from florence2.evaluation.benchmark import ExamplePrediction
from florence2.evaluation.benchmarks.synthetic_benchmark import BENCHMARK
from florence2.results.types import Boxes, Text
from florence2.synthetic.scene import SceneSettings
from florence2.synthetic.scene_records import SceneRecords
from florence2.synthetic.sprite_library import load_library

pytest.importorskip("cv2")
PERFECT_ERRORS = {"calibration error", "CER of matched lines", "OCR CER", "region OCR CER"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("scenes")
    records = SceneRecords(
        load_library(None, "test"), "test", stages=[(0, SceneSettings(size=(160, 160)))]
    )
    with ShardWriter(directory) as writer:
        for number in range(12):
            writer.write(records[number])
    return directory


@pytest.fixture(scope="module")
def perfect(data: Path) -> list[ExamplePrediction]:
    return [
        ExamplePrediction(example, example.ground_truth) for example in BENCHMARK.read(data, "test")
    ]


def metrics(predictions: list[ExamplePrediction]) -> dict[str, float]:
    return {each.name: each.value for each in BENCHMARK.score(predictions).metrics}


def test_the_ground_truth_itself_is_perfect_on_every_task(perfect: list[ExamplePrediction]) -> None:
    scored = BENCHMARK.score(perfect)
    found = {each.name: each.value for each in scored.metrics}
    for name, value in found.items():
        if name in PERFECT_ERRORS:
            assert value == pytest.approx(0), name
        elif "object" in name:
            # Captions sum up: "other things" names nothing, but nothing named is invented.
            assert value <= 100, name
        else:
            assert value == pytest.approx(100), name
    assert found["caption: object precision"] == pytest.approx(100)
    assert found["more detailed caption: object recall"] > 90
    assert len(scored.per_example) == len(perfect)


def test_no_answers_score_nothing_but_on_what_is_absent(perfect: list[ExamplePrediction]) -> None:
    found = metrics([ExamplePrediction(each.example, None) for each in perfect])
    assert found["negative-class accuracy"] == pytest.approx(100)
    assert found["detection AP"] == found["grounding recall@1"] == found["referring mIoU"] == 0
    assert found["OCR CER"] == pytest.approx(100)


def test_shifted_boxes_lose_what_the_shift_costs(perfect: list[ExamplePrediction]) -> None:
    """Moved right by a fifth of its width, a box keeps IoU 0.8 / 1.2: right at .50, .55, .60, .65
    of COCO's ten thresholds."""
    shifted = []
    for each in perfect:
        answer = each.answer
        if each.example.task.token == "<OD>":
            assert isinstance(answer, Boxes)
            widths = answer.xyxy[:, 2] - answer.xyxy[:, 0]
            moved = answer.xyxy.astype(np.float64)
            moved[:, [0, 2]] += 0.2 * widths[:, None]
            answer = replace(answer, xyxy=moved)
        shifted.append(ExamplePrediction(each.example, answer))
    found = metrics(shifted)
    assert found["detection AP"] == pytest.approx(40)
    assert found["detection AP50"] == found["detection F1@0.5"] == pytest.approx(100)


def test_scores_that_rank_beat_scores_that_do_not(perfect: list[ExamplePrediction]) -> None:
    detections = []
    for each in perfect:
        if each.example.task.token == "<OD>":
            true = each.example.ground_truth
            far = true.xyxy + 500
            answer = Boxes(
                np.concatenate([true.xyxy, far]), true.labels * 2, true.image_size,
                scores=[0.9] * len(true) + [0.1] * len(true),
            )  # fmt: skip
            detections.append(ExamplePrediction(each.example, answer))
    found = metrics(detections)
    assert found["detection AP"] == pytest.approx(100)
    assert found["AP, scores permuted"] < 90
    # Boxes trusted at .9 are all right, those at .1 all wrong: each is off by a tenth.
    assert found["calibration error"] == pytest.approx(10, abs=1e-4)


def test_captions_are_scored_by_what_they_name(perfect: list[ExamplePrediction]) -> None:
    detection = next(each for each in perfect if each.example.task.token == "<OD>"
                     and len(each.example.ground_truth) >= 1)  # fmt: skip
    caption = next(
        each for each in perfect
        if each.example.task.token == "<CAPTION>"
        and each.example.image_id == detection.example.image_id
    )  # fmt: skip
    wrong = ExamplePrediction(caption.example, Text("A thing."))
    found = metrics([detection, wrong])
    assert found["caption: object recall"] == 0


def test_scenes_of_another_split_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="scene-test-000000"):
        BENCHMARK.read(data, "train")
    with pytest.raises(FileNotFoundError, match="florence2 scenes make"):
        BENCHMARK.read(tmp_path / "absent", "test")
