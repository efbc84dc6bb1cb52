"""Truths of the kinds that the benchmarks have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.ground_truth import draw_ground_truth
from florence2.evaluation.metrics.detection import TrueObjects
from florence2.evaluation.metrics.ocr import TextRegions
from florence2.results.types import Boxes, Polygons, Text

SIZE = (100, 80)
SQUARE = [10.0, 10, 20, 10, 20, 20, 10, 20]


@dataclass(frozen=True)
class Referent:
    box: tuple[float, float, float, float]
    segmentation: Any
    area: float
    category: str


@dataclass(frozen=True)
class CaptionExample:
    captions: tuple[str, ...]
    part: str = ""


@dataclass(frozen=True)
class Labelled:
    boxes: Any
    references: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Holder:
    objects: TrueObjects
    categories: dict[str, int]


def test_referents_are_boxes_or_outlines_as_the_answer_is() -> None:
    referent = Referent((1, 2, 3, 4), [SQUARE], 100.0, "cat")
    shown = draw_ground_truth(referent, SIZE)
    assert shown.regions == Boxes([[1, 2, 3, 4]], [""], SIZE) and shown.words == ("cat",)
    outline = draw_ground_truth(referent, SIZE, outlines=True).regions
    assert outline == Polygons([[np.reshape(SQUARE, (4, 2))]], [""], SIZE)
    run_lengths = Referent((1, 2, 3, 4), {"counts": [1], "size": [80, 100]}, 1.0, "cat")
    assert isinstance(draw_ground_truth(run_lengths, SIZE, outlines=True).regions, Boxes)


def test_objects_of_a_metric_are_boxes_with_their_marks() -> None:
    objects = TrueObjects(1, [[0, 0, 5, 5], [1, 1, 9, 9]], ["cat", "dogs"], [False, True])
    shown = draw_ground_truth(Holder(objects, {"cat": 1}), SIZE)
    assert isinstance(shown.regions, Boxes)
    assert shown.regions.labels == ("cat", "dogs (not counted)") and shown.words == ()


def test_words_of_a_metric_are_outlines() -> None:
    words = TextRegions([np.reshape(SQUARE, (4, 2))] * 2, ["STOP", "###"], [False, True])
    regions = draw_ground_truth(words, SIZE).regions
    assert isinstance(regions, Polygons) and regions.labels == ("STOP", "### (not counted)")


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ("yes", ("yes",)),
        (Text(" yes "), ("yes",)),
        (("yes", "no", "yes"), ("yes", "no")),
        (CaptionExample(("a cat", "a dog")), ("a cat", "a dog")),
        (CaptionExample(("a cat",), "in-domain"), ("a cat", "in-domain")),
        (3.5, ()),
        (None, ()),
    ],
)
def test_words_are_listed_once(truth: Any, words: tuple[str, ...]) -> None:
    shown = draw_ground_truth(truth, SIZE)
    assert shown.words == words and shown.regions is None


def test_descriptions_become_labels() -> None:
    truth = Labelled(np.asarray([[0, 0, 5, 5], [1, 1, 9, 9]]), (("a cat", "an animal"), ("a dog",)))
    shown = draw_ground_truth(truth, SIZE)
    assert isinstance(shown.regions, Boxes) and shown.words == ()
    assert shown.regions.labels == ("a cat; an animal", "a dog")


def test_boxes_of_many_phrases_are_drawn_together() -> None:
    boxes = (np.zeros((0, 4)), np.ones((2, 4)), np.ones((1, 4)))
    shown = draw_ground_truth({"boxes": boxes}, SIZE)
    assert shown.regions is not None and len(shown.regions) == 3
