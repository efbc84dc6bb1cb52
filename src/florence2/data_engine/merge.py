"""Boxes of several annotators as one result (weighted box fusion), and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..results.geometry import box_iou, match_closest
from ..results.records import Annotation, Annotator
from ..results.types import Boxes

FUSION = Annotator("fusion", "1")
MERGED = "merged with others"


@dataclass(frozen=True)
class FusedBoxes:
    """The fused boxes with their scores, and the number of trusted annotators for each."""

    boxes: Boxes
    support: tuple[int, ...]


def fuse_boxes(
    predictions: Sequence[Boxes], iou: float = 0.55, trusted: Sequence[Boxes] | None = None
) -> FusedBoxes:
    """Fuse the boxes of several annotators (weighted box fusion, of ``ensemble-boxes``).

    Boxes of a label that overlap by ``iou`` become their mean, weighted by score. The score of the
    mean falls with the fraction of annotators that did not find it. Boxes without scores count 1.

    Args:
        predictions: The boxes of each annotator for one image.
        iou: IoU from which boxes are fused.
        trusted: The boxes that count as support (default: all), so that a fused box of
            low-confidence ones alone has none.

    Raises:
        ValueError: There are no predictions, or their image sizes differ.
    """
    from ensemble_boxes import weighted_boxes_fusion

    sizes = {each.image_size for each in predictions}
    if len(sizes) != 1:
        raise ValueError(
            f"all predictions must have the same image size, got sizes {sorted(sizes)}"
        )
    (size,) = sizes
    labels = sorted({label for each in predictions for label in each.labels})
    numbers = {label: number for number, label in enumerate(labels)}
    scale = np.tile(np.asarray(size, np.float64), 2)
    usable = [_drop_flat_boxes(each) for each in predictions]
    xyxy, scores, fused_numbers = weighted_boxes_fusion(
        [(each.xyxy / scale).clip(0, 1).tolist() for each in usable],
        [_get_scores(each).tolist() for each in usable],
        [[numbers[label] for label in each.labels] for each in usable],
        iou_thr=iou,
    )
    fused = Boxes(
        np.asarray(xyxy, np.float64).reshape(-1, 4) * scale,
        [labels[int(number)] for number in fused_numbers],
        size,
        scores=np.asarray(scores, np.float32),
    )
    support = _count_support(fused, usable if trusted is None else trusted, iou)
    # A mean may be farther from each of its boxes than they were from each other.
    minimum = 1 if trusted is None else 0
    return FusedBoxes(fused, tuple(max(minimum, int(count)) for count in support))


def count_agreement(first: Boxes, second: Boxes, iou: float = 0.5) -> tuple[int, int, int]:
    """Number of pairs of boxes with one label that overlap by ``iou``, and the boxes of each."""
    overlaps = np.where(_same_labels(first, second), box_iou(first.xyxy, second.xyxy), 0)
    return len(match_closest(overlaps, iou)), len(first), len(second)


def group_boxes(annotations: Sequence[Annotation], task: str) -> dict[str, Boxes]:
    """The kept boxes of ``task`` by annotator; the last annotation of each counts."""
    return {
        each.annotator.name: each.answer
        for each in annotations
        if each.task == task and each.decision.kept and isinstance(each.answer, Boxes)
    }


def concat_boxes(pieces: Sequence[Boxes]) -> Boxes:
    """Boxes of one image put together; boxes without scores count 1."""
    return Boxes(
        np.concatenate([each.xyxy for each in pieces]),
        [label for each in pieces for label in each.labels],
        pieces[0].image_size,
        scores=np.concatenate([_get_scores(each) for each in pieces]),
    )


def _get_scores(boxes: Boxes) -> NDArray[np.floating]:
    return np.ones(len(boxes)) if boxes.scores is None else boxes.scores


def _same_labels(first: Boxes, second: Boxes) -> NDArray[np.bool_]:
    """``bool[len(first), len(second)]``: whether two boxes have the same label."""
    same: NDArray[np.bool_] = (
        np.asarray(first.labels, object)[:, None] == np.asarray(second.labels, object)[None]
    )
    return same


def _drop_flat_boxes(boxes: Boxes) -> Boxes:
    """Without boxes that have no area: fusion warns about them and drops them."""
    sides = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
    return boxes.select(np.flatnonzero((sides > 0).all(axis=1)))


def _count_support(fused: Boxes, predictions: Sequence[Boxes], iou: float) -> NDArray[np.int64]:
    """``int[N]``: how many predictions have a box of the same label at each fused box.

    A box supports the fused boxes that it overlaps by ``iou``, and the one it overlaps the most.
    """
    counts = np.zeros(len(fused), np.int64)
    for prediction in predictions:
        if len(prediction) and len(fused):
            same = _same_labels(fused, prediction)
            overlaps = np.where(same, box_iou(fused.xyxy, prediction.xyxy), 0)
            best = (overlaps == overlaps.max(axis=0)) & (overlaps > 0)
            counts += ((overlaps >= iou) | best).any(axis=1)
    return counts
