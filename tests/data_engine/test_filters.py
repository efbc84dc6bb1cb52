"""Each filter, with cases on both sides of its threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from florence2.data_engine.caption_parsing import parse_caption
from florence2.data_engine.engine_config import Thresholds
from florence2.data_engine.filters import (
    FilterContext,
    FilterResult,
    drop_bad_shapes,
    drop_blacklisted_phrases,
    drop_duplicate_boxes,
    drop_empty_text,
    drop_low_confidence,
    drop_near_duplicate_image,
    drop_poor_text,
    drop_repeated_text,
    drop_replaced,
    drop_undetected_mentions,
    drop_unsupported,
)
from florence2.results.records import Annotation, Annotator, FilterDecision
from florence2.results.types import Boxes, Text

SIZE = (200, 400)


def caption(text: str, task: str = "<CAPTION>") -> Annotation:
    return Annotation(task, Text(text))


def context_of(text: str, thresholds: Thresholds | None = None, **options) -> FilterContext:
    facts = {text: parse_caption(text)}
    return FilterContext(thresholds or Thresholds(), facts, **options)


def boxes_of(boxes, labels=None, scores=None, task: str = "<OD>", name: str = "a") -> Annotation:
    answer = Boxes(boxes, labels or ["x"] * len(boxes), SIZE, scores=scores)
    return Annotation(task, answer, text="it" * (task != "<OD>"), annotator=Annotator(name))


def reasons(decision: FilterResult) -> list[str]:
    decisions = [decision] if isinstance(decision, FilterDecision) else decision
    return ["" if each.kept else each.reason for each in decisions]


def test_facts_of_a_parse() -> None:
    facts = parse_caption("A small red car is parked beside two tall trees in Paris.")
    assert facts.objects == ("car", "tree", "paris")
    assert set(facts.attributes) == {"small", "red", "two", "tall"}
    assert facts.actions == ("park",)
    assert facts.proper_nouns == 1
    assert facts.phrases == ("A small red car", "two tall trees", "Paris")
    # car: a, small, red and the verb; trees: two, tall, beside and in; Paris: in.
    assert facts.object_complexity == pytest.approx((4 + facts_degree("trees") + 1) / 3)
    # parked: car, is, beside.
    assert facts.action_complexity >= 3


def facts_degree(word: str) -> int:
    from florence2.data_engine.caption_parsing import load_parser

    parsed = load_parser()("A small red car is parked beside two tall trees in Paris.")
    (found,) = [each for each in parsed if each.text == word]
    return len(list(found.children)) + 1


def text_reason(text: str, thresholds: Thresholds | None = None) -> str:
    return drop_poor_text(caption(text), context_of(text, thresholds)).reason


def test_captions_with_too_few_or_too_many_objects_are_dropped() -> None:
    assert text_reason("A dog on a red sofa.") == ""
    assert text_reason("") == "empty text"
    assert text_reason("Running quickly.") == "objects too simple"
    crowd = "A " + ", a ".join(f"dog and a cat near chair {at}" for at in range(30)) + "."
    assert text_reason(crowd) == "too many objects"
    strict = Thresholds(min_action_complexity=1.0)
    assert text_reason("A dog on a red sofa.", strict) == "actions too simple"
    assert drop_poor_text(caption("unparsed"), FilterContext()).reason == "text too long"


def test_a_text_without_characters_is_dropped() -> None:
    assert drop_empty_text(caption(""), FilterContext()).reason == "empty text"
    assert drop_empty_text(caption("a"), FilterContext()).kept


def test_two_captions_with_the_same_words_are_one() -> None:
    def repeated(text: str, earlier: str) -> str:
        context = FilterContext(earlier_texts={"<CAPTION>": [earlier]})
        return drop_repeated_text(caption(text), context).reason

    assert repeated("A dog on a sofa.", "a cat on a bed") == ""
    assert repeated("A dog, on a sofa", "A dog on a sofa.") == "near-duplicate text"
    other_task = FilterContext(earlier_texts={"<DETAILED_CAPTION>": ["a"]})
    assert drop_repeated_text(caption("a"), other_task).kept


def test_confidence_thresholds_are_by_annotator() -> None:
    context = FilterContext(Thresholds(confidence={"ssd": 0.4}, min_confidence=0.1))
    box = [[0, 0, 9, 9]]
    low = ["low confidence"]

    def decide(score: float | None, name: str) -> list[str]:
        scores = None if score is None else [score]
        return reasons(drop_low_confidence(boxes_of(box, scores=scores, name=name), context))

    assert decide(0.3, "other") == [""]
    assert decide(0.3, "ssd") == low
    assert decide(0.05, "other") == low
    assert decide(None, "ssd") == [""]
    text = Annotation("<OCR>", Text("a"), annotator=Annotator("ssd"), score=0.3)
    assert reasons(drop_low_confidence(text, context)) == low


def test_the_threshold_of_an_annotator_applies_to_its_old_name() -> None:
    thresholds = Thresholds(confidence={"region-proposals": 0.4})
    assert thresholds.confidence_of("colour-regions") == 0.4


def test_regions_that_cannot_be_seen_are_dropped() -> None:
    boxes = np.array(
        [
            [10, 10, 60, 60],
            [10, 10, 10, 60],
            [60, 60, 10, 10],
            [0, 0, 3, 90],
            [50, 50, 54.5, 54.5],
            [210, 10, 250, 60],
            [np.nan, 0, 5, 5],
        ]
    )
    assert reasons(drop_bad_shapes(boxes_of(boxes), FilterContext())) == [
        "",
        "degenerate region",
        "degenerate region",
        "tiny region",
        "tiny region",
        "outside the image",
        "degenerate region",
    ]


def test_the_highest_scoring_box_of_a_class_is_kept() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 10], [30, 30, 40, 40.0]])
    annotation = boxes_of(boxes, ["dog", "dog", "cat", "dog"], [0.5, 0.9, 0.4, 0.1])
    decisions = reasons(drop_duplicate_boxes(annotation, FilterContext()))
    assert [not reason for reason in decisions] == [False, True, True, True]
    assert reasons(drop_duplicate_boxes(boxes_of([]), FilterContext())) == [""]
    phrases = boxes_of(boxes, ["a dog"] * 4, task="<CAPTION_TO_PHRASE_GROUNDING>")
    assert reasons(drop_duplicate_boxes(phrases, FilterContext())) == [""]


def phrase_reasons(phrase: str) -> list[str]:
    grounded = boxes_of([[0, 0, 9, 9]], [phrase], task="<CAPTION_TO_PHRASE_GROUNDING>")
    return reasons(drop_blacklisted_phrases(grounded, FilterContext()))


@pytest.mark.parametrize("phrase", ["it", "The image", "a group", "this", "THEY", "the", "  ", "?"])
def test_phrases_without_an_object_are_dropped(phrase: str) -> None:
    assert phrase_reasons(phrase) == ["blacklisted phrase"]


@pytest.mark.parametrize("phrase", ["a red car", "a group of dogs", "its tail", "dog's toy", "7"])
def test_phrases_with_an_object_are_kept(phrase: str) -> None:
    assert phrase_reasons(phrase) == [""]


def test_captions_are_compared_with_detections() -> None:
    text = "A dog and a cat lie beside a quasar."

    def decide(detected: set[str], known: set[str]) -> FilterDecision:
        context = context_of(text, detected_labels=detected, known_labels=known)
        return drop_undetected_mentions(caption(text), context)

    known = {"dog", "cat", "bus"}
    assert decide({"dog", "cat"}, known).kept
    assert decide({"dog"}, known).kept
    assert decide({"bus"}, known).reason == "mentions undetected objects: cat, dog"
    assert decide(set(), set()).kept


def test_support_is_required_as_far_as_there_are_detectors() -> None:
    def decide(count: int, detectors: int) -> list[str]:
        context = FilterContext(
            Thresholds(min_agreement=2), support=(count,), num_detectors=detectors
        )
        return reasons(drop_unsupported(boxes_of([[0, 0, 9, 9]]), context))

    assert decide(2, 3) == [""]
    assert decide(1, 3) == ["found by too few detectors"]
    assert decide(1, 1) == [""]
    assert decide(0, 1) == ["low confidence"]


def test_annotations_of_earlier_rounds_are_dropped() -> None:
    context = FilterContext(last_rounds={"a": 1})
    assert drop_replaced(boxes_of([]), context).reason == "superseded by a later round"
    assert drop_replaced(boxes_of([], name="b"), context).kept


def test_annotations_of_a_near_duplicate_are_dropped() -> None:
    context = FilterContext(near_duplicate_of="b.png")
    assert drop_near_duplicate_image(boxes_of([]), context).reason == "near-duplicate of b.png"
    assert drop_near_duplicate_image(boxes_of([]), FilterContext()).kept


@pytest.mark.parametrize("value", [math.inf, math.nan, 1.5, 0, True])
def test_counts_are_whole_numbers(value: float) -> None:
    with pytest.raises(ValueError, match="threshold min_agreement must be"):
        Thresholds(min_agreement=value)  # type: ignore[arg-type]
