"""Boxes and masks of phrases and of referring expressions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.geometry import FloatArray, box_iou, point_bounds
from ...results.masks import Mask
from .input_checks import check_finite, check_not_empty, check_same_length

Protocol = Literal["any", "merged"]


def phrase_hits(
    predicted: Sequence[ArrayLike],
    ground_truths: Sequence[ArrayLike],
    top: Sequence[int] = (1, 5, 10),
    *,
    protocol: Protocol = "any",
    iou: float = 0.5,
) -> NDArray[np.bool_]:
    """``bool[phrases, len(top)]``: whether the first k boxes of a phrase include a true one.

    Both sides are one ``float[K, 4]`` per phrase, predictions best first. Flickr30k Entities has
    two protocols for phrases of several boxes: ``"any"`` accepts each box, ``"merged"`` only the
    box around them all (Plummer et al. 2015). A hit has IoU of at least ``iou``. Phrases without a
    true box are not part of the benchmark and raise ``ValueError``.
    """
    check_not_empty(ground_truths, "phrases")
    check_same_length(predicted, ground_truths, "predicted and true phrases")
    hits = np.zeros((len(ground_truths), len(top)), bool)
    for index, (candidates, boxes) in enumerate(zip(predicted, ground_truths, strict=True)):
        targets = _boxes(boxes, f"true boxes of phrase {index}")
        if not len(targets):
            raise ValueError(f"phrase {index} has no true box; exclude such phrases")
        if protocol == "merged":
            targets = point_bounds(targets.reshape(-1, 2))[None]
        elif protocol != "any":
            raise ValueError(f"protocol must be 'any' or 'merged', got {protocol!r}")
        overlap = box_iou(_boxes(candidates, f"boxes of phrase {index}"), targets)
        right = np.any(overlap >= iou, axis=1)
        hits[index] = [np.any(right[:count]) for count in top]
    return hits


def referring_hits(
    predicted: ArrayLike, ground_truths: ArrayLike, iou: float = 0.5
) -> NDArray[np.bool_]:
    """``bool[N]``: whether the box predicted for an expression has IoU above ``iou``.

    Both sides are ``float[N, 4]``; a missing prediction is a row of zeros. The mean is the accuracy
    of RefCOCO, RefCOCO+ and RefCOCOg.
    """
    first, second = _boxes(predicted, "predicted boxes"), _boxes(ground_truths, "true boxes")
    check_not_empty(second, "expressions")
    check_same_length(first, second, "predicted and true boxes")
    overlap = [
        box_iou(one[None], other[None])[0, 0] for one, other in zip(first, second, strict=True)
    ]
    return np.asarray(overlap) > iou


def mask_overlaps(pairs: Iterable[tuple[Mask, Mask]]) -> NDArray[np.int64]:
    """``int[N, 2]``: pixels in the intersection and in the union of each predicted and true mask.

    Takes an iterable, so that one pair at a time is in memory.
    """
    rows = []
    for index, (predicted, ground_truth) in enumerate(pairs):
        if predicted.shape != ground_truth.shape:
            raise ValueError(
                f"masks of pair {index} differ: {predicted.shape} and {ground_truth.shape}"
            )
        rows.append((np.sum(predicted & ground_truth), np.sum(predicted | ground_truth)))
    return np.asarray(rows, dtype=np.int64).reshape(-1, 2)


def mask_ious(overlaps: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU ``float[N]`` of each pair of ``mask_overlaps``, 1 for two empty masks. Their mean is
    mIoU."""
    check_not_empty(overlaps, "masks")
    intersection, union = overlaps[:, 0].astype(np.float64), overlaps[:, 1]
    return np.divide(intersection, union, out=np.ones(len(union)), where=union > 0)


def _boxes(boxes: ArrayLike, what: str) -> FloatArray:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"{what} must be [N, 4], got {list(array.shape)}")
    check_finite(array, what)
    return array
