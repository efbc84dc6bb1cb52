"""What metrics take from an answer of any kind: text, boxes, polygons, lines of text.

An answer of another kind, and ``None``, give the empty value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..results.masks import Mask, polygons_to_mask
from ..results.types import Answer, Polygons, Quads, Text
from .metrics.ocr import TextRegions

FloatArray = NDArray[np.float64]


def to_boxes(answer: Answer | None) -> FloatArray:
    """Boxes ``float[N, 4]``; an inverted box has no area."""
    if answer is None or isinstance(answer, Text):
        return np.zeros((0, 4))
    boxes = np.asarray(answer.bounds, np.float64)
    boxes[:, 2:] = np.maximum(boxes[:, :2], boxes[:, 2:])
    return boxes


def get_labels(answer: Answer | None) -> tuple[str, ...]:
    """The label of each box."""
    return () if answer is None or isinstance(answer, Text) else answer.labels


def get_scores(answer: Answer | None) -> FloatArray:
    """The confidence ``float[N]`` of each box: its score times its label's, 1 where unknown."""
    scores = np.ones(len(get_labels(answer)))
    if answer is None or isinstance(answer, Text):
        return scores
    for known in (answer.scores, answer.label_scores):
        if known is not None:
            scores *= known
    return scores


def sort_by_score(answer: Answer | None) -> NDArray[np.int64]:
    """Indices of the boxes, highest score first; equal scores keep their order."""
    return np.argsort(-get_scores(answer), kind="stable")


def to_text(answer: Answer | None) -> str:
    """The text without location tokens."""
    return answer.plain_text if isinstance(answer, Text) else ""


def get_polygons(answer: Answer | None) -> list[NDArray[np.float32]]:
    """The polygons ``float32[K, 2]`` of all instances."""
    if not isinstance(answer, Polygons):
        return []
    return [part for parts in answer.polygons for part in parts]


def to_mask_pair(answer: Answer | None, ground_truth: Polygons) -> tuple[Mask, Mask]:
    """The masks ``bool[height, width]`` of an answer and of the ground truth, in its size."""
    size = ground_truth.image_size
    truth = polygons_to_mask(get_polygons(ground_truth), size)
    return polygons_to_mask(get_polygons(answer), size), truth


def to_text_regions(answer: Answer | None) -> TextRegions:
    """The lines of text with their quads."""
    if not isinstance(answer, Quads):
        return TextRegions([], [])
    return TextRegions(list(answer.corners), answer.labels)
