"""All annotations of an image through all filters. Nothing is deleted: decisions are marked.

An annotation whose regions get different decisions is split into several, one for each decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..results.records import KEPT, Annotation, FilterDecision
from ..results.tasks import CAPTIONS
from ..results.types import Boxes, Text
from .filters import (
    ANNOTATION_FILTERS,
    BOX_FILTERS,
    CAPTION_FILTERS,
    DETECTION,
    FUSION_FILTERS,
    IMAGE_FILTERS,
    LOW_CONFIDENCE,
    Filter,
    FilterContext,
)
from .merge import FUSION, MERGED, concat_boxes, fuse_boxes, group_boxes


def apply_filters(
    annotations: Sequence[Annotation], context: FilterContext
) -> tuple[Annotation, ...]:
    """The annotations of an image with their decisions, and the fused boxes of its detectors.

    Annotations that are dropped already stay dropped.
    """
    found = _filter_all(ANNOTATION_FILTERS, annotations, context)
    found = _filter_all(BOX_FILTERS, found, context)
    found = _fuse_detections(found, context)
    found = _filter_captions(found, context)
    return tuple(_filter_all(IMAGE_FILTERS, found, context))


def list_captions(annotations: Sequence[Annotation]) -> list[str]:
    """The kept captions among annotations, whose parse ``FilterContext`` needs."""
    return [
        each.answer.plain_text
        for each in annotations
        if each.task in CAPTIONS and isinstance(each.answer, Text) and each.decision.kept
    ]


def split_by_decision(
    annotation: Annotation, decisions: Sequence[FilterDecision]
) -> list[Annotation]:
    """The annotation of regions, split by the decisions on its regions; kept regions first.

    An annotation without regions is returned as it is.
    """
    answer = annotation.answer
    if isinstance(answer, Text) or not decisions:
        return [annotation]
    kinds = sorted(set(decisions), key=lambda each: (not each.kept, each.reason))
    if len(kinds) == 1:
        return [replace(annotation, decision=kinds[0])]
    return [
        replace(
            annotation,
            answer=answer.select(np.flatnonzero([each == kind for each in decisions])),
            decision=kind,
        )
        for kind in kinds
    ]


def apply_to_annotation(
    filters: Sequence[Filter], annotation: Annotation, context: FilterContext
) -> list[Annotation]:
    """One annotation through ``filters``; the first filter that drops a region gives the reason."""
    if not annotation.decision.kept:
        return [annotation]
    count = 0 if isinstance(annotation.answer, Text) else len(annotation.answer)
    decisions = [KEPT] * count
    for filter in filters:
        decision = filter(annotation, context)
        if isinstance(decision, FilterDecision):
            if not decision.kept:
                return [replace(annotation, decision=decision)]
            continue
        pairs = zip(decisions, decision, strict=True)
        decisions = [new if before.kept else before for before, new in pairs]
    return split_by_decision(annotation, decisions)


def _filter_all(
    filters: Sequence[Filter], annotations: Sequence[Annotation], context: FilterContext
) -> list[Annotation]:
    return [piece for each in annotations for piece in apply_to_annotation(filters, each, context)]


def _fuse_detections(annotations: Sequence[Annotation], context: FilterContext) -> list[Annotation]:
    """The annotations, with the detections of several annotators fused into one.

    Boxes of low confidence are fused too: two low-confidence detections reinforce each other. At
    least one of them must exceed the threshold for the fused box to be kept.
    """
    by_name: dict[str, list[Boxes]] = {}
    for each in annotations:
        name = each.annotator.name
        is_usable = each.decision.kept or each.decision.reason == LOW_CONFIDENCE
        is_current = each.round >= context.last_rounds.get(name, each.round)
        if each.task == DETECTION and isinstance(each.answer, Boxes) and is_usable and is_current:
            by_name.setdefault(name, []).append(each.answer)
    if len(by_name) < 2:
        return list(annotations)
    trusted = list(group_boxes(annotations, DETECTION).values())
    boxes = [concat_boxes(pieces) for pieces in by_name.values()]
    fused = fuse_boxes(boxes, context.thresholds.nms_iou, trusted)
    context = replace(context, support=fused.support, num_detectors=len(by_name))
    last_round = max(each.round for each in annotations)
    annotation = Annotation(DETECTION, fused.boxes, annotator=FUSION, round=last_round)
    merged = [
        replace(each, decision=FilterDecision(False, MERGED))
        if each.task == DETECTION and each.decision.kept
        else each
        for each in annotations
    ]
    return [*merged, *apply_to_annotation(FUSION_FILTERS, annotation, context)]


def _filter_captions(annotations: Sequence[Annotation], context: FilterContext) -> list[Annotation]:
    """The captions through their filters: against detections and against earlier captions."""
    detected = {
        label
        for each in annotations
        if each.task == DETECTION and each.decision.kept and isinstance(each.answer, Boxes)
        for label in each.answer.labels
    }
    earlier: dict[str, list[str]] = {task: [] for task in CAPTIONS}
    context = replace(context, detected_labels=detected, earlier_texts=earlier)
    found = []
    for each in annotations:
        if each.task not in CAPTIONS or not isinstance(each.answer, Text):
            found.append(each)
            continue
        text = each.answer.plain_text
        (filtered,) = apply_to_annotation(CAPTION_FILTERS, each, context)
        if filtered.decision.kept:
            earlier[each.task].append(text)
        found.append(filtered)
    return found
