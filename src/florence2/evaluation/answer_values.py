"""What metrics take of an answer, whatever its kind: words, boxes, outlines, lines of text.

Of an answer of another kind, and of none at all, there is nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..results.masks import Mask, polygons_to_mask
from ..results.types import Answer, Polygons, Quads, Text
from .metrics.ocr import TextRegions

FloatArray = NDArray[np.float64]


def to_boxes(answer: Answer | None) -> FloatArray:
    """Boxes `float[N, 4]`, none for text or no answer; one that ends before it begins is empty."""
    if answer is None or isinstance(answer, Text):
        return np.zeros((0, 4))
    boxes = np.asarray(answer.bounds, np.float64)
    boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
    return boxes


def labels_of(answer: Answer | None) -> tuple[str, ...]:
    """The label of each of the boxes."""
    return () if answer is None or isinstance(answer, Text) else answer.labels


def scores_of(answer: Answer | None) -> FloatArray:
    """How sure the model is of each box: its score times its label's, 1 for what is unknown."""
    scores = np.ones(len(labels_of(answer)))
    if answer is None or isinstance(answer, Text):
        return scores
    for known in (answer.scores, answer.label_scores):
        if known is not None:
            scores *= known
    return scores


def sort_by_score(answer: Answer | None) -> NDArray[np.int64]:
    """The order of the boxes by score, equal scores in the order in which they were said."""
    return np.argsort(-scores_of(answer), kind="stable")


def to_text(answer: Answer | None) -> str:
    """The words without location tokens."""
    return answer.plain_text if isinstance(answer, Text) else ""


def outlines_of(answer: Answer | None) -> list[NDArray[np.float32]]:
    """The polygons ``float32[K, 2]`` of all instances together."""
    if not isinstance(answer, Polygons):
        return []
    return [part for parts in answer.polygons for part in parts]


def mask_pair(answer: Answer | None, truth: Polygons) -> tuple[Mask, Mask]:
    """The pixels ``bool[height, width]`` of an answer and of the truth, at the truth's size."""
    size = truth.image_size
    return polygons_to_mask(outlines_of(answer), size), polygons_to_mask(outlines_of(truth), size)


def text_regions_of(answer: Answer | None) -> TextRegions:
    """The lines of text with their corners."""
    if not isinstance(answer, Quads):
        return TextRegions([], [])
    return TextRegions(list(answer.corners), answer.labels)
