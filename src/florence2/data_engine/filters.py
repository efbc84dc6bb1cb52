"""Filters: pure functions from an annotation's parts to a ``FilterDecision`` with its reason.

The paper names these filters and gives no threshold for any of them (section 3.4). The defaults of
``Thresholds`` come from data, with the curves in ``docs/engine.md``; all are settings of a run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from ..results.geometry import box_area, non_maximum_suppression
from ..results.records import KEPT, FilterDecision
from .caption_parsing import TextFacts

LOW_CONFIDENCE = "low confidence"


@dataclass(frozen=True)
class Thresholds:
    """Where each filter draws its line.

    ``confidence`` is by annotator, ``least_confidence`` for the others. Complexities are least
    means (degrees in the parse), ``most_objects`` a number of nouns in a text; ``same_text`` is
    the overlap of words at which two texts are one. ``least_area`` is a share of the picture's,
    ``least_side`` in pixels, ``overlap`` the IoU above which one of two boxes of a class goes.
    ``named_shown`` is the share of a text's objects that detectors know which must be detected.
    """

    # Where F1 is highest, of detectors on COCO photographs and of lines on made pictures:
    # docs/engine.md has the curves.
    confidence: Mapping[str, float] = field(
        default_factory=lambda: {
            "ssd-mobilenet": 0.3,
            "ssd-mobilenet-mirrored": 0.3,
            "rapidocr": 0.8,
        }
    )
    least_confidence: float = 0.0
    object_complexity: float = 1.0
    action_complexity: float = 0.0
    most_objects: int = 40
    same_text: float = 0.9
    least_area: float = 0.0004
    least_side: float = 4.0
    overlap: float = 0.6
    named_shown: float = 0.5
    agreeing: int = 1

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        confidence = values.pop("confidence")
        values |= {f"confidence.{name}": value for name, value in confidence.items()}
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"threshold {name} must be a number of at least 0, got {value!r}")
        for name, least in (("agreeing", 1), ("most_objects", 0)):
            if values[name] % 1 != 0 or values[name] < least:
                raise ValueError(
                    f"threshold {name} must be a whole number of at least {least}, got "
                    f"{values[name]!r}"
                )
        shares = ("same_text", "least_area", "overlap", "named_shown")
        for name in (*shares, "least_confidence", *(each for each in values if "." in each)):
            if values[name] > 1:
                raise ValueError(f"threshold {name} must be from 0 to 1, got {values[name]!r}")


_PRONOUNS = """
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself
she her hers herself it its itself they them their theirs themselves one ones oneself this that
these those who whom whose which what each other another any anyone anybody anything everyone
everybody everything someone somebody something no none nobody nothing some several few many both
all most others such
"""
_ABSTRACT = """
view image images picture pictures photo photograph scene shot background foreground front back
side sides left right top bottom middle center centre corner edge part parts area distance time day
way kind type sort lot lots number group bunch variety set range couple pair piece color colors
colour colours style mood atmosphere feeling sense impression beauty addition presence position
direction fact idea example detail details rest end place
"""
_DETERMINERS = frozenset(
    (
        "a",
        "an",
        "the",
        "some",
        "any",
        "this",
        "that",
        "these",
        "those",
        "its",
        "their",
        "his",
        "her",
    )
)
# What the released model's own grounding leaves out, beyond pronouns.
_RELEASED = ("a group", "other objects", "lots", "a set", "the image", "image")
# Phrases that name nothing one can draw a box around.
BLACKLIST = frozenset([*_PRONOUNS.split(), *_ABSTRACT.split(), *_RELEASED])


def judge_text(facts: TextFacts, limits: Thresholds) -> FilterDecision:
    """Whether a text says enough, and not more than can be true of one picture."""
    if not facts.tokens:
        return FilterDecision(False, "empty text")
    if len(facts.objects) > limits.most_objects:
        return FilterDecision(False, "too many objects")
    if not facts.objects or facts.object_complexity < limits.object_complexity:
        return FilterDecision(False, "objects too plain")
    if limits.action_complexity and facts.action_complexity < limits.action_complexity:
        return FilterDecision(False, "actions too plain")
    return KEPT


def judge_same(text: str, earlier: Sequence[str], limits: Thresholds) -> FilterDecision:
    """Whether a text says anything that those before it do not, by the words they share."""
    words = Counter(re.findall(r"\w+", text.lower()))
    for other in earlier:
        others = Counter(re.findall(r"\w+", other.lower()))
        union = (words | others).total()
        if union and (words & others).total() / union >= limits.same_text:
            return FilterDecision(False, "near-duplicate text")
    return KEPT


def judge_score(score: float | None, annotator: str, limits: Thresholds) -> FilterDecision:
    """Whether an annotator trusts its own answer enough; one without a score is believed."""
    least = limits.confidence.get(annotator, limits.least_confidence)
    if score is not None and score < least:
        return FilterDecision(False, LOW_CONFIDENCE)
    return KEPT


def judge_shapes(
    bounds: NDArray[np.floating], image_size: tuple[int, int], limits: Thresholds
) -> list[FilterDecision]:
    """Whether each box ``float[N, 4]`` is one that can be seen: large enough, inside, upright."""
    width, height = image_size
    areas = box_area(bounds)
    decisions = []
    for box, area in zip(bounds, areas, strict=True):
        sides = box[2:] - box[:2]
        if not np.isfinite(box).all() or sides.min() <= 0:
            decisions.append(FilterDecision(False, "degenerate region"))
        elif box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
            decisions.append(FilterDecision(False, "outside the picture"))
        elif sides.min() < limits.least_side or area < limits.least_area * width * height:
            decisions.append(FilterDecision(False, "tiny region"))
        else:
            decisions.append(KEPT)
    return decisions


def judge_overlaps(
    bounds: NDArray[np.floating],
    labels: Sequence[str],
    scores: NDArray[np.floating] | None,
    limits: Thresholds,
) -> list[FilterDecision]:
    """Whether each box is the best of those of its class at its place."""
    trusted = np.ones(len(bounds)) if scores is None else scores
    kept = set(non_maximum_suppression(bounds, trusted, limits.overlap, labels).tolist())
    return [
        KEPT if index in kept else FilterDecision(False, "overlaps a better one")
        for index in range(len(bounds))
    ]


def judge_phrase(phrase: str, blacklist: Collection[str] = BLACKLIST) -> FilterDecision:
    """Whether a phrase names something one can draw a box around."""
    words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*", phrase.lower())
    bare = [word for word in words if word not in _DETERMINERS]
    if not bare:
        return FilterDecision(False, "blacklisted phrase")
    if " ".join(bare) in blacklist or " ".join(words) in blacklist:
        return FilterDecision(False, "blacklisted phrase")
    return KEPT


def judge_named(
    facts: TextFacts, detected: Collection[str], known: Collection[str], limits: Thresholds
) -> FilterDecision:
    """Whether the objects of a text that detectors ``known`` to them were ``detected``.

    A text none of whose objects any detector knows cannot be judged and is kept.
    """
    names = {name for name in facts.objects if name in known}
    if not names:
        return KEPT
    shown = len(names & set(detected)) / len(names)
    if shown < limits.named_shown:
        missing = ", ".join(sorted(names - set(detected)))
        return FilterDecision(False, f"names what is not detected: {missing}")
    return KEPT


def judge_support(count: int, annotators: int, limits: Thresholds) -> FilterDecision:
    """Whether enough of the annotators that could have found a region did."""
    if count < min(limits.agreeing, annotators):
        return FilterDecision(False, "found by too few")
    return KEPT


def first_failure(decisions: Sequence[FilterDecision]) -> FilterDecision:
    """The first verdict that drops, or else that it is kept."""
    return next((each for each in decisions if not each.kept), KEPT)
