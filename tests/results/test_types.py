"""Answers as values: shapes, equality, selection, the released dictionary form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from florence2.results.tasks import find_task
from florence2.results.types import Boxes, Polygons, Quads, Result, Text

SIZE = (640, 480)
BOXES = Boxes([[1, 2, 3, 4], [5, 6, 7, 8]], ("cat", "dog"), SIZE, [0.5, 0.25], [1, 0.75])
QUADS = Quads([[[1, 2], [3, 2], [3, 4], [1, 4]]], ["STOP"], SIZE, [0.5])
POLYGONS = Polygons([[[[1, 2], [3, 4], [5, 0]], [[9, 9]]], [[[7, 8]]]], ["", ""], SIZE, [0.5, 1])


def to_dict(task: str, answer: Any) -> Any:
    found = find_task(task)
    return Result(found, found.prompt, answer, SIZE).to_dict()[found.token]


def test_values_are_immutable_float32() -> None:
    assert BOXES.xyxy.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        BOXES.xyxy[0] = 0
    with pytest.raises(AttributeError):
        BOXES.labels = ()  # type: ignore[misc]
    given = np.zeros((1, 4), dtype=np.float32)
    kept = Boxes(given, ["cat"], SIZE)
    given[:] = 9
    assert kept.xyxy.max() == 0


def test_values_compare_by_content() -> None:
    assert Boxes([[1, 2, 3, 4]], ["cat"], SIZE) == Boxes(np.array([[1, 2, 3, 4]]), ("cat",), SIZE)
    assert Boxes([], [], SIZE) != Quads([], [], SIZE)
    assert Boxes([[1, 2, 3, 4]], ["cat"], SIZE) != Boxes([[1, 2, 3, 4]], ["cat"], SIZE, [0.5])
    assert Polygons([[[[1, 2], [3, 4], [5, 0]]], [[[7, 8]]]], ["", ""], SIZE, [0.5, 1]) != POLYGONS
    assert POLYGONS.select([0, 1]) == POLYGONS
    assert Text("a") != Text("a", 0.5)


def test_bounds() -> None:
    assert BOXES.bounds is BOXES.xyxy
    assert QUADS.bounds.tolist() == [[1, 2, 3, 4]]
    assert POLYGONS.bounds.tolist() == [[1, 0, 9, 9], [7, 8, 7, 8]]
    assert Polygons([], [], SIZE).bounds.shape == Quads([], [], SIZE).bounds.shape == (0, 4)


def test_selection_by_numbers_and_masks() -> None:
    turned = BOXES.select([1, 0])
    assert turned.labels == ("dog", "cat")
    assert turned.xyxy.tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
    assert turned.scores is not None and turned.scores.tolist() == [0.25, 0.5]
    assert turned.label_scores is not None and turned.label_scores.tolist() == [0.75, 1]
    assert BOXES.select([False, True]) == BOXES.select([1])
    assert POLYGONS.select([1]).polygons[0][0].tolist() == [[7, 8]]
    for answer in (BOXES, QUADS, POLYGONS):
        assert len(answer.select([])) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Boxes([[1, 2, 3]], ["cat"], SIZE), r"shape \[N, 4\], got \[1, 3\]"),
        (lambda: Quads([[1, 2, 3, 4]], ["cat"], SIZE), r"shape \[N, 4, 2\]"),
        (lambda: Boxes([[1, 2, 3, 4]], [], SIZE), "1 regions need 1 labels, got 0"),
        (lambda: Boxes([[1, 2, 3, 4]], ["cat"], SIZE, [0.5, 0.5]), "1 scores, got 2"),
        (lambda: Boxes([], [], (0, 5)), "above zero"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_plain_text_has_no_locations() -> None:
    assert Text(" car<loc_52><loc_0><loc_999><loc_1000> ").plain_text == "car<loc_1000>"
    assert Text("<loc of it> ").plain_text == "<loc of it>"


def test_released_forms() -> None:
    assert to_dict("caption", Text("a cat")) == "a cat"
    assert to_dict("od", BOXES) == {
        "bboxes": [[1, 2, 3, 4], [5, 6, 7, 8]], "labels": ["cat", "dog"],
        "scores": [0.5, 0.25], "label_scores": [1, 0.75],
    }  # fmt: skip
    assert to_dict("ocr-with-region", QUADS) == {
        "quad_boxes": [[1, 2, 3, 2, 3, 4, 1, 4]], "labels": ["STOP"], "scores": [0.5]
    }  # fmt: skip
    flat = [[[1, 2, 3, 4, 5, 0], [9, 9]], [[7, 8]]]
    assert to_dict("segmentation", POLYGONS) == {
        "polygons": flat, "labels": ["", ""], "scores": [0.5, 1]
    }  # fmt: skip
    assert to_dict("proposals", Boxes([], [], SIZE)) == {"bboxes": [], "labels": []}


def test_forms_of_open_vocabulary_detection() -> None:
    none = {"bboxes": [], "bboxes_labels": [], "polygons": [], "polygons_labels": []}
    assert to_dict("ovd", Boxes([], [], SIZE)) == none
    assert to_dict("ovd", Polygons([], [], SIZE)) == none
    boxes = {"bboxes": BOXES.xyxy.tolist(), "bboxes_labels": ["cat", "dog"], "scores": [0.5, 0.25]}
    assert to_dict("ovd", BOXES) == none | boxes
    polygons = Polygons([[[[7, 8]]]], ["cat"], SIZE)
    assert to_dict("ovd", polygons) == none | {"polygons": [[[7, 8]]], "polygons_labels": ["cat"]}
