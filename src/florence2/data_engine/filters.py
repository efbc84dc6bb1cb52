"""Filters: functions that decide whether an annotation is kept, and why not.

A filter takes an annotation and a ``FilterContext``. It returns one decision for the whole
annotation, or one for each of its regions. ``apply_filters.py`` applies them in order. The paper
names these filters and gives no thresholds (section 3.4); docs/engine.md has the measurements
behind the defaults of ``Thresholds``.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..io.deprecation import rename_keys
from ..results.geometry import box_area, non_maximum_suppression
from ..results.records import KEPT, Annotation, Verdict
from ..results.types import Boxes, Text
from .annotators.annotator import OLD_ANNOTATOR_NAMES
from .caption_parsing import TextFacts

LOW_CONFIDENCE = "low confidence"
DETECTION = "<OD>"
# Tasks whose labels are class names. Two text lines with one text are not copies, nor are two
# phrases or region captions.
_CLASS_TASKS = frozenset({DETECTION, "<OPEN_VOCABULARY_DETECTION>", "<REGION_PROPOSAL>"})
_PHRASE_TASKS = frozenset({"<CAPTION_TO_PHRASE_GROUNDING>"})
# Names of release 0.1.
OLD_THRESHOLDS = {
    "least_confidence": "min_confidence",
    "object_complexity": "min_object_complexity",
    "action_complexity": "min_action_complexity",
    "most_objects": "max_objects",
    "same_text": "max_text_similarity",
    "least_area": "min_area",
    "least_side": "min_side",
    "overlap": "nms_iou",
    "named_shown": "min_mentioned_detected",
    "agreeing": "min_agreement",
}


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of all filters.

    Args:
        confidence: Minimum confidence by annotator. The defaults have the highest F1, of detectors
            on COCO photographs and of text lines on synthetic images; docs/engine.md has the
            curves.
        min_confidence: Minimum confidence of the other annotators.
        min_object_complexity: Minimum mean degree of a text's objects in the dependency parse.
        min_action_complexity: The same for its actions; 0 turns the filter off.
        max_objects: Maximum number of objects in a text.
        max_text_similarity: Two texts that share this fraction of their words are the same.
        min_area: Minimum area of a region, as a fraction of the image's.
        min_side: Minimum side of a region, in pixels.
        nms_iou: IoU above which the lower-scoring of two boxes of a class is dropped.
        min_mentioned_detected: Minimum fraction of the objects in a text that are detected, among
            those that the detectors know.
        min_agreement: Minimum number of detectors that find an object.

    Raises:
        ValueError: A threshold is out of range.
    """

    confidence: Mapping[str, float] = field(
        default_factory=lambda: {
            "ssd-mobilenet": 0.3,
            "ssd-mobilenet-mirrored": 0.3,
            "rapidocr": 0.8,
        }
    )
    min_confidence: float = 0.0
    min_object_complexity: float = 1.0
    min_action_complexity: float = 0.0
    max_objects: int = 40
    max_text_similarity: float = 0.9
    min_area: float = 0.0004
    min_side: float = 4.0
    nms_iou: float = 0.6
    min_mentioned_detected: float = 0.5
    min_agreement: int = 1

    def __post_init__(self) -> None:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        confidence = values.pop("confidence")
        values |= {f"confidence.{name}": value for name, value in confidence.items()}
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"threshold {name} must be a number of at least 0, got {value!r}")
        for name, minimum in (("min_agreement", 1), ("max_objects", 0)):
            if values[name] % 1 != 0 or values[name] < minimum:
                raise ValueError(
                    f"threshold {name} must be a whole number of at least {minimum}, got "
                    f"{values[name]!r}"
                )
        fractions = ("max_text_similarity", "min_area", "nms_iou", "min_mentioned_detected")
        for name in (*fractions, "min_confidence", *(each for each in values if "." in each)):
            if values[name] > 1:
                raise ValueError(f"threshold {name} must be from 0 to 1, got {values[name]!r}")

    def confidence_of(self, annotator: str) -> float:
        """The minimum confidence of an annotator."""
        name = OLD_ANNOTATOR_NAMES.get(annotator, annotator)
        return self.confidence.get(name, self.min_confidence)


def _accept_old_names(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def accept(self: Thresholds, *arguments: Any, **values: Any) -> None:
        init(self, *arguments, **rename_keys(values, OLD_THRESHOLDS, "Thresholds"))

    return accept


Thresholds.__init__ = _accept_old_names(Thresholds.__init__)  # type: ignore[method-assign]


@dataclass(frozen=True)
class FilterContext:
    """What filters know besides the annotation.

    Args:
        thresholds: Thresholds of the filters.
        facts: Parse of each caption by its text; a caption that is too long to parse has none.
        known_labels: Labels that the detectors of the run know.
        last_rounds: The last round in which each annotator annotated; its annotations of earlier
            rounds are replaced.
        near_duplicate_of: Id of the image that this one nearly duplicates.
        detected_labels: Labels that were detected in this image and kept.
        earlier_texts: Captions of this image that were kept before, by task.
        support: Number of detectors for each box of a fused annotation.
        num_detectors: Number of detectors that were fused.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    facts: Mapping[str, TextFacts] = field(default_factory=dict)
    known_labels: Collection[str] = frozenset()
    last_rounds: Mapping[str, int] = field(default_factory=dict)
    near_duplicate_of: str = ""
    detected_labels: Collection[str] = frozenset()
    earlier_texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    support: Sequence[int] = ()
    num_detectors: int = 0


# One decision for the annotation, or one for each region.
Decision = Verdict | Sequence[Verdict]
Filter = Callable[[Annotation, FilterContext], Decision]


def drop_replaced(annotation: Annotation, context: FilterContext) -> Verdict:
    """Drop what an annotator annotated again in a later round."""
    name = annotation.annotator.name
    is_replaced = annotation.round < context.last_rounds.get(name, annotation.round)
    return Verdict(False, "superseded by a later round") if is_replaced else KEPT


def drop_empty_text(annotation: Annotation, context: FilterContext) -> Verdict:
    """Drop a text without characters."""
    answer = annotation.answer
    is_empty = isinstance(answer, Text) and not answer.plain
    return Verdict(False, "empty text") if is_empty else KEPT


def drop_bad_shapes(annotation: Annotation, context: FilterContext) -> Decision:
    """Drop regions that are not finite, have no area, lie outside the image or are tiny."""
    answer = annotation.answer
    if isinstance(answer, Text):
        return KEPT
    thresholds, (width, height) = context.thresholds, answer.image_size
    decisions = []
    for box, area in zip(answer.bounds, box_area(answer.bounds), strict=True):
        sides = box[2:] - box[:2]
        if not np.isfinite(box).all() or sides.min() <= 0:
            decisions.append(Verdict(False, "degenerate region"))
        elif box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
            decisions.append(Verdict(False, "outside the image"))
        elif sides.min() < thresholds.min_side or area < thresholds.min_area * width * height:
            decisions.append(Verdict(False, "tiny region"))
        else:
            decisions.append(KEPT)
    return decisions


def drop_low_confidence(annotation: Annotation, context: FilterContext) -> Decision:
    """Drop texts and regions below the annotator's minimum confidence, if they have a score."""
    answer = annotation.answer
    minimum = context.thresholds.confidence_of(annotation.annotator.name)
    low = Verdict(False, LOW_CONFIDENCE)
    if isinstance(answer, Text):
        return low if annotation.score is not None and annotation.score < minimum else KEPT
    if answer.scores is None:
        return KEPT
    return [low if score < minimum else KEPT for score in answer.scores.tolist()]


def drop_blacklisted_phrases(annotation: Annotation, context: FilterContext) -> Decision:
    """Drop grounded phrases that do not name an object: pronouns, abstract nouns."""
    answer = annotation.answer
    if isinstance(answer, Text) or annotation.task not in _PHRASE_TASKS:
        return KEPT
    return [
        Verdict(False, "blacklisted phrase") if is_blacklisted(label) else KEPT
        for label in answer.labels
    ]


def drop_duplicate_boxes(annotation: Annotation, context: FilterContext) -> Decision:
    """Drop boxes that overlap a higher-scoring one of their class (non-maximum suppression)."""
    answer = annotation.answer
    if not isinstance(answer, Boxes) or annotation.task not in _CLASS_TASKS or not len(answer):
        return KEPT
    scores = np.ones(len(answer)) if answer.scores is None else answer.scores
    iou = context.thresholds.nms_iou
    kept = set(non_maximum_suppression(answer.xyxy, scores, iou, answer.labels).tolist())
    duplicate = Verdict(False, "overlaps a better one")
    return [KEPT if index in kept else duplicate for index in range(len(answer))]


def drop_unsupported(annotation: Annotation, context: FilterContext) -> Decision:
    """Drop fused boxes that too few detectors found with enough confidence."""
    minimum = min(context.thresholds.min_agreement, context.num_detectors)
    reasons = (
        LOW_CONFIDENCE if not count else "found by too few" if count < minimum else ""
        for count in context.support
    )
    return [Verdict(False, reason) if reason else KEPT for reason in reasons]


def drop_poor_text(annotation: Annotation, context: FilterContext) -> Verdict:
    """Drop captions that are too long to parse, or have too many or too simple objects."""
    thresholds = context.thresholds
    facts = _get_facts(annotation, context)
    if facts is None:
        return Verdict(False, "text too long")
    if not facts.tokens:
        return Verdict(False, "empty text")
    if len(facts.objects) > thresholds.max_objects:
        return Verdict(False, "too many objects")
    if not facts.objects or facts.object_complexity < thresholds.min_object_complexity:
        return Verdict(False, "objects too plain")
    if facts.action_complexity < thresholds.min_action_complexity:
        return Verdict(False, "actions too plain")
    return KEPT


def drop_undetected_mentions(annotation: Annotation, context: FilterContext) -> Verdict:
    """Drop captions that mention objects which the detectors know and did not detect.

    A caption without an object that a detector knows is kept. A label is compared by its last
    word: "traffic light" as "light".
    """
    facts = _get_facts(annotation, context)
    known = _last_words(context.known_labels)
    mentioned = {name for name in facts.objects if name in known} if facts else set()
    missing = mentioned - _last_words(context.detected_labels)
    found = len(mentioned) - len(missing)
    if not mentioned or found / len(mentioned) >= context.thresholds.min_mentioned_detected:
        return KEPT
    return Verdict(False, f"names what is not detected: {', '.join(sorted(missing))}")


def drop_repeated_text(annotation: Annotation, context: FilterContext) -> Verdict:
    """Drop captions that share most words with an earlier one of the same task."""
    words = _count_words(annotation)
    for text in context.earlier_texts.get(annotation.task, ()):
        others = Counter(re.findall(r"\w+", text.lower()))
        union = (words | others).total()
        if union and (words & others).total() / union >= context.thresholds.max_text_similarity:
            return Verdict(False, "near-duplicate text")
    return KEPT


def drop_near_duplicate_image(annotation: Annotation, context: FilterContext) -> Verdict:
    """Drop all annotations of an image that nearly duplicates another one."""
    first = context.near_duplicate_of
    return Verdict(False, f"near-duplicate of {first}") if first else KEPT


# In the order in which they are applied; the first one that drops gives the reason.
ANNOTATION_FILTERS: tuple[Filter, ...] = (
    drop_replaced,
    drop_empty_text,
    drop_bad_shapes,
    drop_low_confidence,
    drop_blacklisted_phrases,
)
# On what the filters before keep, so that a bad box does not suppress a good one.
BOX_FILTERS: tuple[Filter, ...] = (drop_duplicate_boxes,)
FUSION_FILTERS: tuple[Filter, ...] = (drop_unsupported,)
CAPTION_FILTERS: tuple[Filter, ...] = (
    drop_poor_text,
    drop_undetected_mentions,
    drop_repeated_text,
)
IMAGE_FILTERS: tuple[Filter, ...] = (drop_near_duplicate_image,)


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
_DETERMINERS = """
a an the some any this that these those its their his her
"""
# Phrases that the released model's own grounding leaves out, besides pronouns.
_RELEASED = ("a group", "other objects", "lots", "a set", "the image", "image")
# Phrases that do not name an object with a box.
BLACKLIST = frozenset([*_PRONOUNS.split(), *_ABSTRACT.split(), *_RELEASED])


def is_blacklisted(phrase: str, blacklist: Collection[str] = BLACKLIST) -> bool:
    """Whether a phrase, with or without its determiners, does not name an object."""
    words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*", phrase.lower())
    without_determiners = [word for word in words if word not in _DETERMINERS.split()]
    if not without_determiners:
        return True
    return " ".join(without_determiners) in blacklist or " ".join(words) in blacklist


def _get_facts(annotation: Annotation, context: FilterContext) -> TextFacts | None:
    answer = annotation.answer
    return context.facts.get(answer.plain) if isinstance(answer, Text) else None


def _count_words(annotation: Annotation) -> Counter[str]:
    answer = annotation.answer
    text = answer.plain if isinstance(answer, Text) else ""
    return Counter(re.findall(r"\w+", text.lower()))


def _last_words(labels: Collection[str]) -> set[str]:
    return {label.lower().split()[-1] for label in labels if label.strip()}
