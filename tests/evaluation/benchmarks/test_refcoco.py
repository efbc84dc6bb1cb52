"""Accuracy of boxes for referring expressions, on files as the refer project has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from florence2.evaluation.benchmark import Benchmark, ExamplePrediction
from florence2.evaluation.benchmarks import find_benchmark
from florence2.results.types import Boxes

SIZE = (640, 480)
LADY, DOG = [100, 100, 200, 300], [10, 10, 30, 30]
ReferWriter = Callable[..., Path]


@pytest.mark.parametrize(
    ("benchmark", "directory", "partition", "splits"),
    [
        (find_benchmark("refcoco"), "refcoco", "unc", ("val", "testA", "testB")),
        (find_benchmark("refcoco-plus"), "refcoco+", "unc", ("val", "testA", "testB")),
        (find_benchmark("refcocog"), "refcocog", "umd", ("val", "test")),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_examples_of_the_official_files(
    write_refer: ReferWriter,
    benchmark: Benchmark,
    directory: str,
    partition: str,
    splits: tuple[str, ...],
    as_json: bool,
) -> None:
    assert benchmark.splits == splits and set(benchmark.reported) == set(splits)
    data = write_refer(directory, partition, splits[-1], as_json=as_json)
    examples = benchmark.read(data, splits[-1])
    assert [example.prompt_input for example in examples] == [
        "the lady",
        "lady in a blue shirt",
        "dog to the left",
    ]
    assert [example.id for example in examples] == ["0", "1", "2"]
    assert {example.task.token for example in examples} == {"<CAPTION_TO_PHRASE_GROUNDING>"}
    images = data / "images/mscoco/images/train2014"
    assert examples[0].image == images / "COCO_train2014_000000581857.jpg"
    assert examples[2].ground_truth.box == tuple(DOG) and examples[2].ground_truth.category == "dog"


def test_the_ground_truth_is_perfect(write_refer: ReferWriter) -> None:
    examples = find_benchmark("refcoco").read(write_refer(), "val")
    predictions = [
        ExamplePrediction(example, Boxes([example.ground_truth.box], ["it"], SIZE))
        for example in examples
    ]
    scored = find_benchmark("refcoco").score(predictions)
    assert [(metric.name, metric.value) for metric in scored.metrics] == [("accuracy", 100)]
    assert scored.metrics[0].num_images == 1
    assert scored.per_example == (1, 1, 1)


def test_one_box_stands_for_the_answer(write_refer: ReferWriter) -> None:
    examples = find_benchmark("refcoco").read(write_refer(), "val")
    answers = [
        # The highest-scoring box of the first phrase, though a later phrase is surer still.
        Boxes([DOG, LADY, DOG], ["lady", "lady", "shirt"], SIZE, [0.4, 0.5, 0.9]),
        # Without scores, the first.
        Boxes([DOG, LADY], ["lady", "lady"], SIZE),
        None,
    ]
    predictions = [
        ExamplePrediction(example, answer)
        for example, answer in zip(examples, answers, strict=True)
    ]
    scored = find_benchmark("refcoco").score(predictions)
    assert scored.per_example == (1, 0, 0)
    assert scored.metrics[0].value == pytest.approx(100 / 3)
    by_size, by_class, by_length = scored.tables
    assert by_size.rows == (("small", 1, 0.0), ("large", 2, 50.0))
    assert by_class.rows == (("person", 2, 50.0), ("dog", 1, 0.0))
    assert by_length.rows == (("1 to 2 words", 1, 100.0), ("3 to 5 words", 2, 0.0))


def test_half_is_not_enough(write_refer: ReferWriter) -> None:
    examples = find_benchmark("refcoco").read(write_refer(), "val")[:2]
    # IoU of exactly .5 is wrong, a little more is right.
    answers = [[100, 100, 200, 200], [100, 100, 200, 201]]
    predictions = [
        ExamplePrediction(example, Boxes([box], ["lady"], SIZE))
        for example, box in zip(examples, answers, strict=True)
    ]
    assert find_benchmark("refcoco").score(predictions).per_example == (0, 1)


def test_faulty_files_are_named(write_refer: ReferWriter) -> None:
    read = find_benchmark("refcoco").read
    data = write_refer(as_json=True)
    with pytest.raises(ValueError, match=r"no expression of split 'testA', only of \['train', 'v"):
        read(data, "testA")
    path = data / "refcoco/refs(unc).json"
    good = json.loads(path.read_text())
    for change, message in [
        ({"ref_id": 1}, "ref ids of .* repeated: 1"),
        ({"ann_id": 99}, "has no annotation 99"),
        ({"ann_id": 12}, "annotation 12 is on image 98304"),
        ({"image_id": 5}, "has no image 5"),
        ({"sentences": good[1]["sentences"]}, "sentence ids of .* repeated: '2'"),
    ]:
        path.write_text(json.dumps([{**good[0], **change}, *good[1:]]))
        with pytest.raises(ValueError, match=message):
            read(data, "val")
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match="the file is not a list"):
        read(data, "val")


def test_missing_files_are_named(write_refer: ReferWriter) -> None:
    data = write_refer()
    with pytest.raises(FileNotFoundError, match=r"refcocog/refs\(umd\)\.p"):
        find_benchmark("refcocog").read(data, "val")
    (data / "refcoco/instances.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"refcoco/instances\.json"):
        find_benchmark("refcoco").read(data, "val")
