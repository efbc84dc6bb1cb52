"""COCO's average precision of any sample of images, from detections that are matched once.

Detections are matched with objects inside each image, so resampling images only changes how often
each match counts. The rules are those of the COCO tools (greedy by score, crowds are ignored, 100
detections per class and image, precision read at 101 recalls).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .detection import DetectedObjects, GroundTruthObjects, pair_images

MAX_DETECTIONS = 100
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The matches of the detections of one class, highest-scoring first, at each of T thresholds.

    ``images`` ``int[D]`` is the image of each detection; ``right`` and ``wrong`` are
    ``bool[T, D]`` (neither for a detection on a crowd); ``object_images`` ``int[G]`` is the image
    of each object.
    """

    images: IndexArray
    right: BoolArray
    wrong: BoolArray
    object_images: IndexArray

    def average_precisions(self, weights: FloatArray, chosen: slice) -> FloatArray | None:
        """The average precision at each selected threshold when images count ``weights`` times.

        None when no object is left. Detections of images with weight 0 repeat the point before
        them, and the copies of one detection lie between its neighbors: neither changes the
        envelope of precision.
        """
        objects = weights[self.object_images].sum()
        if not objects:
            return None
        weight = weights[self.images]
        right = np.cumsum(self.right[chosen] * weight, axis=1)
        wrong = np.cumsum(self.wrong[chosen] * weight, axis=1)
        precision = right / (right + wrong + np.spacing(1))
        envelope = np.zeros((len(precision), precision.shape[1] + 1))
        envelope[:, :-1] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # Recalls that are not reached read the zero at the end of the envelope.
        return np.asarray(
            [
                heights[np.searchsorted(recall, RECALLS)].mean()
                for recall, heights in zip(right / objects, envelope, strict=True)
            ]
        )


@dataclass(frozen=True, eq=False)
class ImageMatches:
    """The matches of every class in a set of ``images`` images."""

    images: int
    classes: Mapping[str, ClassMatches]

    def average_precision(
        self, image_counts: ArrayLike | None = None, iou: float | None = None
    ) -> float:
        """AP over ``IOUS``, or at one ``iou`` of them, when image i occurs ``image_counts[i]``
        times.

        Each image counts once by default. A sample without any object has AP 0.
        """
        weights = np.ones(self.images) if image_counts is None else _counts(image_counts)
        if len(weights) != self.images:
            raise ValueError(
                f"{self.images} images need the same number of counts, got {len(weights)}"
            )
        ious = slice(None) if iou is None else _only(iou)
        metrics = [each.average_precisions(weights, ious) for each in self.classes.values()]
        known = [metric for metric in metrics if metric is not None]
        return float(np.mean(known)) if known else 0.0


@dataclass
class _Collected:
    """The matches of a class, image by image."""

    images: list[IndexArray]
    scores: list[FloatArray]
    right: list[BoolArray]
    wrong: list[BoolArray]
    object_images: list[int]

    def ranked(self) -> ClassMatches:
        """All images together; equal scores rank in the order of the images."""
        sort_by_score = np.argsort(-np.concatenate(self.scores), kind="stable")
        return ClassMatches(
            np.concatenate(self.images)[sort_by_score],
            np.concatenate(self.right, axis=1)[:, sort_by_score],
            np.concatenate(self.wrong, axis=1)[:, sort_by_score],
            np.asarray(self.object_images, np.int64),
        )


def match_images(
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects]
) -> ImageMatches:
    """Match every detection with the objects of its class and image.

    Images are numbered in the order of ``ground_truths``, by which detections of equal score are
    ranked. Boxes must not be inverted: the COCO tools do not count such detections. Raises
    ``ValueError`` for repeated images and for detections on unknown ones.
    """
    pairs = pair_images(ground_truths, detections)
    collected: dict[str, _Collected] = defaultdict(lambda: _Collected([], [], [], [], []))
    for number, (ground_truth, found) in enumerate(pairs):
        true_of, found_of = _by_label(ground_truth.labels), _by_label(found.labels)
        for label in true_of.keys() | found_of.keys():
            objects = np.asarray(true_of[label], np.int64)
            ranked = np.asarray(found_of[label], np.int64)
            sort_by_score = np.argsort(-found.scores[ranked], kind="stable")[:MAX_DETECTIONS]
            ranked, crowd = ranked[sort_by_score], ground_truth.ignored[objects]
            overlap = _overlap(found.boxes[ranked], ground_truth.boxes[objects], crowd)
            right, wrong = _greedy(overlap, crowd)
            of_class = collected[label]
            of_class.images.append(np.full(len(ranked), number))
            of_class.scores.append(found.scores[ranked])
            of_class.right.append(right)
            of_class.wrong.append(wrong)
            of_class.object_images += [number] * int((~crowd).sum())
    classes = {label: collected[label].ranked() for label in sorted(collected)}
    return ImageMatches(len(pairs), classes)


def _greedy(overlap: FloatArray, crowd: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Which detections, the rows of ``overlap``, are right and which wrong, ``bool[10, D]``
    each."""
    shape = (len(IOUS), len(overlap))
    right, on_crowd = np.zeros(shape, bool), np.zeros(shape, bool)
    free = np.ones((len(IOUS), len(crowd)), bool)
    hopeful = (overlap >= IOUS[0]).any(axis=1)
    for row in np.flatnonzero(hopeful).tolist():
        near = free & (overlap[row] >= IOUS[:, None])
        eligible = np.where(near & ~crowd, overlap[row], -1.0)
        taken = eligible.max(axis=1) > 0
        # Of objects with equal overlap the COCO tools take the last one.
        choice = len(crowd) - 1 - eligible[:, ::-1].argmax(axis=1)
        free[taken, choice[taken]] = False
        right[:, row] = taken
        on_crowd[:, row] = ~taken & (near & crowd).any(axis=1)
    return right, ~right & ~on_crowd


def _overlap(found: FloatArray, true: FloatArray, crowd: BoolArray) -> FloatArray:
    """IoU ``float[D, G]`` of boxes; for a crowd the share of the detection that is on it.

    Computed from left, top, width and height as in the COCO tools: overlaps equal to a threshold
    would otherwise be rounded to its other side.
    """
    found_extent, true_extent = found[:, 2:] - found[:, :2], true[:, 2:] - true[:, :2]
    found_end, true_end = found[:, :2] + found_extent, true[:, :2] + true_extent
    start = np.maximum(found[:, None, :2], true[None, :, :2])
    common = np.minimum(found_end[:, None], true_end[None]) - start
    intersection = np.clip(common, 0, None).prod(axis=2)
    found_area = found_extent.prod(axis=1)[:, None]
    union = found_area + true_extent.prod(axis=1) - intersection
    whole = np.where(crowd, found_area, union)
    return np.divide(intersection, whole, out=np.zeros_like(whole), where=intersection > 0)


def _by_label(labels: Sequence[str]) -> defaultdict[str, list[int]]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    return places


def _counts(image_counts: ArrayLike) -> FloatArray:
    counts: NDArray[Any] = np.asarray(image_counts, np.float64)
    if counts.ndim != 1 or (counts < 0).any():
        raise ValueError(f"image counts must be [images] and not negative, got {counts}")
    return counts


def _only(iou: float) -> slice:
    """The one row of an IoU threshold."""
    place = int(np.abs(IOUS - iou).argmin())
    if abs(IOUS[place] - iou) > 1e-9:
        raise ValueError(f"iou must be one of {IOUS.round(2).tolist()}, got {iou}")
    return slice(place, place + 1)
