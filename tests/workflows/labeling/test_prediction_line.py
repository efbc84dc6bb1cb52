from __future__ import annotations

import json
import os
from pathlib import PurePosixPath

from florence2.results.tasks import find_task
from florence2.results.types import Boxes, Failure, Result
from florence2.workflows.labeling.label_requests import LabelRequest
from florence2.workflows.labeling.prediction_line import encode_lines, make_line, sidecar_text
from florence2.workflows.labeling.sources import Source

REQUEST = LabelRequest(find_task("od"))
SOURCE = Source("a.jpg", PurePosixPath("a.jpg"))


def test_a_line_holds_the_prediction_and_the_image_size() -> None:
    answer = Boxes([[1, 2, 3, 4]], ["cat"], (40, 30), [0.5])
    result = Result(REQUEST.task, "", answer, (40, 30), truncated=True)
    assert make_line(SOURCE, REQUEST, result) == {
        "image": "a.jpg",
        "task": "<OD>",
        "image_size": [40, 30],
        "answer": {"bboxes": [[1, 2, 3, 4]], "labels": ["cat"], "scores": [0.5]},
        "truncated": True,
    }


def test_a_failure_is_a_line_too() -> None:
    line = make_line(SOURCE, REQUEST, Failure("a.jpg", "not an image"))
    assert line == {"image": "a.jpg", "task": "<OD>", "error": "not an image"}


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
