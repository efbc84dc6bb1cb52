"""Boxes of a picture, true and detected, and the figures that need no ranking over pictures.

`TrueObjects` and `DetectedObjects` are what `coco` and `voc` score too. Boxes are
`float[N, 4]` as `(x0, y0, x1, y1)` in pixels.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.geometry import box_iou
from .input_checks import (
    check_finite,
    check_known,
    check_not_empty,
    check_same_length,
    check_unique,
)

COCO_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """What one picture truly holds.

    `ignored` marks objects that count neither way: crowds in COCO, difficult ones in VOC.
    `areas` are the areas by which COCO sorts objects into small, medium and large (by default
    those of the boxes).
    """

    image_id: Hashable
    boxes: FloatArray
    labels: tuple[str, ...]
    ignored: NDArray[np.bool_]
    areas: FloatArray | None

    def __init__(
        self,
        image_id: Hashable,
        boxes: ArrayLike,
        labels: Iterable[str],
        ignored: ArrayLike | None = None,
        areas: ArrayLike | None = None,
    ) -> None:
        names = tuple(labels)
        marks = np.zeros(len(names), bool) if ignored is None else np.asarray(ignored, bool)
        _set(
            self,
            image_id=image_id,
            boxes=_boxes(boxes, image_id),
            labels=names,
            ignored=marks,
            areas=None if areas is None else np.asarray(areas, np.float64),
        )


@dataclass(frozen=True, eq=False)
class DetectedObjects:
    """What a model found in one picture; without `scores` every detection is as sure."""

    image_id: Hashable
    boxes: FloatArray
    labels: tuple[str, ...]
    scores: FloatArray

    def __init__(
        self,
        image_id: Hashable,
        boxes: ArrayLike,
        labels: Iterable[str],
        scores: ArrayLike | None = None,
    ) -> None:
        names = tuple(labels)
        sureness = np.ones(len(names)) if scores is None else np.asarray(scores, np.float64)
        check_finite(sureness, f"scores of image {image_id!r}")
        _set(
            self,
            image_id=image_id,
            boxes=_boxes(boxes, image_id),
            labels=names,
            scores=sureness,
        )


@dataclass(frozen=True)
class Agreement:
    """Counts of a one-to-one matching with their precision, recall and F1 (0 where undefined)."""

    matched: int
    detected: int
    true: int

    @classmethod
    def of(cls, counts: Iterable[float]) -> Agreement:
        """From a row of `agreement_counts`, or the sum of some."""
        return cls(*(int(count) for count in counts))

    @property
    def precision(self) -> float:
        """The matched share of the detections."""
        return self.matched / self.detected if self.detected else 0.0

    @property
    def recall(self) -> float:
        """The matched share of the true objects."""
        return self.matched / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.detected + self.true
        return 2 * self.matched / total if total else 0.0


def pair_images(
    truths: Sequence[TrueObjects], detections: Sequence[DetectedObjects]
) -> list[tuple[TrueObjects, DetectedObjects]]:
    """Each true picture with its detections, none where the model was silent.

    Raises ValueError for repeated pictures and for detections on unknown ones.
    """
    check_not_empty(truths, "images")
    check_unique((truth.image_id for truth in truths), "image ids of the ground truth")
    check_unique((found.image_id for found in detections), "image ids of the detections")
    known = {truth.image_id for truth in truths}
    check_known((found.image_id for found in detections), known, "images of the detections")
    found_in = {found.image_id: found for found in detections}
    return [
        (truth, found_in.get(truth.image_id, DetectedObjects(truth.image_id, [], [])))
        for truth in truths
    ]


def match_objects(
    truth: TrueObjects, found: DetectedObjects, iou: float = 0.5, *, by_class: bool = True
) -> NDArray[np.int64]:
    """Pairs `int[K, 2]` of (true, detected) indices, each index once, the closest pairs first.

    A pair needs IoU of at least `iou` and, with `by_class`, the same label. Scores play no part.
    """
    overlap = box_iou(truth.boxes, found.boxes)
    allowed = overlap >= iou
    if by_class:
        allowed &= _names(truth.labels)[:, None] == _names(found.labels)[None, :]
    candidates = np.argwhere(allowed)
    closest_first = np.argsort(-overlap[allowed], kind="stable")
    taken_true: set[int] = set()
    taken_found: set[int] = set()
    pairs = []
    for true_index, found_index in candidates[closest_first].tolist():
        if true_index not in taken_true and found_index not in taken_found:
            taken_true.add(true_index)
            taken_found.add(found_index)
            pairs.append((true_index, found_index))
    return np.asarray(pairs, dtype=np.int64).reshape(-1, 2)


def agreement_counts(
    truths: Sequence[TrueObjects],
    detections: Sequence[DetectedObjects],
    iou: float = 0.5,
    *,
    by_class: bool = True,
) -> NDArray[np.int64]:
    """`int[images, 3]`: matched, detected and true objects of each picture.

    Detections that match an ignored object are left out of the count, as are those objects.
    """
    rows = []
    for truth, found in pair_images(truths, detections):
        ignored = truth.ignored
        pairs = match_objects(truth, found, iou, by_class=by_class)
        on_ignored = int(ignored[pairs[:, 0]].sum())
        rows.append(
            (
                len(pairs) - on_ignored,
                len(found.labels) - on_ignored,
                len(truth.labels) - int(ignored.sum()),
            )
        )
    return np.asarray(rows, dtype=np.int64)


def summed_f1(counts: Iterable[float]) -> float:
    """F1 of a row of `agreement_counts`, or of the sum of some."""
    return Agreement.of(counts).f1


def single_f1s(counts: ArrayLike) -> FloatArray:
    """F1 of each row `float[images]`; 1 where nothing was there and nothing was found."""
    rows = [Agreement.of(row) for row in np.asarray(counts).tolist()]
    return np.asarray([each.f1 if each.detected + each.true else 1.0 for each in rows])


def proposal_hits(
    truths: Sequence[TrueObjects],
    detections: Sequence[DetectedObjects],
    top: int = 100,
    ious: Sequence[float] = COCO_IOUS,
) -> NDArray[np.int64]:
    """`int[images, len(ious) + 1]`: objects found at each IoU, last the objects there are.

    Labels play no part. The `top` surest boxes of a picture choose in order of score, each the
    free object it overlaps most, as COCO matches with categories left out.
    """
    rows = []
    for truth, found in pair_images(truths, detections):
        best = np.argsort(-found.scores, kind="stable")[:top]
        wanted = truth.boxes[~truth.ignored]
        overlap = box_iou(found.boxes[best], wanted)
        rows.append([_greedy_hits(overlap, iou) for iou in ious] + [len(wanted)])
    return np.asarray(rows, dtype=np.int64)


def _greedy_hits(overlap: NDArray[np.floating[Any]], iou: float) -> int:
    """How many columns are taken when the rows choose one after another."""
    if not overlap.size:
        return 0
    free = overlap.copy()
    hits = 0
    for row in range(len(free)):
        choice = int(free[row].argmax())
        if free[row, choice] >= iou:
            free[:, choice] = -1
            hits += 1
    return hits


def _boxes(boxes: ArrayLike, image_id: Hashable) -> FloatArray:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes of image {image_id!r} must be [N, 4], got {list(array.shape)}")
    check_finite(array, f"boxes of image {image_id!r}")
    return array


def _set(objects: TrueObjects | DetectedObjects, **values: Any) -> None:
    """Fill a frozen value; every field that lists objects must be as long as the labels."""
    for name, value in values.items():
        if name != "image_id" and value is not None:
            what = f"{name} and labels of image {values['image_id']!r}"
            check_same_length(value, values["labels"], what)
        object.__setattr__(objects, name, value)


def _names(labels: Sequence[str]) -> NDArray[np.object_]:
    return np.asarray(list(labels), dtype=object)
