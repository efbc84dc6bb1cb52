"""Accuracy of boxes for referring expressions, on files as the refer project has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from florence2.evaluation.benchmark import Answered, Benchmark
from florence2.evaluation.benchmarks import refcoco, refcoco_plus, refcocog
from florence2.results.types import Boxes

SIZE = (640, 480)
LADY, DOG = [100, 100, 200, 300], [10, 10, 30, 30]
ReferWriter = Callable[..., Path]


@pytest.mark.parametrize(
    ("benchmark", "folder", "partition", "splits"),
    [
        (refcoco.BENCHMARK, "refcoco", "unc", ("val", "testA", "testB")),
        (refcoco_plus.BENCHMARK, "refcoco+", "unc", ("val", "testA", "testB")),
        (refcocog.BENCHMARK, "refcocog", "umd", ("val", "test")),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_cases_of_the_official_files(
    write_refer: ReferWriter,
    benchmark: Benchmark,
    folder: str,
    partition: str,
    splits: tuple[str, ...],
    as_json: bool,
) -> None:
    assert benchmark.splits == splits and set(benchmark.reported) == set(splits)
    data = write_refer(folder, partition, splits[-1], as_json=as_json)
    cases = benchmark.read(data, splits[-1])
    assert [case.question for case in cases] == [
        "the lady",
        "lady in a blue shirt",
        "dog to the left",
    ]
    assert [case.id for case in cases] == ["0", "1", "2"]
    assert {case.task.token for case in cases} == {"<CAPTION_TO_PHRASE_GROUNDING>"}
    pictures = data / "images/mscoco/images/train2014"
    assert cases[0].image == pictures / "COCO_train2014_000000581857.jpg"
    assert cases[2].truth.box == tuple(DOG) and cases[2].truth.category == "dog"


def test_the_truth_is_perfect(write_refer: ReferWriter) -> None:
    cases = refcoco.BENCHMARK.read(write_refer(), "val")
    answered = [Answered(case, Boxes([case.truth.box], ["it"], SIZE)) for case in cases]
    scored = refcoco.BENCHMARK.score(answered)
    assert [(figure.name, figure.value) for figure in scored.figures] == [("accuracy", 100)]
    assert scored.figures[0].pictures == 1
    assert scored.qualities == (1, 1, 1)


def test_one_box_stands_for_the_answer(write_refer: ReferWriter) -> None:
    cases = refcoco.BENCHMARK.read(write_refer(), "val")
    answers = [
        # The surest box of the first phrase, though a later phrase is surer still.
        Boxes([DOG, LADY, DOG], ["lady", "lady", "shirt"], SIZE, [0.4, 0.5, 0.9]),
        # Without scores, the first.
        Boxes([DOG, LADY], ["lady", "lady"], SIZE),
        None,
    ]
    answered = [Answered(case, answer) for case, answer in zip(cases, answers, strict=True)]
    scored = refcoco.BENCHMARK.score(answered)
    assert scored.qualities == (1, 0, 0)
    assert scored.figures[0].value == pytest.approx(100 / 3)
    by_size, by_class, by_length = scored.tables
    assert by_size.rows == (("small", 1, 0.0), ("large", 2, 50.0))
    assert by_class.rows == (("person", 2, 50.0), ("dog", 1, 0.0))
    assert by_length.rows == (("1 to 2 words", 1, 100.0), ("3 to 5 words", 2, 0.0))


def test_half_is_not_enough(write_refer: ReferWriter) -> None:
    cases = refcoco.BENCHMARK.read(write_refer(), "val")[:2]
    # IoU of exactly .5 is wrong, a little more is right.
    answers = [[100, 100, 200, 200], [100, 100, 200, 201]]
    answered = [
        Answered(case, Boxes([box], ["lady"], SIZE))
        for case, box in zip(cases, answers, strict=True)
    ]
    assert refcoco.BENCHMARK.score(answered).qualities == (0, 1)


def test_faulty_files_are_named(write_refer: ReferWriter) -> None:
    read = refcoco.BENCHMARK.read
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
        refcocog.BENCHMARK.read(data, "val")
    (data / "refcoco/instances.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"refcoco/instances\.json"):
        refcoco.BENCHMARK.read(data, "val")
