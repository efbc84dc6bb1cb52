"""Cascades join the answers to two questions, on one encoding."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

import florence2
from florence2.inference.cascades import CASCADES, find_cascade
from florence2.results.tasks import find_task
from florence2.results.types import Boxes, Failure, Polygons, Result, Text

DEMO = str(files("florence2") / "nano" / "demo.png")
SIZE = (100, 80)


class Scripted:
    """Answers by task, and what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, []  # type: ignore[var-annotated]

    def __call__(self, questions: Sequence[tuple[Any, Any]]) -> list[Result | Failure]:
        found: list[Result | Failure] = []
        for task, text in questions:
            self.asked.append((task, text))
            answer = self.answers[task.replace("-", "_")]
            answer = answer(text) if callable(answer) else answer
            failed = isinstance(answer, Failure)
            found.append(answer if failed else Result(find_task(task), "", answer, SIZE))
        return found


BOXES = Boxes([(10, 10, 30, 30), (90, 70, 50, 40), (5, 5, 5, 9)], ["cat", "dog", "line"], SIZE,
              scores=[0.9, 0.5, 0.3])  # fmt: skip


def run(name: str, ask: Any) -> Result:
    cascade = find_cascade(name)
    assert cascade is not None
    return cascade.run(ask)


def test_a_caption_is_grounded() -> None:
    ask = Scripted(caption=Text("a cat<loc_3>"), phrase_grounding=BOXES)
    result = run("caption-then-ground", ask)
    assert ask.asked == [("caption", None), ("phrase-grounding", "a cat")]
    assert result.answer == BOXES and list(result.to_dict()) == ["<CAPTION_THEN_GROUND>"]
    nothing = run("caption-then-ground", Scripted(caption=Text("")))
    assert isinstance(nothing.answer, Boxes) and len(nothing.answer) == 0


def test_regions_are_described_and_those_that_fail_left_out() -> None:
    def describe(box: Any) -> Any:
        return Failure("", "no") if box[0] == 10 else Text("a brown dog<loc_1>")

    ask = Scripted(object_detection=BOXES, region_to_description=describe)
    result = run("<DETECT_THEN_DESCRIBE>", ask)
    assert [box for _, box in ask.asked[1:]] == [(10, 10, 30, 30), (50, 40, 90, 70)]
    assert isinstance(result.answer, Boxes)
    assert result.answer.labels == ("a brown dog",) and result.answer.scores.tolist() == [0.5]


def test_detections_are_outlined_with_their_labels() -> None:
    outline = Polygons([[np.zeros((3, 2))], [np.ones((4, 2))]], ["", ""], SIZE)
    result = run("detect-then-segment", Scripted(object_detection=BOXES,
                                                 region_to_segmentation=outline))  # fmt: skip
    assert isinstance(result.answer, Polygons) and result.answer.labels == ("cat", "dog")
    assert [len(parts) for parts in result.answer.polygons] == [2, 2]
    assert result.to_dict()["<DETECT_THEN_SEGMENT>"]["polygons_labels"] == ["cat", "dog"]


def test_a_first_answer_that_fails_is_the_error() -> None:
    with pytest.raises(ValueError, match="broken"):
        run("detect-then-segment", Scripted(object_detection=Failure("", "broken")))


@pytest.mark.parametrize("cascade", CASCADES, ids=lambda each: each.name)
def test_the_model_runs_them_on_one_encoding(cascade: Any, monkeypatch: Any) -> None:
    model = florence2.load("nano", runtime="torch")
    count = []
    encode = model.runtime.encode_images
    monkeypatch.setattr(
        model.runtime, "encode_images", lambda pixels: count.append(1) or encode(pixels)
    )
    look = model.encode_image(DEMO, beams=1, max_new_tokens=40)
    result = cascade.run(look.batch)
    assert len(count) == 1 and result.image_size == look.image_size == (256, 256)
    single = look("caption")
    assert single.token_ids == model(DEMO, "caption", beams=1, max_new_tokens=40).token_ids
    bad, good = look.batch([("nonsense", None), ("od", None)])
    assert isinstance(bad, Failure) and not isinstance(good, Failure)
