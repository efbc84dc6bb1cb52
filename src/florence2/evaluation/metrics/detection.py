"""Boxes of an image, true and detected, and the counts that need no ranking over images.

Boxes are ``float[N, 4]`` as ``(x0, y0, x1, y1)`` in pixels.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...results.geometry import box_iou, match_closest
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
class GroundTruthObjects:
    """The true objects of one image.

    ``ignored`` marks objects that count neither as found nor as missed, such as crowds in COCO.
    ``areas`` sort objects into small, medium and large; by default those of the boxes.
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
    """The objects that a model detected in one image; without ``scores`` all have score 1."""

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
        values = np.ones(len(names)) if scores is None else np.asarray(scores, np.float64)
        check_finite(values, f"scores of image {image_id!r}")
        _set(
            self,
            image_id=image_id,
            boxes=_boxes(boxes, image_id),
            labels=names,
            scores=values,
        )


@dataclass(frozen=True)
class MatchCounts:
    """Counts of a one-to-one matching with their precision, recall and F1 (0 where undefined)."""

    matched: int
    detected: int
    true: int

    @classmethod
    def of(cls, counts: Iterable[float]) -> MatchCounts:
        """From a row of ``count_matches``, or a sum of rows."""
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
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects]
) -> list[tuple[GroundTruthObjects, DetectedObjects]]:
    """Each true image with its detections, empty where there are none.

    Raises ValueError for repeated images and for detections on unknown ones.
    """
    check_not_empty(ground_truths, "images")
    check_unique(
        (ground_truth.image_id for ground_truth in ground_truths), "image ids of the ground truth"
    )
    check_unique((found.image_id for found in detections), "image ids of the detections")
    known = {ground_truth.image_id for ground_truth in ground_truths}
    check_known((found.image_id for found in detections), known, "images of the detections")
    found_in = {found.image_id: found for found in detections}
    return [
        (
            ground_truth,
            found_in.get(ground_truth.image_id, DetectedObjects(ground_truth.image_id, [], [])),
        )
        for ground_truth in ground_truths
    ]


def match_objects(
    ground_truth: GroundTruthObjects,
    found: DetectedObjects,
    iou: float = 0.5,
    *,
    by_class: bool = True,
) -> NDArray[np.int64]:
    """Pairs ``int[K, 2]`` of (true, detected) indices, each index once, the closest pairs first.

    A pair has IoU of at least ``iou`` and, with ``by_class``, one label. Scores do not count.
    """
    overlap = box_iou(ground_truth.boxes, found.boxes)
    if by_class:
        same = _names(ground_truth.labels)[:, None] == _names(found.labels)[None, :]
        overlap = np.where(same, overlap, -1)
    return match_closest(overlap, iou)


def count_matches(
    ground_truths: Sequence[GroundTruthObjects],
    detections: Sequence[DetectedObjects],
    iou: float = 0.5,
    *,
    by_class: bool = True,
) -> NDArray[np.int64]:
    """``int[images, 3]``: matched, detected and true objects of each image.

    Ignored objects and the detections that match them are not counted.
    """
    rows = []
    for ground_truth, found in pair_images(ground_truths, detections):
        ignored = ground_truth.ignored
        pairs = match_objects(ground_truth, found, iou, by_class=by_class)
        on_ignored = int(ignored[pairs[:, 0]].sum())
        rows.append(
            (
                len(pairs) - on_ignored,
                len(found.labels) - on_ignored,
                len(ground_truth.labels) - int(ignored.sum()),
            )
        )
    return np.asarray(rows, dtype=np.int64)


def summed_f1(counts: Iterable[float]) -> float:
    """F1 of a row of ``count_matches``, or of a sum of rows."""
    return MatchCounts.of(counts).f1


def single_f1s(counts: ArrayLike) -> FloatArray:
    """F1 of each row ``float[images]``; 1 without true and without detected objects."""
    rows = [MatchCounts.of(row) for row in np.asarray(counts).tolist()]
    return np.asarray([each.f1 if each.detected + each.true else 1.0 for each in rows])


def proposal_hits(
    ground_truths: Sequence[GroundTruthObjects],
    detections: Sequence[DetectedObjects],
    top: int = 100,
    ious: Sequence[float] = COCO_IOUS,
) -> NDArray[np.int64]:
    """``int[images, len(ious) + 1]``: objects found at each IoU, then the number of objects.

    Labels do not count. The ``top`` highest-scoring boxes of an image are matched in order of
    score, each with the free object it overlaps most, as COCO does without categories.
    """
    rows = []
    for ground_truth, found in pair_images(ground_truths, detections):
        best = np.argsort(-found.scores, kind="stable")[:top]
        targets = ground_truth.boxes[~ground_truth.ignored]
        overlap = box_iou(found.boxes[best], targets)
        rows.append([_greedy_hits(overlap, iou) for iou in ious] + [len(targets)])
    return np.asarray(rows, dtype=np.int64)


def _greedy_hits(overlap: NDArray[np.floating[Any]], iou: float) -> int:
    """The number of columns that are taken when rows are matched one after another."""
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


def _set(objects: GroundTruthObjects | DetectedObjects, **values: Any) -> None:
    """Set the fields of a frozen value; every field with objects must be as long as the labels."""
    for name, value in values.items():
        if name != "image_id" and value is not None:
            what = f"{name} and labels of image {values['image_id']!r}"
            check_same_length(value, values["labels"], what)
        object.__setattr__(objects, name, value)


def _names(labels: Sequence[str]) -> NDArray[np.object_]:
    return np.asarray(list(labels), dtype=object)
