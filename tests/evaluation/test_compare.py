from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from florence2.evaluation.compare import Comparison, compare
from florence2.evaluation.metric import mean_metric
from florence2.evaluation.runner import evaluate
from florence2.results.types import Text


@pytest.fixture
def runs(stand_in: Any, model: Any, data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The model that knows two thirds of the shapes, and one that knows all but one color."""

    def better(image: Path, question: str) -> Text:
        known = (image.stem, question) != ("004", "color?")
        return Text(f"{image.stem} {question}" if known else "?")

    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "a")
    evaluate(stand_in.BENCHMARK, stand_in.StandInModel(better, "better"), data, tmp_path / "b")
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def find(stand_in: Any) -> Any:
    return {"colors": stand_in.BENCHMARK}.__getitem__


def test_differences_are_those_of_pairs(runs: tuple[Path, Path], find: Any) -> None:
    found = compare(*runs, find=find)
    (accuracy,) = found.metrics
    assert (accuracy.first, accuracy.second) == pytest.approx((82.5, 97.5))
    assert accuracy.difference == pytest.approx(15)
    examples = [(number, kind) for number in range(20) for kind in (0, 1)]
    images = [number for number, _ in examples]
    before = mean_metric("x", [kind == 0 or number % 3 > 0 for number, kind in examples], images)
    after = mean_metric("x", [example != (4, 0) for example in examples], images)
    interval = before.difference(after)
    assert (accuracy.low, accuracy.high) == pytest.approx((interval.low, interval.high))
    assert accuracy.sign_flip_rate == interval.sign_flip_rate < 0.05
    assert accuracy.verdict == "B is better"
    assert found.models == ("stand-in", "better")
    assert [each.id for each in found.changed] == sorted(
        ["004-0", *(f"{number:03}-1" for number in range(0, 20, 3))]
    )


def test_a_run_with_itself_differs_by_nothing(runs: tuple[Path, Path], find: Any) -> None:
    found = compare(runs[0], runs[0], find=find)
    (accuracy,) = found.metrics
    assert (accuracy.difference, accuracy.low, accuracy.high) == (0, 0, 0)
    assert accuracy.verdict == "no clear difference" and found.changed == ()
    assert "None." in found.to_markdown()


def test_less_is_better_where_it_is(runs: tuple[Path, Path], find: Any) -> None:
    (accuracy,) = compare(*runs, find=find).metrics
    assert replace(accuracy, higher_is_better=False).verdict == "A is better"
    assert replace(accuracy, low=-9.0, high=-1.0).verdict == "A is better"
    assert replace(accuracy, low=-9.0, high=1.0).verdict == "no clear difference"


def test_the_page(runs: tuple[Path, Path], find: Any) -> None:
    found: Comparison = compare(*runs, find=find)
    page = found.to_markdown()
    assert "| accuracy | 82.50 | 97.50 | +15.00 | +" in page and "| B is better |" in page
    assert f"| B | better | {runs[1]} |" in page
    assert "| 004-0 | 1.00 | 0.00 |" in page
    assert json.loads(json.dumps(found.to_json()))["metrics"][0]["name"] == "accuracy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "other"}, "has split val, .* has other"),
        ({"limit": 3}, "has limit None, .* has 3"),
    ],
)
def test_other_examples_are_refused(
    stand_in: Any, model: Any, data: Path, tmp_path: Path, runs: Any, find: Any,
    options: Any, message: str,
) -> None:  # fmt: skip
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "c", **options)
    with pytest.raises(ValueError, match=f"{message}: only runs of the same examples"):
        compare(runs[0], tmp_path / "c", find=find)


def test_what_cannot_be_compared_is_reported(
    stand_in: Any, model: Any, data: Path, tmp_path: Path, runs: Any, find: Any
) -> None:
    with pytest.raises(FileNotFoundError, match="name the --out of an evaluation"):
        compare(runs[0], tmp_path, find=find)
    hidden = tmp_path / "hidden"
    evaluate(stand_in.BENCHMARK, model, data, hidden, split="hidden")
    with pytest.raises(ValueError, match="colors hidden is hidden"):
        compare(hidden, hidden, find=find)
    log = runs[1] / "predictions-00000-of-00001.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-3]))
    with pytest.raises(ValueError, match="has no prediction for 3 of 40 examples"):
        compare(*runs, find=find)
    names = json.loads((data / "val.json").read_text())
    (data / "val.json").write_text(json.dumps(names[::-1]))
    with pytest.raises(ValueError, match=r"does not hold the examples of"):
        compare(*runs, find=find)
