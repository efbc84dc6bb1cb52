"""Visual Genome's dense captions: files as they are published, with and without Java."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.benchmark import BenchmarkExample, BenchmarkScores, ExamplePrediction
from florence2.evaluation.benchmarks import visual_genome
from florence2.evaluation.benchmarks.visual_genome import BENCHMARK
from florence2.evaluation.metrics.java_captions import CaptionMetrics, has_java
from florence2.results.types import Boxes

SIZE = (800, 600)
DOG, SIGN, BALL = [100, 100, 300, 300], [500, 0, 600, 50], [10, 10, 30, 30]


def region(number: int, image: int, box: list[int], phrase: str) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {
        "region_id": number, "image_id": image, "x": x0, "y": y0,
        "width": x1 - x0, "height": y1 - y0, "phrase": phrase,
    }  # fmt: skip


def regions() -> list[dict[str, Any]]:
    too_long = "a dog that " + "runs and " * 6 + "then sleeps"
    first = [
        region(1, 1, DOG, "the dog is brown"),
        region(2, 1, DOG, "A brown dog on the grass. "),
        region(3, 1, SIGN, "a red stop sign"),
        region(4, 1, [0, 0, 9, 9], too_long),
    ]
    second = [region(5, 2, BALL, "a small white ball")]
    third = [region(6, 3, BALL, "")]
    return [
        {"id": image, "regions": items} for image, items in ((1, first), (2, second), (3, third))
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "region_descriptions.json").write_text(json.dumps(regions(), indent=1))
    splits = {"train": [4], "val": [2], "test": [2, 1, 3]}
    (tmp_path / "densecap_splits.json").write_text(json.dumps(splits))
    for directory in ("VG_100K", "VG_100K_2"):
        (tmp_path / directory).mkdir()
    (tmp_path / "VG_100K_2/2.jpg").write_bytes(b"")
    return tmp_path


@pytest.fixture
def without_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visual_genome, "has_java", lambda: False)


def from_truth(example: BenchmarkExample) -> Boxes:
    first_words = [texts[0] for texts in example.ground_truth.references]
    return Boxes(example.ground_truth.boxes, first_words, SIZE)


def values(scored: BenchmarkScores) -> dict[str, float]:
    return {metric.name: metric.value for metric in scored.metrics}


def test_examples_of_the_official_files(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    # The third image has no description.
    assert [example.id for example in examples] == ["2", "1"]
    assert [example.image for example in examples] == [
        data / "VG_100K_2/2.jpg",
        data / "VG_100K/1.jpg",
    ]
    assert examples[0].task.token == "<DENSE_REGION_CAPTION>"
    assert examples[1].ground_truth.boxes.tolist() == [DOG, SIGN]
    assert examples[1].ground_truth.references == (
        ("the dog is brown", "A brown dog on the grass."),
        ("a red stop sign",),
    )


@pytest.mark.usefixtures("without_java")
def test_without_java_there_is_no_map(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    scored = BENCHMARK.score(
        [ExamplePrediction(example, from_truth(example)) for example in examples]
    )
    metrics = values(scored)
    assert list(metrics) == ["detection mAP", "recall@0.5", "CIDEr of found"]
    assert metrics["detection mAP"] == 100 and metrics["recall@0.5"] == 100
    assert metrics["CIDEr of found"] > 300
    assert scored.per_example == (1, 1)


def test_words_count_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def equal(captions: list[list[str]], references: list[list[list[str]]]) -> CaptionMetrics:
        pairs = zip(captions, references, strict=True)
        scores = np.asarray([float(words in others) for words, others in pairs])
        return CaptionMetrics(float(scores.mean()), scores)

    monkeypatch.setattr(visual_genome, "has_java", lambda: True)
    monkeypatch.setattr(visual_genome, "meteor", equal)
    assert check_words(data) == pytest.approx(100 * 67 / 101)


@pytest.mark.slow
@pytest.mark.skipif(not has_java(), reason="METEOR is a Java program")
def test_words_count_by_meteor(data: Path) -> None:
    assert check_words(data) == pytest.approx(100 * 67 / 101)


def check_words(data: Path) -> float:
    """mAP when one of three regions is described in words of something else."""
    examples = BENCHMARK.read(data, "test")
    perfect = values(
        BENCHMARK.score([ExamplePrediction(example, from_truth(example)) for example in examples])
    )
    assert next(iter(perfect)) == "mAP" and perfect["mAP"] == 100
    answers = [
        from_truth(examples[0]),
        Boxes([DOG, SIGN], ["the dog is brown", "blue water"], SIZE),
    ]
    scored = BENCHMARK.score(
        [
            ExamplePrediction(example, answer)
            for example, answer in zip(examples, answers, strict=True)
        ]
    )
    assert values(scored)["detection mAP"] == 100
    return values(scored)["mAP"]


@pytest.mark.usefixtures("without_java")
def test_misses_and_false_alarms(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    answer = Boxes([DOG, DOG, [0, 500, 50, 550]], ["a brown dog", "dog", "a shoe"], SIZE)
    scored = BENCHMARK.score(
        [ExamplePrediction(examples[0], None), ExamplePrediction(examples[1], answer)]
    )
    metrics = values(scored)
    # One of three regions, by the first detection: precision 1 up to recall 1/3 (34 of 101).
    assert metrics["detection mAP"] == pytest.approx(100 * 34 / 101)
    assert metrics["recall@0.5"] == pytest.approx(100 / 3)
    assert scored.per_example == (0, 0.5)
    by_size, detections = scored.tables
    assert by_size.rows == (("small", 1, 0.0), ("medium", 1, 0.0), ("large", 1, 100.0))
    assert detections.rows == (("detections", 3), ("false positives", 2))


@pytest.mark.usefixtures("without_java")
def test_silence_scores_zero(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    scored = BENCHMARK.score([ExamplePrediction(example, None) for example in examples])
    assert set(values(scored).values()) == {0}


def test_faulty_files_are_named(data: Path) -> None:
    path = data / "region_descriptions.json"
    entries = regions()
    path.write_text(json.dumps(entries[1:]))
    with pytest.raises(ValueError, match="lacks 1 of 3 images of 'test', such as 1"):
        BENCHMARK.read(data, "test")
    path.write_text(json.dumps([*entries, entries[0]]))
    with pytest.raises(ValueError, match="lists image 1 twice"):
        BENCHMARK.read(data, "test")
    path.write_text(json.dumps(entries)[:100])
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        BENCHMARK.read(data, "test")
    del entries[0]["regions"][0]["width"]
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="an entry has no 'width'"):
        BENCHMARK.read(data, "test")
    (data / "densecap_splits.json").write_text(json.dumps({"train": [1], "val": [2, 2]}))
    with pytest.raises(ValueError, match=r"densecap_splits\.json has no test"):
        BENCHMARK.read(data, "test")
    with pytest.raises(ValueError, match="repeated: 2"):
        BENCHMARK.read(data, "val")
    path.unlink()
    (data / "densecap_splits.json").write_text(json.dumps({"test": [1]}))
    with pytest.raises(FileNotFoundError, match=r"region_descriptions\.json"):
        BENCHMARK.read(data, "test")
