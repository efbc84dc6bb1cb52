"""COCO detection from its own files: answers made from the ground truth, then spoilt in known
ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.benchmark import BenchmarkExample, ExamplePrediction, Table
from florence2.evaluation.benchmarks.coco_detection import BENCHMARK
from florence2.evaluation.metrics.coco_ap import coco_metrics
from florence2.results.coco_names import COCO_IDS
from florence2.results.types import Boxes, Text

SIZE = (640, 480)


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def dataset() -> dict[str, Any]:
    """Two images: two cats, a dog and a crowd of dogs on the one, nothing on the other."""

    def annotation(number: int, category: int, bbox: list[float], crowd: int = 0) -> dict[str, Any]:
        area = bbox[2] * bbox[3]
        return {
            "id": number, "image_id": 139, "category_id": category, "bbox": bbox,
            "area": area, "iscrowd": crowd,
        }  # fmt: skip

    address = "http://images.cocodataset.org/val2017/{}"
    return {
        "images": [
            {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1],
             "coco_url": address.format(name)}
            for number, name in [(285, "000000000285.jpg"), (139, "000000000139.jpg")]
        ],
        "annotations": [
            annotation(1, 17, [10, 10, 20, 20]),
            annotation(2, 17, [100, 100, 200, 100]),
            annotation(3, 18, [400, 0, 200, 200], crowd=1),
            annotation(4, 18, [400, 300, 100, 100]),
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "annotations/instances_val2017.json", dataset())
    (tmp_path / "val2017").mkdir()
    return tmp_path


def from_truth(example: BenchmarkExample) -> Boxes:
    """The objects of an image as a perfect model would give them."""
    objects = example.ground_truth.objects.ignored
    kept = np.flatnonzero(~objects)
    labels = [example.ground_truth.objects.labels[index] for index in kept]
    return Boxes(example.ground_truth.objects.boxes[kept], labels, SIZE)


def score(
    examples: Sequence[BenchmarkExample], answer: Callable[[BenchmarkExample], Boxes | Text | None]
) -> Any:
    return BENCHMARK.score([ExamplePrediction(example, answer(example)) for example in examples])


def values(scored: Any) -> dict[str, float]:
    return {metric.name: metric.value for metric in scored.metrics}


def table(scored: Any, title: str) -> Table:
    return next(table for table in scored.tables if table.title.startswith(title))


def test_examples_of_the_official_files(data: Path) -> None:
    examples = BENCHMARK.read(data, "val2017")
    assert [example.id for example in examples] == ["139", "285"]
    assert examples[0].image == data / "val2017/000000000139.jpg"
    assert examples[0].task.token == "<OD>" and examples[0].prompt_input is None
    assert examples[0].ground_truth.objects.labels == ("cat", "cat", "dog", "dog")
    assert examples[0].ground_truth.objects.boxes[1].tolist() == [100, 100, 300, 200]
    assert examples[1].ground_truth.objects.labels == ()


def test_the_ground_truth_is_perfect(data: Path) -> None:
    scored = score(BENCHMARK.read(data, "val2017"), from_truth)
    assert values(scored) == {"AP": 100, "AP50": 100, "AP75": 100, "F1@0.5": 100}
    assert scored.per_example == (1.0, 1.0)
    assert table(scored, "Errors by size").rows == (
        ("small", 1, 0, 0),
        ("medium", 0, 0, 0),
        ("large", 2, 0, 0),
    )
    assert ("ap_medium", "no object") in table(scored, "COCO's twelve").rows


def test_failures_are_counted_by_hand(data: Path) -> None:
    boxes = Boxes(
        [[100, 100, 300, 200], [450, 50, 500, 100], [400, 300, 500, 380], [0, 0, 5, 5]],
        ["Cat", "zebra", "dog", "cat"],
        SIZE,
    )
    scored = score(
        BENCHMARK.read(data, "val2017"), lambda example: boxes if example.id == "139" else None
    )
    # Cats: one of two, before a false positive, so precision 1 at recalls 0 to .5 (51 of 101).
    # Dogs: IoU .8 passes seven of ten thresholds.
    assert values(scored)["AP"] == pytest.approx(100 * (51 / 101 + 0.7) / 2)
    assert values(scored)["F1@0.5"] == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert scored.per_example == pytest.approx((2 / 3, 1))
    assert table(scored, "Errors by size").rows == (
        ("small", 1, 1, 1),
        ("medium", 0, 0, 0),
        ("large", 2, 0, 0),
    )
    assert table(scored, "Errors by class").rows == (("cat", 2, 1, 1), ("dog", 1, 0, 0))
    assert table(scored, "Boxes dropped").rows == (("all", 1), ("zebra", 1))


def test_scores_of_box_and_label_rank_together(data: Path) -> None:
    right, wrong = [100, 100, 300, 200], [0, 300, 50, 350]
    examples = BENCHMARK.read(data, "val2017")

    def ap(box_scores: list[float], label_scores: list[float] | None) -> float:
        answer = Boxes([right, wrong], ["cat", "cat"], SIZE, box_scores, label_scores)
        scored = score(examples, lambda example: answer if example.id == "139" else None)
        return values(scored)["AP"]

    # Half the cats at precision 1 or, after a false positive, 1/2; no dogs.
    assert ap([0.9, 0.8], None) == pytest.approx(100 * 51 / 101 / 2)
    assert ap([0.8, 0.9], None) == pytest.approx(100 * 51 / 101 / 4)
    assert ap([0.8, 0.9], [1.0, 0.5]) == pytest.approx(100 * 51 / 101 / 2)


def test_photographs_answered_from_the_truth(shared: Path) -> None:
    data = shared / "eval/photos"
    examples = BENCHMARK.read(data, "val2017")
    assert len(examples) == 79 and all(Path(example.image).is_file() for example in examples)
    assert values(score(examples, from_truth)) == pytest.approx(
        {"AP": 100, "AP50": 100, "AP75": 100, "F1@0.5": 100}
    )


@pytest.mark.parametrize("permuted", [False, True])
def test_spoilt_photographs_score_what_the_coco_tools_say(
    shared: Path, tmp_path: Path, permuted: bool
) -> None:
    path = shared / "eval/photos/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    examples = BENCHMARK.read(shared / "eval/photos", "val2017")

    def spoilt(example: BenchmarkExample) -> Boxes:
        ground_truth = from_truth(example)
        if permuted:
            return replace(ground_truth, labels=ground_truth.labels[1:] + ground_truth.labels[:1])
        moved = ground_truth.xyxy.copy()
        # A quarter of the width to the right: IoU .75 / 1.25 = .6 for every box.
        moved[:, [0, 2]] += 0.25 * (ground_truth.xyxy[:, [2]] - ground_truth.xyxy[:, [0]])
        return replace(ground_truth, xyxy=moved)

    predictions = [ExamplePrediction(example, spoilt(example)) for example in examples]
    (written,) = BENCHMARK.official(predictions, tmp_path)
    results = json.loads(written.read_text())
    expected = coco_metrics(content, results)
    scored = BENCHMARK.score(predictions)
    assert values(scored)["AP"] == pytest.approx(100 * expected.ap, abs=1e-9)
    assert values(scored)["AP50"] == pytest.approx(100 * expected.ap_50, abs=1e-9)
    if not permuted:
        assert values(scored)["AP75"] < 25 < 85 < values(scored)["AP50"]
    assert values(scored)["AP"] < 80


def test_result_file_of_the_server(tmp_path: Path) -> None:
    image = {"id": 7, "file_name": "000000000007.jpg", "width": 640, "height": 480}
    image["coco_url"] = "http://images.cocodataset.org/test2017/000000000007.jpg"
    write(tmp_path / "annotations/image_info_test-dev2017.json", {"images": [image]})
    (tmp_path / "test2017").mkdir()
    (example,) = BENCHMARK.read(tmp_path, "test-dev2017")
    assert example.ground_truth is None and example.image == tmp_path / "test2017/000000000007.jpg"
    boxes = Boxes([[10, 20, 40, 60], [0, 0, 9, 9]], ["Toothbrush", "brush"], SIZE, [0.5, 1.0])
    (path,) = BENCHMARK.official([ExamplePrediction(example, boxes)], tmp_path / "out")
    assert path.name == "detections_test-dev2017_florence2_results.json"
    assert json.loads(path.read_text()) == [
        {"image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 40], "score": 0.5}
    ]


def test_the_eighty_classes_are_those_of_the_files(shared: Path) -> None:
    path = shared / "eval/photos/annotations/instances_val2017.json"
    listed = json.loads(path.read_text())["categories"]
    assert {item["name"]: item["id"] for item in listed} == COCO_IDS


def test_faulty_files_are_named(data: Path) -> None:
    path = data / "annotations/instances_val2017.json"
    good = dataset()
    for key, change, message in [
        ("images", {"id": 285}, "image ids of .* must be unique; repeated: 285"),
        ("images", {"coco_url": "http://images.cocodataset.org/train2017/1.jpg"}, "another split"),
        ("annotations", {"image_id": 1}, "images of annotations not in the ground truth: 1"),
        ("annotations", {"category_id": 5}, "categories of annotations not in .*: 5"),
        ("annotations", {"id": 1}, "annotation ids of .* repeated: 1"),
        ("categories", {"name": "Cat"}, "category names of .* repeated: 'cat'"),
    ]:
        write(path, {**good, key: [*good[key][:-1], {**good[key][-1], **change}]})
        with pytest.raises(ValueError, match=message):
            BENCHMARK.read(data, "val2017")
    without = {name: value for name, value in good["annotations"][0].items() if name != "bbox"}
    write(path, {**good, "annotations": [without]})
    with pytest.raises(ValueError, match="an entry has no 'bbox'"):
        BENCHMARK.read(data, "val2017")


def test_missing_files_are_named(data: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"image_info_test-dev2017\.json"):
        BENCHMARK.read(data, "test-dev2017")
    (data / "val2017").rmdir()
    with pytest.raises(FileNotFoundError, match="no directory val2017"):
        BENCHMARK.read(data, "val2017")


def test_ids_may_be_names_and_are_written_as_they_are(data: Path, tmp_path: Path) -> None:
    content = dataset()
    names = {139: "img_b", 285: "img_a"}
    for image in content["images"]:
        image["id"] = names[image["id"]]
    for item in content["annotations"]:
        item["image_id"], item["category_id"] = "img_b", f"c{item['category_id']}"
    for item in content["categories"]:
        item["id"] = f"c{item['id']}"
    write(data / "annotations/instances_val2017.json", content)
    examples = BENCHMARK.read(data, "val2017")
    assert [example.id for example in examples] == ["img_a", "img_b"]
    assert values(score(examples, from_truth))["AP"] == 100
    assert BENCHMARK.official is not None
    (path,) = BENCHMARK.official(
        [ExamplePrediction(example, from_truth(example)) for example in examples], tmp_path
    )
    assert {(each["image_id"], each["category_id"]) for each in json.loads(path.read_text())} == {
        ("img_b", "c17"), ("img_b", "c18"),
    }  # fmt: skip


def test_a_class_with_a_space_at_its_end_is_found(data: Path) -> None:
    content = dataset()
    content["categories"][0]["name"] = "Cat "
    write(data / "annotations/instances_val2017.json", content)
    boxes = Boxes([[10, 10, 30, 30], [100, 100, 300, 200]], ["cat", " cat"], SIZE)
    scored = score(
        BENCHMARK.read(data, "val2017"), lambda example: boxes if example.id == "139" else None
    )
    assert values(scored)["AP"] == pytest.approx(50)
    assert table(scored, "Boxes dropped").rows == (("all", 0),)


@pytest.mark.parametrize(
    "bbox", [[], [1, 2, 3], [1, 2, 3, None], [1, 2, 3, float("nan")], None, "x"]
)
def test_a_box_that_is_none_is_refused_with_its_annotation(data: Path, bbox: Any) -> None:
    content = dataset()
    content["annotations"][2].update(bbox=bbox, id=4711)
    write(data / "annotations/instances_val2017.json", content)
    with pytest.raises(ValueError, match=r"instances_val2017\.json: annotation 4711 has bbox"):
        BENCHMARK.read(data, "val2017")


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "a\0.jpg", ""])
def test_a_file_name_that_leads_outside_is_refused(data: Path, name: str) -> None:
    content = dataset()
    content["images"][0]["file_name"] = name
    del content["images"][0]["coco_url"]
    write(data / "annotations/instances_val2017.json", content)
    with pytest.raises(ValueError, match=r"instances_val2017\.json: "):
        BENCHMARK.read(data, "val2017")
