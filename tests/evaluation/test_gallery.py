from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from florence2.evaluation.benchmark import BenchmarkExample, ExamplePrediction
from florence2.evaluation.gallery import gallery_page, select_shown
from florence2.results.tasks import find_task
from florence2.results.types import Answer, Boxes, Polygons, Text

SIZE = (64, 48)
VOID = {"meta", "img"}


class Page(HTMLParser):
    """The words of a page, its images, and whether every element is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[Image.Image] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            kind, _, content = dict(attrs)["src"].partition(";base64,")
            assert kind == "data:image/jpeg"
            self.images.append(Image.open(io.BytesIO(base64.b64decode(content))))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


def png_bytes() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", SIZE, "white").save(content, "PNG")
    return content.getvalue()


def predict(
    name: str, ground_truth: Any, answer: Answer | None, question: Any = None, image: Any = None
) -> ExamplePrediction:
    example = BenchmarkExample(
        name, image or png_bytes(), name, find_task("<OD>"), question, ground_truth
    )
    return ExamplePrediction(example, answer)


def test_boxes_are_drawn_on_both_sides() -> None:
    ground_truth = Boxes([[10, 10, 40, 40]], ["cat"], SIZE)
    found = Boxes([[12, 10, 44, 40]], ["dog"], SIZE)
    page = Page(gallery_page("Detection", [predict("a", ground_truth, found)], [0.25]))
    assert "Worst examples" in page.words and "Random examples" not in page.words
    assert (
        "score 0.25" in page.words and "Ground truth" in page.words and "Prediction" in page.words
    )
    left, right = (np.asarray(each.convert("RGB")).astype(int) for each in page.images)
    assert left.shape == right.shape == (48, 64, 3)
    assert (left < 200).any() and (right < 200).any() and (left != right).any()


def test_words_stand_beside_one_image() -> None:
    page = Page(
        gallery_page("VQA", [predict("a", ("red", "red", "blue"), Text(" red "), "?")], [1])
    )
    assert len(page.images) == 1
    assert page.words[page.words.index("Ground truth") :] == [
        "Ground truth",
        "red",
        "blue",
        "Prediction",
        "red",
    ]


def test_nothing_in_an_answer_becomes_markup() -> None:
    nasty = '<script>alert("x")</script>&amp;'
    source = gallery_page(nasty, [predict(nasty, nasty, Text(nasty), nasty)], [0])
    page = Page(source)
    assert "script" not in page.tags
    assert page.words.count(nasty) == 5  # title, heading, id, ground truth and answer
    assert any(f"· {nasty} ·" in word for word in page.words)
    assert not re.search(r'src="(?!data:)|href=|https?:|<link|<script|url\(', source)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    examples = [
        predict("hidden", None, Text("a")),
        predict("failed", "a", None),
        predict("empty", Boxes([], [], SIZE), Boxes([], [], SIZE)),
        predict("gone", "a", None, image=tmp_path / "gone.jpg"),
    ]
    page = Page(gallery_page("Missing", examples, None))
    text = " ".join(page.words)
    assert "Ground truth hidden" in text and "Prediction request failed" in text
    assert "Ground truth nothing Prediction nothing" in text
    assert "The image cannot be read" in text and len(page.images) == 3


def test_the_best_the_worst_and_random_ones_are_others() -> None:
    per_example = [((number * 37) % 100) / 100 for number in range(100)]
    shown = select_shown(100, per_example, 5)
    assert [per_example[index] for index in shown["Worst examples"]] == [0, 0.01, 0.02, 0.03, 0.04]
    assert [per_example[index] for index in shown["Best examples"]] == [
        0.99,
        0.98,
        0.97,
        0.96,
        0.95,
    ]
    assert len({index for group in shown.values() for index in group}) == 15
    assert select_shown(100, per_example, 5) == shown
    assert select_shown(3, [0.2, 0.1, 0.3], 5) == {
        "Worst examples": [1, 0], "Best examples": [2], "Random examples": [],
    }  # fmt: skip
    worst = select_shown(300, [0.0] * 300, 5)["Worst examples"]
    assert max(worst) - min(worst) > 50  # equally bad ones come from all over the benchmark
    only_random = select_shown(4, None, 9)
    assert only_random == {
        "Worst examples": [],
        "Best examples": [],
        "Random examples": [0, 1, 2, 3],
    }


def test_large_images_are_made_small(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1500), "white").save(tmp_path / "large.jpg")
    answer = Polygons([[[[0, 0], [1500, 0], [1500, 1500]]]], ["half"], (3000, 1500))
    prediction = predict("a", answer, answer, image=tmp_path / "large.jpg")
    page = Page(gallery_page("Large", [prediction], [1.0]))
    assert {each.size for each in page.images} == {(480, 240)}


@pytest.mark.parametrize("question", ["what?", (1.0, 2.0, 30.0, 40.0)])
def test_questions_are_reported(question: Any) -> None:
    page = Page(gallery_page("Q", [predict("a", "x", Text("y"), question)], [0.5]))
    told = question if isinstance(question, str) else "region 1, 2, 30, 40"
    assert any(told in word for word in page.words)
