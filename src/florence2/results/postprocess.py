"""Postprocessing of predictions: minimum score, non-maximum suppression, inverted boxes, clipping.

Everything is off by default: the prediction is then exactly what the model generated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..io.deprecation import renamed_fields
from .geometry import clip_boxes, clip_points, fix_inverted_boxes, non_maximum_suppression
from .types import Answer, Boxes, Polygons, Quads, Text


@renamed_fields(order_corners="fix_inverted_boxes")
@dataclass(frozen=True)
class PostprocessOptions:
    """How a prediction is filtered and corrected after parsing.

    Args:
        min_score: Regions with a lower score are dropped.
        nms_iou: A region is dropped when its IoU with a higher-scoring region of the same label
            is above this (non-maximum suppression per class).
        fix_inverted_boxes: Swap the corners of inverted boxes.
        clip: Move coordinates into the image.
        ascii_labels: Remove characters outside ASCII from the labels of boxes and phrases, as
            the released processor does.
    """

    min_score: float | None = None
    nms_iou: float | None = None
    fix_inverted_boxes: bool = False
    clip: bool = False
    ascii_labels: bool = False

    def __post_init__(self) -> None:
        for name in ("min_score", "nms_iou"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")


def postprocess(answer: Answer, options: PostprocessOptions) -> Answer:
    """Apply ``options`` to a prediction.

    Regions without scores pass ``min_score`` and count as equal in suppression.
    """
    if isinstance(answer, Text):
        return answer
    if options.fix_inverted_boxes and isinstance(answer, Boxes):
        answer = replace(answer, xyxy=fix_inverted_boxes(answer.xyxy))
    if options.clip:
        answer = _clipped(answer)
    if options.min_score is not None and answer.scores is not None:
        answer = answer.select(answer.scores >= options.min_score)
    if options.nms_iou is not None and len(answer):
        scores = np.ones(len(answer)) if answer.scores is None else answer.scores
        bounds = fix_inverted_boxes(answer.bounds)
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
