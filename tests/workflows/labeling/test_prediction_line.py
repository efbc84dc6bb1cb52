from __future__ import annotations

import json
import os

from florence2.results.tasks import find_task
from florence2.results.types import Boxes, Failure, Result
from florence2.workflows.labeling.label_requests import Question
from florence2.workflows.labeling.prediction_line import encode_lines, make_line, sidecar_text

QUESTION = Question(find_task("od"))


def test_a_line_tells_the_answer_and_its_picture() -> None:
    answer = Boxes([[1, 2, 3, 4]], ["cat"], (40, 30), [0.5])
    result = Result(QUESTION.task, "", answer, (40, 30), truncated=True)
    assert make_line("a.jpg", QUESTION, result) == {  # type: ignore[arg-type]
        "image": "a.jpg",
        "task": "<OD>",
        "image_size": [40, 30],
        "answer": {"bboxes": [[1, 2, 3, 4]], "labels": ["cat"], "scores": [0.5]},
        "truncated": True,
    }


def test_a_failure_is_a_line_too() -> None:
    line = make_line("a.jpg", QUESTION, Failure("a.jpg", "no picture"))
    assert line == {"image": "a.jpg", "task": "<OD>", "error": "no picture"}


def test_lines_are_readable_and_names_outside_utf8_survive() -> None:
    assert "Straße" in encode_lines([{"image": "Straße.jpg"}]).decode()
    odd = os.fsdecode(b"\xff.jpg")
    encoded = encode_lines([{"image": odd}])
    assert json.loads(encoded)["image"] == odd
    assert encode_lines([{"a": "x\ny"}, {}]).count(b"\n") == 2


def test_sidecars_hold_the_words() -> None:
    lines = [
        {"answer": "a cat<loc_1><loc_2><loc_3><loc_4>"},
        {"answer": {"bboxes": [[0, 0, 1, 1]], "labels": ["cat"]}},
        {"answer": {"bboxes_labels": ["dog"], "polygons_labels": ["", "cow"]}},
    ]
    assert sidecar_text(lines) == "a cat\ncat\ndog\ncow\n"
