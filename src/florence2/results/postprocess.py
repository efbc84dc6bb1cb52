"""What to keep of an answer: minimum score, overlap, corner order, image bounds.

Everything is off by default: an answer is then exactly what the model said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .geometry import clip_boxes, clip_points, non_maximum_suppression, order_corners
from .types import Answer, Boxes, Polygons, Quads, Text


@dataclass(frozen=True)
class AnswerOptions:
    """How an answer is cleaned after it was read.

    ``min_score`` drops regions whose score is lower; ``nms_iou`` drops a region that overlaps a
    better one of the same label by more; ``order_corners`` swaps the corners of inverted boxes;
    ``clip`` moves coordinates into the image. ``ascii_labels`` is the released behaviour for
    boxes and phrases: characters outside ASCII vanish from labels.
    """

    min_score: float | None = None
    nms_iou: float | None = None
    order_corners: bool = False
    clip: bool = False
    ascii_labels: bool = False

    def __post_init__(self) -> None:
        for name in ("min_score", "nms_iou"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def clean(answer: Answer, options: AnswerOptions) -> Answer:
    """The answer as ``options`` want it. Regions without scores pass ``min_score`` and count as
    equal in suppression."""
    if isinstance(answer, Text):
        return answer
    if options.order_corners and isinstance(answer, Boxes):
        answer = replace(answer, xyxy=order_corners(answer.xyxy))
    if options.clip:
        answer = _clipped(answer)
    if options.min_score is not None and answer.scores is not None:
        answer = answer.select(answer.scores >= options.min_score)
    if options.nms_iou is not None and len(answer):
        scores = np.ones(len(answer)) if answer.scores is None else answer.scores
        bounds = order_corners(answer.bounds)
        kept = non_maximum_suppression(bounds, scores, options.nms_iou, answer.labels)
        answer = answer.select(np.sort(kept))
    return answer


def _clipped(answer: Boxes | Quads | Polygons) -> Boxes | Quads | Polygons:
    size = answer.image_size
    if isinstance(answer, Boxes):
        return replace(answer, xyxy=clip_boxes(answer.xyxy, size))
    if isinstance(answer, Quads):
        return replace(answer, corners=clip_points(answer.corners, size))
    parts = tuple(tuple(clip_points(part, size) for part in each) for each in answer.polygons)
    return replace(answer, polygons=parts)
