from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from florence2.results.json_form import (
    answer_from_exact_json,
    answer_from_json,
    answer_to_exact_json,
    answer_to_json,
)
from florence2.results.tasks import find_task
from florence2.results.types import Answer, Boxes, Polygons, Quads, Text

SIZE = (640, 480)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
words = st.text(max_size=8)


def back(answer: Answer) -> Answer:
    return answer_from_exact_json(json.loads(json.dumps(answer_to_exact_json(answer))))


@st.composite
def regions(draw: st.DrawFn) -> Answer:
    count = draw(st.integers(0, 4))

    def numbers(*shape: int) -> np.ndarray:
        return draw(arrays(np.float32, shape, elements=finite))

    labels = draw(st.lists(words, min_size=count, max_size=count))
    scores = draw(st.none() | arrays(np.float32, count, elements=finite))
    label_scores = draw(st.none() | arrays(np.float32, count, elements=finite))
    kind = draw(st.sampled_from((Boxes, Quads, Polygons)))
    if kind is Boxes:
        return Boxes(numbers(count, 4), labels, SIZE, scores, label_scores)
    if kind is Quads:
        return Quads(numbers(count, 4, 2), labels, SIZE, scores, label_scores)
    parts = [[numbers(draw(st.integers(0, 3)), 2) for _ in range(2)] for _ in range(count)]
    return Polygons(parts, labels, SIZE, scores, label_scores)


@given(regions())
def test_regions_return_as_they_were(answer: Answer) -> None:
    assert back(answer) == answer
    assert type(back(answer)) is type(answer)


@given(words, st.none() | st.floats(0, 1))
def test_texts_return_as_they_were(text: str, score: float | None) -> None:
    assert back(Text(text, score)) == Text(text, score)


def test_half_a_surrogate_pair_returns() -> None:
    assert back(Text("caf\u00e9 \ud83d")) == Text("caf\u00e9 \ud83d")


def test_the_form_is_plain() -> None:
    boxes = Boxes([[1, 2, 3.5, 4]], ["cat"], SIZE, [0.5])
    assert answer_to_exact_json(boxes) == {
        "boxes": [[1, 2, 3.5, 4]], "labels": ["cat"], "image_size": [640, 480], "scores": [0.5],
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        Text("a", float("nan")),
        Boxes([[0, 0, 1, 1]], ["a"], SIZE, [float("nan")]),
        Boxes([[0, 0, float("inf"), 1]], ["a"], SIZE),
        Polygons([[[[0, 0], [float("nan"), 1], [1, 1]]]], ["a"], SIZE),
    ],
)
def test_numbers_that_are_not_finite_are_refused(answer: Answer) -> None:
    with pytest.raises(ValueError, match=r"must be finite numbers, got (nan|inf)"):
        answer_to_exact_json(answer)


@pytest.mark.parametrize(
    "form",
    [
        "text",
        {},
        {"text": 3},
        {"text": "a", "boxes": []},
        {"boxes": [[1, 2, 3, 4]], "labels": ["a"]},
        {"boxes": [[1, 2, 3]], "labels": ["a"], "image_size": [4, 4]},
        {"boxes": [[1, 2, 3, 4]], "labels": [], "image_size": [4, 4]},
        {"boxes": [[1, 2, 3, 4]], "labels": ["a"], "image_size": [4]},
    ],
)
def test_what_is_no_answer_is_refused(form: object) -> None:
    with pytest.raises(ValueError):
        answer_from_exact_json(form)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("<CAPTION>", Text("a <loc_5> cat")),
        ("<OD>", Boxes([[0, 1.5, 2, 3]], ["cat"], (40, 30), [0.25], [0.5])),
        ("<REGION_PROPOSAL>", Boxes([[0, 1, 2, 3]], [""], (40, 30))),
        ("<OCR_WITH_REGION>", Quads([[[0, 1], [2, 3], [4, 5], [6, 7]]], ["ab"], (40, 30), [1])),
        (
            "<REFERRING_EXPRESSION_SEGMENTATION>",
            Polygons([[[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [1, 2]]]], [""], (40, 30)),
        ),
        ("<OPEN_VOCABULARY_DETECTION>", Boxes([[0, 1, 2, 3]], ["cat"], (40, 30), [0.5])),
        ("<OPEN_VOCABULARY_DETECTION>", Boxes([], [], (40, 30))),
        (
            "<OPEN_VOCABULARY_DETECTION>",
            Polygons([[[[0, 1], [2, 3], [4, 5]]]], ["cat"], (40, 30), [0.5]),
        ),
    ],
)
def test_the_form_of_the_released_processor_is_read_back(task: str, answer: Answer) -> None:
    written = json.loads(json.dumps(answer_to_json(answer, find_task(task))))
    assert answer_from_json(written, (40, 30)) == answer


@pytest.mark.parametrize(
    "value", [3, {"bboxes": [[0, 1]], "labels": ["a"]}, {"bboxes": [], "labels": [1]}, {}]
)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises((ValueError, KeyError)):
        answer_from_json(value, (40, 30))
