"""All filters on an image: regions are split by reason, none is lost, detections are fused."""

from __future__ import annotations

import numpy as np
import pytest

from florence2.data_engine.apply_filters import (
    apply_filters,
    list_captions,
    split_by_decision,
)
from florence2.data_engine.caption_parsing import parse_captions
from florence2.data_engine.chunk_files import make_failure
from florence2.data_engine.engine_config import Thresholds
from florence2.data_engine.filters import FilterContext
from florence2.data_engine.merge import FUSION, count_agreement, fuse_boxes
from florence2.results.records import KEPT, Annotation, Annotator, FilterDecision
from florence2.results.types import Boxes, Quads, Text

SIZE = (100, 100)
A, B, C = Annotator("a"), Annotator("b"), Annotator("c")


def od(annotator: Annotator, *boxes: tuple[list[float], str, float], round: int = 0) -> Annotation:
    answer = Boxes(
        [box for box, _, _ in boxes],
        [name for _, name, _ in boxes],
        SIZE,
        scores=[score for _, _, score in boxes],
    )
    return Annotation("<OD>", answer, annotator=annotator, round=round)


def context_of(*annotations: Annotation, **options) -> FilterContext:
    texts = list_captions(annotations)
    return FilterContext(facts=dict(zip(texts, parse_captions(texts), strict=True)), **options)


def summarize(annotations) -> list[tuple]:
    return [
        (each.annotator.name, list(getattr(each.answer, "labels", [])), each.decision.reason)
        for each in annotations
    ]


def test_an_annotation_is_split_by_decision_and_loses_no_region() -> None:
    one = od(
        A,
        ([10, 10, 50, 50], "dog", 0.9),
        ([10, 10, 51, 50], "dog", 0.5),
        ([20, 20, 22, 22], "cat", 0.9),
        ([60, 60, 90, 90], "cat", 0.05),
    )
    found = apply_filters([one], FilterContext(Thresholds(min_confidence=0.1)))
    assert summarize(found) == [
        ("a", ["dog"], ""),
        ("a", ["dog"], "overlaps a higher-scoring box"),
        ("a", ["cat"], "low confidence"),
        ("a", ["cat"], "tiny region"),
    ]
    boxes = np.concatenate([each.answer.xyxy for each in found])
    assert sorted(boxes.tolist()) == sorted(one.answer.xyxy.tolist())


def test_an_annotation_without_regions_and_a_failure_are_unchanged() -> None:
    empty, broken = od(A), make_failure(B, "it broke")
    assert apply_filters([empty, broken], FilterContext()) == (empty, broken)
    assert split_by_decision(empty, []) == [empty]


def test_boxes_of_several_detectors_are_fused() -> None:
    first = od(A, ([10, 10, 50, 50], "dog", 0.9), ([60, 60, 90, 90], "cat", 0.4))
    second = od(B, ([12, 10, 52, 50], "dog", 0.7))
    found = apply_filters([first, second], FilterContext(Thresholds(min_agreement=2)))
    assert summarize(found) == [
        ("a", ["dog", "cat"], "merged with others"),
        ("b", ["dog"], "merged with others"),
        ("fusion", ["dog"], ""),
        ("fusion", ["cat"], "found by too few detectors"),
    ]
    dog = found[2]
    assert dog.annotator == FUSION
    # The mean weighted by score: (10 * .9 + 12 * .7) / 1.6.
    assert dog.answer.xyxy[0, 0] == pytest.approx(10.875, abs=1e-3)
    assert dog.answer.scores[0] == pytest.approx(0.8, abs=1e-5)


def test_low_confidence_boxes_are_fused_and_kept_if_another_exceeds_the_threshold() -> None:
    first = od(A, ([10, 10, 50, 50], "dog", 0.9), ([60, 60, 90, 90], "cat", 0.2))
    second = od(B, ([12, 10, 52, 50], "dog", 0.1), ([60, 60, 90, 88], "cat", 0.25))
    found = apply_filters([first, second], FilterContext(Thresholds(min_confidence=0.3)))
    assert summarize(found) == [
        ("a", ["dog"], "merged with others"),
        ("a", ["cat"], "low confidence"),
        ("b", ["dog", "cat"], "low confidence"),
        ("fusion", ["dog"], ""),
        ("fusion", ["cat"], "low confidence"),
    ]
    assert found[3].answer.xyxy[0, 0] == pytest.approx(10.2, abs=1e-3)
    # With two needed, one that is sure is not enough.
    strict = apply_filters(
        [first, second], FilterContext(Thresholds(min_confidence=0.3, min_agreement=2))
    )
    assert summarize(strict)[3] == ("fusion", ["dog"], "found by too few detectors")


def test_low_confidence_boxes_of_earlier_rounds_are_not_fused() -> None:
    old = od(A, ([60, 60, 90, 90], "cat", 0.1))
    new = od(A, ([10, 10, 50, 50], "dog", 0.9), round=1)
    other = od(B, ([12, 10, 52, 50], "dog", 0.7))
    thresholds = Thresholds(min_confidence=0.3)
    (doubtful,) = apply_filters([old], FilterContext(thresholds))
    found = apply_filters([doubtful, new, other], FilterContext(thresholds, last_rounds={"a": 1}))
    assert [labels for name, labels, _ in summarize(found) if name == "fusion"] == [["dog"]]


def test_annotations_of_earlier_rounds_are_superseded() -> None:
    old, new = od(A, ([0, 0, 50, 50], "dog", 0.9)), od(A, ([0, 0, 50, 50], "cat", 0.9), round=1)
    found = apply_filters([old, new], FilterContext(last_rounds={"a": 1}))
    assert summarize(found) == [("a", ["dog"], "superseded by a later round"), ("a", ["cat"], "")]


def test_captions_are_compared_with_detections_and_each_other() -> None:
    boxes = od(A, ([10, 10, 50, 50], "dog", 0.9))
    captions = [
        Annotation("<CAPTION>", Text(text), annotator=B)
        for text in ("A dog on a red rug.", "A dog on the red rug.", "A cat in a box.", "", "Go!")
    ]
    found = apply_filters([boxes, *captions], context_of(*captions, known_labels={"dog", "cat"}))
    thresholds = Thresholds(max_text_similarity=0.6)
    loose = apply_filters(
        [boxes, *captions], FilterContext(thresholds, context_of(*captions).facts, {"dog", "cat"})
    )
    assert [each.decision.reason for each in found[1:]] == [
        "",
        "",
        "mentions undetected objects: cat",
        "empty text",
        "objects too simple",
    ]
    assert loose[2].decision.reason == "near-duplicate text"


def test_blacklisted_phrases_are_dropped_from_grounding_but_not_from_text_lines() -> None:
    boxes = Boxes([[0, 0, 50, 50]] * 2, ["it", "a dog"], SIZE)
    grounded = Annotation("<CAPTION_TO_PHRASE_GROUNDING>", boxes, text="it is a dog", annotator=A)
    quads = Quads([[[0, 0], [50, 0], [50, 20], [0, 20]]] * 2, ["it", "it"], SIZE)
    lines = Annotation("<OCR_WITH_REGION>", quads, annotator=B)
    assert summarize(apply_filters([grounded, lines], FilterContext())) == [
        ("a", ["a dog"], ""),
        ("a", ["it"], "blacklisted phrase"),
        ("b", ["it", "it"], ""),
    ]


def test_all_annotations_of_a_near_duplicate_are_dropped() -> None:
    found = apply_filters(
        [od(A, ([0, 0, 50, 50], "dog", 0.9)), make_failure(B, "x")],
        FilterContext(near_duplicate_of="first.png"),
    )
    assert [each.decision.reason for each in found] == ["near-duplicate of first.png", "failed: x"]


def test_fusion_of_no_boxes_of_flat_boxes_and_of_different_image_sizes() -> None:
    empty = Boxes([], [], SIZE)
    assert len(fuse_boxes([empty, empty]).boxes) == 0
    flat = Boxes([[5, 5, 5, 9], [1, 1, 9, 9]], ["dog", "dog"], SIZE, scores=[0.9, 0.4])
    fused = fuse_boxes([flat, empty])
    assert fused.boxes.labels == ("dog",) and fused.support == (1,)
    with pytest.raises(ValueError, match="sizes"):
        fuse_boxes([empty, Boxes([], [], (7, 7))])


def test_agreement_pairs_each_box_once() -> None:
    one = Boxes([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]], ["dog", "dog", "cat"], SIZE)
    other = Boxes([[0, 0, 10, 11], [50, 50, 60, 60]], ["dog", "dog"], SIZE)
    assert count_agreement(one, other) == (1, 3, 2)
    assert count_agreement(one, Boxes([], [], SIZE)) == (0, 3, 0)


def test_split_orders_kept_before_dropped() -> None:
    one = od(A, *[([0, 0, 9, 9], name, 0.5) for name in "xyz"])
    parts = split_by_decision(one, [FilterDecision(False, "b"), KEPT, FilterDecision(False, "a")])
    assert summarize(parts) == [("a", ["y"], ""), ("a", ["z"], "a"), ("a", ["x"], "b")]
