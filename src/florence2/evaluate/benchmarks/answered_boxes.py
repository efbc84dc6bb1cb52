"""The boxes of a model's answer, and how sure it is of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...results import Answer, Text

FloatArray = NDArray[np.float64]


def boxes_of(answer: Answer | None) -> FloatArray:
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


def surest_first(answer: Answer | None) -> NDArray[np.int64]:
    """The order of the boxes by score, equal scores in the order in which they were said."""
    return np.argsort(-scores_of(answer), kind="stable")
