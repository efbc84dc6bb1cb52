"""All that was said about a picture, judged: every filter in its order, nothing thrown away.

An annotation whose regions differ in verdict becomes several, one for each verdict; together they
hold the regions that it had.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..results.records import KEPT, Annotation, FilterDecision
from ..results.tasks import CAPTIONS
from ..results.types import Boxes, Polygons, Quads, Text
from .caption_parsing import TextFacts
from .filters import (
    LOW_CONFIDENCE,
    Thresholds,
    first_failure,
    judge_named,
    judge_overlaps,
    judge_phrase,
    judge_same,
    judge_score,
    judge_shapes,
    judge_support,
    judge_text,
)
from .merge import FUSION, MERGED, boxes_by, fuse, joined

_WITH_PHRASES = frozenset({"<CAPTION_TO_PHRASE_GROUNDING>"})
# Two lines of one text are no copies of each other, nor are phrases and descriptions.
_WITH_CLASSES = frozenset({"<OD>", "<OPEN_VOCABULARY_DETECTION>", "<REGION_PROPOSAL>"})
# What several annotators are asked alike, so that their boxes can be one answer.
_FUSED_TASK = "<OD>"
# A text that is too long to be parsed has no facts.
TOO_LONG = FilterDecision(False, "text too long")


@dataclass(frozen=True)
class FilterContext:
    """What verdicts hang on: the thresholds, the facts of texts, the names that detectors know.

    ``superseded`` tells by annotator the round of its last word: what it said before is dropped.
    """

    limits: Thresholds = field(default_factory=Thresholds)
    facts: Mapping[str, TextFacts] = field(default_factory=dict)
    known: Collection[str] = frozenset()
    superseded: Mapping[str, int] = field(default_factory=dict)


def judged(
    annotations: Sequence[Annotation], judging: FilterContext, near_duplicate_of: str = ""
) -> tuple[Annotation, ...]:
    """The annotations of a picture with their verdicts, and the fused boxes of several annotators.

    Those that are dropped already stay so. A near duplicate of another picture has everything
    dropped, with that reason.
    """
    first = [part for each in annotations for part in _judge_alone(each, judging)]
    merged = _with_fusion(first, judging)
    settled = _judge_texts(merged, judging)
    if near_duplicate_of:
        reason = FilterDecision(False, f"near-duplicate of {near_duplicate_of}")
        settled = [
            replace(each, decision=reason) if each.decision.kept else each for each in settled
        ]
    return tuple(settled)


def texts_of(annotations: Sequence[Annotation]) -> list[str]:
    """The captions among annotations, whose facts ``FilterContext`` needs."""
    return [
        each.answer.plain_text
        for each in annotations
        if each.task in CAPTIONS and isinstance(each.answer, Text) and each.decision.kept
    ]


def split(annotation: Annotation, decisions: Sequence[FilterDecision]) -> list[Annotation]:
    """The annotation of regions, one for each verdict among its regions, kept ones first.

    One without regions, or with one verdict for all, stays whole.
    """
    answer = annotation.answer
    if isinstance(answer, Text) or not decisions:
        return [annotation]
    kinds = sorted(set(decisions), key=lambda each: (not each.kept, each.reason))
    return [
        replace(
            annotation,
            answer=answer.select(np.flatnonzero([each == kind for each in decisions])),
            decision=kind,
        )
        for kind in kinds
    ]


def _judge_alone(annotation: Annotation, judging: FilterContext) -> list[Annotation]:
    """Verdicts that need nothing but the annotation itself."""
    name, limits = annotation.annotator.name, judging.limits
    if not annotation.decision.kept:
        return [annotation]
    if annotation.round < judging.superseded.get(name, annotation.round):
        return [replace(annotation, decision=FilterDecision(False, "superseded by a later round"))]
    answer = annotation.answer
    if isinstance(answer, Text):
        decision = judge_score(annotation.score, name, limits)
        if not answer.plain_text:
            decision = FilterDecision(False, "empty text")
        return [replace(annotation, decision=decision)]
    decisions = _judge_regions(annotation.task, answer, name, limits)
    parts = split(annotation, decisions)
    if annotation.task not in _WITH_CLASSES or not isinstance(answer, Boxes):
        return parts
    # Copies are looked for among what else is good, so that a bad box suppresses no good one.
    return [copy for part in parts for copy in _without_copies(part, limits)]


def _judge_regions(
    task: str, answer: Boxes | Quads | Polygons, name: str, limits: Thresholds
) -> list[FilterDecision]:
    shapes = judge_shapes(answer.bounds, answer.image_size, limits)
    scores = [None] * len(answer) if answer.scores is None else answer.scores.tolist()
    trusts = [judge_score(score, name, limits) for score in scores]
    words = [judge_phrase(label) if task in _WITH_PHRASES else KEPT for label in answer.labels]
    return [first_failure(each) for each in zip(shapes, trusts, words, strict=True)]


def _without_copies(annotation: Annotation, limits: Thresholds) -> list[Annotation]:
    answer = annotation.answer
    if not annotation.decision.kept or not isinstance(answer, Boxes) or not len(answer):
        return [annotation]
    return split(annotation, judge_overlaps(answer.xyxy, answer.labels, answer.scores, limits))


def _with_fusion(annotations: Sequence[Annotation], judging: FilterContext) -> list[Annotation]:
    """With the detections of several annotators fused to one, which stands in their place.

    Boxes of low confidence are fused too, for several of them may be one that ranks high; but only
    what some annotator is sure enough of is kept.
    """
    limits = judging.limits
    by_name: dict[str, list[Boxes]] = {}
    for each in annotations:
        name = each.annotator.name
        heard = each.decision.kept or each.decision.reason == LOW_CONFIDENCE
        current = each.round >= judging.superseded.get(name, each.round)
        if each.task == _FUSED_TASK and isinstance(each.answer, Boxes) and heard and current:
            by_name.setdefault(name, []).append(each.answer)
    if len(by_name) < 2:
        return list(annotations)
    trusted = list(boxes_by(annotations, _FUSED_TASK).values())
    fused = fuse([joined(parts) for parts in by_name.values()], limits.overlap, trusted)
    decisions = [
        judge_support(count, len(by_name), limits)
        if count
        else FilterDecision(False, LOW_CONFIDENCE)
        for count in fused.support
    ]
    latest = max(each.round for each in annotations)
    whole = Annotation(_FUSED_TASK, fused.boxes, annotator=FUSION, round=latest)
    replaced = [
        replace(each, decision=FilterDecision(False, MERGED))
        if each.task == _FUSED_TASK and each.decision.kept
        else each
        for each in annotations
    ]
    return [*replaced, *split(whole, decisions)]


def _judge_texts(annotations: Sequence[Annotation], judging: FilterContext) -> list[Annotation]:
    """Captions by what they say, against those before them and against what was detected."""
    detected = {
        label.lower().split()[-1]
        for each in annotations
        if each.task == _FUSED_TASK and each.decision.kept and isinstance(each.answer, Boxes)
        for label in each.answer.labels
        if label.strip()
    }
    last_words = {name.lower().split()[-1] for name in judging.known if name.strip()}
    earlier: dict[str, list[str]] = {task: [] for task in CAPTIONS}
    judged_texts = []
    for each in annotations:
        if each.task in CAPTIONS and isinstance(each.answer, Text) and each.decision.kept:
            text = each.answer.plain_text
            facts = judging.facts.get(text)
            decision = (
                TOO_LONG
                if facts is None
                else first_failure(
                    [
                        judge_text(facts, judging.limits),
                        judge_named(facts, detected, last_words, judging.limits),
                        judge_same(text, earlier[each.task], judging.limits),
                    ]
                )
            )
            if decision.kept:
                earlier[each.task].append(text)
            each = replace(each, decision=decision)
        judged_texts.append(each)
    return judged_texts
