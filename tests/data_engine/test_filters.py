"""Each filter by cases that lie on either side of its line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from florence2.data_engine.caption_parsing import read_text
from florence2.data_engine.filters import (
    Thresholds,
    judge_named,
    judge_overlaps,
    judge_phrase,
    judge_same,
    judge_score,
    judge_shapes,
    judge_support,
    judge_text,
)

LIMITS = Thresholds()


def reasons(verdicts) -> list[str]:
    return ["" if each.keep else each.reason for each in verdicts]


def test_facts_of_a_parse() -> None:
    facts = read_text("A small red car is parked beside two tall trees in Paris.")
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
    from florence2.data_engine.caption_parsing import parser

    parsed = parser()("A small red car is parked beside two tall trees in Paris.")
    (found,) = [each for each in parsed if each.text == word]
    return len(list(found.children)) + 1


def test_texts_that_say_nothing_or_too_much() -> None:
    assert judge_text(read_text("A dog on a red sofa."), LIMITS).keep
    assert judge_text(read_text(""), LIMITS).reason == "empty text"
    assert judge_text(read_text("Running quickly."), LIMITS).reason == "objects too plain"
    crowd = "A " + ", a ".join(f"dog and a cat near chair {at}" for at in range(30)) + "."
    assert judge_text(read_text(crowd), LIMITS).reason == "too many objects"
    strict = Thresholds(action_complexity=1.0)
    assert judge_text(read_text("A dog on a red sofa."), strict).reason == "actions too plain"


def test_two_texts_with_the_same_words_are_one() -> None:
    assert judge_same("A dog on a sofa.", ["a cat on a bed"], LIMITS).keep
    assert not judge_same("A dog, on a sofa", ["A dog on a sofa."], LIMITS).keep


def test_trust_is_by_annotator() -> None:
    thresholds = Thresholds(confidence={"ssd": 0.4}, min_confidence=0.1)
    assert judge_score(0.3, "other", thresholds).keep
    assert not judge_score(0.3, "ssd", thresholds).keep
    assert not judge_score(0.05, "other", thresholds).keep
    assert judge_score(None, "ssd", thresholds).keep


def test_regions_that_cannot_be_seen() -> None:
    boxes = np.array(
        [[10, 10, 60, 60], [10, 10, 10, 60], [60, 60, 10, 10], [0, 0, 3, 90], [50, 50, 54.5, 54.5],
         [210, 10, 250, 60], [np.nan, 0, 5, 5]]
    )  # fmt: skip
    assert reasons(judge_shapes(boxes, (200, 400), LIMITS)) == [
        "", "degenerate region", "degenerate region", "tiny region", "tiny region",
        "outside the picture", "degenerate region",
    ]  # fmt: skip


def test_the_best_of_a_class_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 10], [30, 30, 40, 40.0]])
    scores = np.array([0.5, 0.9, 0.4, 0.1])
    verdicts = judge_overlaps(boxes, ["dog", "dog", "cat", "dog"], scores, LIMITS)
    assert [each.keep for each in verdicts] == [False, True, True, True]
    assert not any(map(reasons, [judge_overlaps(boxes[:0], [], None, LIMITS)]))


@pytest.mark.parametrize("phrase", ["it", "The image", "a group", "this", "THEY", "the", "  ", "?"])
def test_phrases_that_name_nothing(phrase: str) -> None:
    assert judge_phrase(phrase).reason == "blacklisted phrase"


@pytest.mark.parametrize("phrase", ["a red car", "a group of dogs", "its tail", "dog's toy", "7"])
def test_phrases_that_name_something(phrase: str) -> None:
    assert judge_phrase(phrase).keep


def test_texts_are_held_against_what_was_detected() -> None:
    facts = read_text("A dog and a cat lie beside a quasar.")
    known = {"dog", "cat", "bus"}
    assert judge_named(facts, {"dog", "cat"}, known, LIMITS).keep
    assert judge_named(facts, {"dog"}, known, LIMITS).keep
    verdict = judge_named(facts, {"bus"}, known, LIMITS)
    assert verdict.reason == "names what is not detected: cat, dog"
    assert judge_named(facts, set(), set(), LIMITS).keep


def test_support_is_asked_for_as_far_as_there_are_annotators() -> None:
    thresholds = Thresholds(min_agreement=2)
    assert judge_support(2, 3, thresholds).keep
    assert not judge_support(1, 3, thresholds).keep
    assert judge_support(1, 1, thresholds).keep


@pytest.mark.parametrize("value", [math.inf, math.nan, 1.5, 0, True])
def test_counts_are_whole_numbers(value: float) -> None:
    with pytest.raises(ValueError, match="threshold agreeing must be"):
        Thresholds(min_agreement=value)  # type: ignore[arg-type]
