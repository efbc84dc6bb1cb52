"""Several annotators' regions to one answer: weighted box fusion, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..results.geometry import box_iou
from ..results.records import Annotation, Annotator
from ..results.types import Boxes

FUSION = Annotator("fusion", "1")
MERGED = "merged with others"


@dataclass(frozen=True)
class Fused:
    """The fused boxes, with their scores, and how many trusted answers have each."""

    boxes: Boxes
    support: tuple[int, ...]


def fuse(
    answers: Sequence[Boxes], iou: float = 0.55, trusted: Sequence[Boxes] | None = None
) -> Fused:
    """Boxes of several annotators as one answer (weighted box fusion, of ``ensemble-boxes``).

    Boxes of a label that overlap by ``iou`` become their mean, weighted by score; its score falls
    with the share of annotators that did not find it. Boxes without scores count 1. Support is
    counted among the ``trusted`` answers (default: all), so that a fused box of doubtful ones alone
    has none. Raises ``ValueError`` when there is nothing to fuse or the pictures' sizes differ.
    """
    from ensemble_boxes import weighted_boxes_fusion

    sizes = {each.image_size for each in answers}
    if len(sizes) != 1:
        raise ValueError(f"fusion takes answers about one picture, got sizes {sorted(sizes)}")
    (size,) = sizes
    names = sorted({label for each in answers for label in each.labels})
    numbers = {name: number for number, name in enumerate(names)}
    whole = np.tile(np.asarray(size, np.float64), 2)
    parts = [_usable(each) for each in answers]
    xyxy, scores, labels = weighted_boxes_fusion(
        [(each.xyxy / whole).clip(0, 1).tolist() for each in parts],
        [([1.0] * len(each) if each.scores is None else each.scores.tolist()) for each in parts],
        [[numbers[label] for label in each.labels] for each in parts],
        iou_thr=iou,
    )
    fused = Boxes(
        np.asarray(xyxy, np.float64).reshape(-1, 4) * whole,
        [names[int(number)] for number in labels],
        size,
        scores=np.asarray(scores, np.float32),
    )
    support = _support(fused, parts if trusted is None else trusted, iou)
    # A mean of boxes may lie farther from each of them than they did from each other.
    least = 1 if trusted is None else 0
    return Fused(fused, tuple(max(least, int(count)) for count in support))


def agreement(first: Boxes, second: Boxes, iou: float = 0.5) -> tuple[int, int, int]:
    """Pairs of boxes with one label that overlap by ``iou``, and the boxes of each side."""
    same = np.asarray(first.labels, object)[:, None] == np.asarray(second.labels, object)[None]
    pairs = paired(np.where(same, box_iou(first.xyxy, second.xyxy), 0), iou)
    return len(pairs), len(first), len(second)


def paired(overlaps: NDArray[np.floating], least: float) -> list[tuple[int, int]]:
    """Rows and columns of ``overlaps`` of at least ``least``, the best first, each in one pair."""
    left, pairs = overlaps.copy(), []
    while left.size and left.max() >= least:
        row, column = np.unravel_index(left.argmax(), left.shape)
        left[row, :] = left[:, column] = 0
        pairs.append((int(row), int(column)))
    return pairs


def boxes_by(annotations: Sequence[Annotation], task: str) -> dict[str, Boxes]:
    """The boxes of the kept answers to ``task``, by annotator; the last of several counts."""
    return {
        each.annotator.name: each.answer
        for each in annotations
        if each.task == task and each.decision.kept and isinstance(each.answer, Boxes)
    }


def joined(parts: Sequence[Boxes]) -> Boxes:
    """The pieces into which verdicts cut an answer, as one; boxes without scores count 1."""
    return Boxes(
        np.concatenate([each.xyxy for each in parts]),
        [label for each in parts for label in each.labels],
        parts[0].image_size,
        scores=np.concatenate(
            [np.ones(len(each)) if each.scores is None else each.scores for each in parts]
        ),
    )


def _usable(boxes: Boxes) -> Boxes:
    """Without boxes that have no area, which fusion warns about and leaves out."""
    sides = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
    return boxes.select(np.flatnonzero((sides > 0).all(axis=1)))


def _support(fused: Boxes, answers: Sequence[Boxes], iou: float) -> NDArray[np.int64]:
    """How many answers have a box of the same label at each fused one.

    A box is at the fused ones that it overlaps by ``iou``, and at the one that it overlaps most.
    """
    counts = np.zeros(len(fused), np.int64)
    labels = np.asarray(fused.labels, object)
    for answer in answers:
        if len(answer) and len(fused):
            same = labels[:, None] == np.asarray(answer.labels, object)[None]
            overlaps = np.where(same, box_iou(fused.xyxy, answer.xyxy), 0)
            most = (overlaps == overlaps.max(axis=0)) & (overlaps > 0)
            counts += ((overlaps >= iou) | most).any(axis=1)
    return counts
