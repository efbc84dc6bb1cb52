"""Filters: functions that decide whether an annotation is kept, and why not.

A filter takes an annotation and a ``FilterContext``. It returns one decision for the whole
annotation, or one for each of its regions. ``apply_filters.py`` applies them in order. The paper
names these filters and gives no thresholds (section 3.4); docs/engine.md has the measurements
for the defaults of ``Thresholds``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..results.geometry import box_area, non_maximum_suppression
from ..results.records import KEPT, Annotation, FilterDecision
from ..results.types import Boxes, Text
from .caption_parsing import TextFacts
from .engine_config import Thresholds

LOW_CONFIDENCE = "low confidence"
DETECTION = "<OD>"
# Tasks whose labels are class names. Two text lines with one text are not copies, nor are two
# phrases or region captions.
_CLASS_TASKS = frozenset({DETECTION, "<OPEN_VOCABULARY_DETECTION>", "<REGION_PROPOSAL>"})
_PHRASE_TASKS = frozenset({"<CAPTION_TO_PHRASE_GROUNDING>"})


@dataclass(frozen=True)
class FilterContext:
    """Inputs of filters besides the annotation.

    Args:
        thresholds: Thresholds of the filters.
        facts: Parse of each caption by its text; a caption that is too long to parse has none.
        known_labels: Labels that the detectors of the run support.
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
FilterResult = FilterDecision | Sequence[FilterDecision]
Filter = Callable[[Annotation, FilterContext], FilterResult]


def drop_replaced(annotation: Annotation, context: FilterContext) -> FilterDecision:
    """Drop what an annotator annotated again in a later round."""
    name = annotation.annotator.name
    is_replaced = annotation.round < context.last_rounds.get(name, annotation.round)
    return FilterDecision(False, "superseded by a later round") if is_replaced else KEPT


def drop_empty_text(annotation: Annotation, context: FilterContext) -> FilterDecision:
    """Drop a text without characters."""
    answer = annotation.answer
    is_empty = isinstance(answer, Text) and not answer.plain_text
    return FilterDecision(False, "empty text") if is_empty else KEPT


def drop_bad_shapes(annotation: Annotation, context: FilterContext) -> FilterResult:
    """Drop regions that are not finite, have no area, are outside the image or tiny."""
    answer = annotation.answer
    if isinstance(answer, Text):
        return KEPT
    thresholds, (width, height) = context.thresholds, answer.image_size
    decisions = []
    for box, area in zip(answer.bounds, box_area(answer.bounds), strict=True):
        sides = box[2:] - box[:2]
        if not np.isfinite(box).all() or sides.min() <= 0:
            decisions.append(FilterDecision(False, "degenerate region"))
        elif box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
            decisions.append(FilterDecision(False, "outside the image"))
        elif sides.min() < thresholds.min_side or area < thresholds.min_area * width * height:
            decisions.append(FilterDecision(False, "tiny region"))
        else:
            decisions.append(KEPT)
    return decisions


def drop_low_confidence(annotation: Annotation, context: FilterContext) -> FilterResult:
    """Drop texts and regions below the annotator's minimum confidence, if they have a score."""
    answer = annotation.answer
    minimum = context.thresholds.confidence_of(annotation.annotator.name)
    low = FilterDecision(False, LOW_CONFIDENCE)
    if isinstance(answer, Text):
        return low if annotation.score is not None and annotation.score < minimum else KEPT
    if answer.scores is None:
        return KEPT
    return [low if score < minimum else KEPT for score in answer.scores.tolist()]


def drop_blacklisted_phrases(annotation: Annotation, context: FilterContext) -> FilterResult:
    """Drop grounded phrases that do not name an object: pronouns, abstract nouns."""
    answer = annotation.answer
    if isinstance(answer, Text) or annotation.task not in _PHRASE_TASKS:
        return KEPT
    return [
        FilterDecision(False, "blacklisted phrase") if is_blacklisted(label) else KEPT
        for label in answer.labels
    ]


def drop_duplicate_boxes(annotation: Annotation, context: FilterContext) -> FilterResult:
    """Drop boxes that overlap a higher-scoring one of their class (non-maximum suppression)."""
    answer = annotation.answer
    if not isinstance(answer, Boxes) or annotation.task not in _CLASS_TASKS or not len(answer):
        return KEPT
    scores = np.ones(len(answer)) if answer.scores is None else answer.scores
    iou = context.thresholds.nms_iou
    kept = set(non_maximum_suppression(answer.xyxy, scores, iou, answer.labels).tolist())
    duplicate = FilterDecision(False, "overlaps a higher-scoring box")
    return [KEPT if index in kept else duplicate for index in range(len(answer))]


def drop_unsupported(annotation: Annotation, context: FilterContext) -> FilterResult:
    """Drop fused boxes that too few detectors found with enough confidence."""
    minimum = min(context.thresholds.min_agreement, context.num_detectors)
    reasons = (
        LOW_CONFIDENCE if not count else "found by too few detectors" if count < minimum else ""
        for count in context.support
    )
    return [FilterDecision(False, reason) if reason else KEPT for reason in reasons]


def drop_poor_text(annotation: Annotation, context: FilterContext) -> FilterDecision:
    """Drop captions that are too long to parse, or have too many or too simple objects."""
    thresholds = context.thresholds
    facts = _get_facts(annotation, context)
    if facts is None:
        return FilterDecision(False, "text too long")
    if not facts.tokens:
        return FilterDecision(False, "empty text")
    if len(facts.objects) > thresholds.max_objects:
        return FilterDecision(False, "too many objects")
    if not facts.objects or facts.object_complexity < thresholds.min_object_complexity:
        return FilterDecision(False, "objects too simple")
    if facts.action_complexity < thresholds.min_action_complexity:
        return FilterDecision(False, "actions too simple")
    return KEPT


def drop_undetected_mentions(annotation: Annotation, context: FilterContext) -> FilterDecision:
    """Drop captions that mention objects which the detectors support and did not detect.

    A caption without an object that a detector supports is kept. A label is compared by its last
    word: "traffic light" as "light".
    """
    facts = _get_facts(annotation, context)
    known = _last_words(context.known_labels)
    mentioned = {name for name in facts.objects if name in known} if facts else set()
    missing = mentioned - _last_words(context.detected_labels)
    found = len(mentioned) - len(missing)
    if not mentioned or found / len(mentioned) >= context.thresholds.min_mentioned_detected:
        return KEPT
    return FilterDecision(False, f"mentions undetected objects: {', '.join(sorted(missing))}")


def drop_repeated_text(annotation: Annotation, context: FilterContext) -> FilterDecision:
    """Drop captions that share most words with an earlier one of the same task."""
    answer = annotation.answer
    words = _count_words(answer.plain_text) if isinstance(answer, Text) else Counter[str]()
    for text in context.earlier_texts.get(annotation.task, ()):
        others = _count_words(text)
        union = (words | others).total()
        if union and (words & others).total() / union >= context.thresholds.max_text_similarity:
            return FilterDecision(False, "near-duplicate text")
    return KEPT


def drop_near_duplicate_image(annotation: Annotation, context: FilterContext) -> FilterDecision:
    """Drop all annotations of an image that nearly duplicates another one."""
    first = context.near_duplicate_of
    return FilterDecision(False, f"near-duplicate of {first}") if first else KEPT


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
everybody everything someone something no none nothing some several few many both
all most others such
"""
_ABSTRACT = """
view image images picture pictures photo photograph scene shot background foreground front back
side sides left right top bottom middle center corner edge part parts area distance time day
way kind type sort lot lots number group bunch variety set range couple pair piece color colors
style mood atmosphere feeling sense impression beauty addition presence position
direction fact idea example detail details rest end place
"""
_DETERMINERS = """
a an the some any this that these those its their his her
"""
# Other spellings and forms of words above.
_VARIANTS = ("centre", "colour", "colours", "nobody", "somebody")
# Phrases that the released model's own grounding leaves out, besides pronouns.
_RELEASED = ("a group", "other objects", "lots", "a set", "the image", "image")
# Phrases that do not name an object with a box.
BLACKLIST = frozenset([*_PRONOUNS.split(), *_ABSTRACT.split(), *_VARIANTS, *_RELEASED])


def is_blacklisted(phrase: str, blacklist: Collection[str] = BLACKLIST) -> bool:
    """Whether a phrase, with or without its determiners, does not name an object."""
    words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*", phrase.lower())
    without_determiners = [word for word in words if word not in _DETERMINERS.split()]
    if not without_determiners:
        return True
    return " ".join(without_determiners) in blacklist or " ".join(words) in blacklist


def _get_facts(annotation: Annotation, context: FilterContext) -> TextFacts | None:
    answer = annotation.answer
    return context.facts.get(answer.plain_text) if isinstance(answer, Text) else None


def _count_words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def _last_words(labels: Collection[str]) -> set[str]:
    return {label.lower().split()[-1] for label in labels if label.strip()}
