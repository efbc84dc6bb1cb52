"""Ground truth of the kinds that the benchmarks have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from florence2.evaluation.ground_truth import to_drawable
from florence2.evaluation.metrics.detection import GroundTruthObjects
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
class ReferenceCaptions:
    captions: tuple[str, ...]
    part: str = ""


@dataclass(frozen=True)
class Labelled:
    boxes: Any
    references: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Holder:
    objects: GroundTruthObjects
    categories: dict[str, int]


def test_referents_are_boxes_or_outlines_as_the_answer_is() -> None:
    referent = Referent((1, 2, 3, 4), [SQUARE], 100.0, "cat")
    shown = to_drawable(referent, SIZE)
    assert shown.regions == Boxes([[1, 2, 3, 4]], [""], SIZE) and shown.texts == ("cat",)
    outline = to_drawable(referent, SIZE, prefer_polygons=True).regions
    assert outline == Polygons([[np.reshape(SQUARE, (4, 2))]], [""], SIZE)
    run_lengths = Referent((1, 2, 3, 4), {"counts": [1], "size": [80, 100]}, 1.0, "cat")
    assert isinstance(to_drawable(run_lengths, SIZE, prefer_polygons=True).regions, Boxes)


def test_objects_of_a_metric_are_boxes_with_their_marks() -> None:
    objects = GroundTruthObjects(1, [[0, 0, 5, 5], [1, 1, 9, 9]], ["cat", "dogs"], [False, True])
    shown = to_drawable(Holder(objects, {"cat": 1}), SIZE)
    assert isinstance(shown.regions, Boxes)
    assert shown.regions.labels == ("cat", "dogs (not counted)") and shown.texts == ()


def test_words_of_a_metric_are_outlines() -> None:
    words = TextRegions([np.reshape(SQUARE, (4, 2))] * 2, ["STOP", "###"], [False, True])
    regions = to_drawable(words, SIZE).regions
    assert isinstance(regions, Polygons) and regions.labels == ("STOP", "### (not counted)")


@pytest.mark.parametrize(
    ("ground_truth", "words"),
    [
        ("yes", ("yes",)),
        (Text(" yes "), ("yes",)),
        (("yes", "no", "yes"), ("yes", "no")),
        (ReferenceCaptions(("a cat", "a dog")), ("a cat", "a dog")),
        (ReferenceCaptions(("a cat",), "in-domain"), ("a cat", "in-domain")),
        (3.5, ()),
        (None, ()),
    ],
)
def test_words_are_listed_once(ground_truth: Any, words: tuple[str, ...]) -> None:
    shown = to_drawable(ground_truth, SIZE)
    assert shown.texts == words and shown.regions is None


def test_descriptions_become_labels() -> None:
    ground_truth = Labelled(
        np.asarray([[0, 0, 5, 5], [1, 1, 9, 9]]), (("a cat", "an animal"), ("a dog",))
    )
    shown = to_drawable(ground_truth, SIZE)
    assert isinstance(shown.regions, Boxes) and shown.texts == ()
    assert shown.regions.labels == ("a cat; an animal", "a dog")


def test_boxes_of_many_phrases_are_drawn_together() -> None:
    boxes = (np.zeros((0, 4)), np.ones((2, 4)), np.ones((1, 4)))
    shown = to_drawable({"boxes": boxes}, SIZE)
    assert shown.regions is not None and len(shown.regions) == 3
