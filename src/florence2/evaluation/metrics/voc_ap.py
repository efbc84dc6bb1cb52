"""Average precision as PASCAL VOC defines it (Everingham et al. 2010, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...results.geometry import box_iou
from .detection import DetectedObjects, TrueObjects, pair_images

Interpolation = Literal["every", "eleven"]
FloatArray = NDArray[np.float64]
Pairs = list[tuple[TrueObjects, DetectedObjects]]


@dataclass(frozen=True)
class VocFigures:
    """Average precision of each class that has an object, and their mean."""

    per_class: dict[str, float]

    @property
    def mean(self) -> float:
        """mAP: the mean over classes."""
        return float(np.mean(list(self.per_class.values()))) if self.per_class else 0.0


def voc_average_precision(
    truths: Sequence[TrueObjects],
    detections: Sequence[DetectedObjects],
    iou: float = 0.5,
    *,
    interpolation: Interpolation = "every",
    legacy_pixels: bool = False,
) -> VocFigures:
    """Average precision per class at one IoU.

    `interpolation="eleven"` reads precision at recall 0, .1 ... 1 (VOC 2007); `"every"` takes the
    whole area under the falling envelope (since VOC 2010). With `legacy_pixels` a box from x0 to x1
    is `x1 - x0 + 1` wide, as in the development kit. Detections of equal score rank in the order in
    which they are given. Objects marked `ignored` are VOC's difficult ones.
    """
    pairs = pair_images(truths, detections)
    classes = sorted({label for truth in truths for label in truth.labels})
    figures = {}
    for name in classes:
        precision, recall = precision_recall(pairs, name, iou, legacy_pixels=legacy_pixels)
        if recall is not None:
            figures[name] = _area(precision, recall, interpolation)
    return VocFigures(figures)


def precision_recall(
    pairs: Pairs, name: str, iou: float, *, legacy_pixels: bool = False
) -> tuple[FloatArray, FloatArray | None]:
    """Precision and recall after each detection of a class, surest first.

    Recall is None when the class has no object that counts.
    """
    outcomes: list[NDArray[np.int64]] = []
    scores: list[FloatArray] = []
    objects = 0
    for truth, found in pairs:
        is_true = np.asarray([label == name for label in truth.labels], bool)
        is_found = np.asarray([label == name for label in found.labels], bool)
        objects += int((is_true & ~truth.ignored).sum())
        order = np.argsort(-found.scores[is_found], kind="stable")
        boxes = found.boxes[is_found][order]
        overlap = _overlap(boxes, truth.boxes[is_true], legacy_pixels)
        outcomes.append(_outcomes(overlap, truth.ignored[is_true], iou))
        scores.append(found.scores[is_found][order])
    ranking = np.argsort(-np.concatenate(scores), kind="stable")
    outcome = np.concatenate(outcomes)[ranking]
    outcome = outcome[outcome >= 0]
    right = np.cumsum(outcome == 1)
    precision = right / np.arange(1, len(outcome) + 1)
    return precision, right / objects if objects else None


def _outcomes(overlap: FloatArray, ignored: NDArray[np.bool_], iou: float) -> NDArray[np.int64]:
    """For each detection of a picture, surest first: 1 right, 0 wrong, -1 on an ignored object.

    A detection stands by the object it overlaps most; when a surer one has that object already it
    is wrong, even if another object would still be free.
    """
    outcomes = np.zeros(len(overlap), np.int64)
    taken: set[int] = set()
    for row in range(len(overlap) if overlap.size else 0):
        choice = int(overlap[row].argmax())
        if overlap[row, choice] < iou:
            continue
        if ignored[choice]:
            outcomes[row] = -1
        elif choice not in taken:
            taken.add(choice)
            outcomes[row] = 1
    return outcomes


def _overlap(boxes: FloatArray, others: FloatArray, legacy_pixels: bool) -> FloatArray:
    wider = np.asarray([0, 0, 1, 1] if legacy_pixels else [0, 0, 0, 0], np.float64)
    return np.asarray(box_iou(boxes + wider, others + wider), np.float64)


def _area(precision: FloatArray, recall: FloatArray, interpolation: Interpolation) -> float:
    """The area under precision over recall, precision made falling from the right."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "eleven":
        first = np.searchsorted(recall, np.linspace(0, 1, 11))
        return float(np.append(envelope, 0.0)[first].mean())
    if interpolation == "every":
        steps = np.diff(recall, prepend=0.0)
        return float((steps * envelope).sum())
    raise ValueError(f"interpolation must be 'every' or 'eleven', got {interpolation!r}")
