"""COCO's average precision of any draw of pictures, from detections that were matched once.

Which detection takes which object is settled within each picture: drawing pictures only changes
how often each of these decisions counts. The rules are those of the COCO tools (greedy by score,
crowds count neither way, 100 detections a class and picture, precision read at 101 recalls).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .detection import DetectedObjects, TrueObjects, pair_images

MOST_DETECTIONS = 100
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """What became of the detections of one class, surest first, at each of T thresholds.

    `pictures` `int[D]` is where each detection was made; `right` and `wrong` are `bool[T, D]`
    (neither, for one that lies on a crowd); `object_pictures` `int[G]` is where the objects are.
    """

    pictures: IndexArray
    right: BoolArray
    wrong: BoolArray
    object_pictures: IndexArray

    def average_precisions(self, weights: FloatArray, chosen: slice) -> FloatArray | None:
        """The figure at each chosen threshold when pictures count `weights` times.

        None when there is then no object. Detections of pictures that count for nothing repeat the
        point before them, and the copies of one detection lie between its neighbours: neither moves
        the envelope of precision.
        """
        objects = weights[self.object_pictures].sum()
        if not objects:
            return None
        weight = weights[self.pictures]
        right = np.cumsum(self.right[chosen] * weight, axis=1)
        wrong = np.cumsum(self.wrong[chosen] * weight, axis=1)
        precision = right / (right + wrong + np.spacing(1))
        envelope = np.zeros((len(precision), precision.shape[1] + 1))
        envelope[:, :-1] = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # Recalls that are never reached fall on the zero at the end of the envelope.
        return np.asarray(
            [
                heights[np.searchsorted(recall, RECALLS)].mean()
                for recall, heights in zip(right / objects, envelope, strict=True)
            ]
        )


@dataclass(frozen=True, eq=False)
class PictureMatches:
    """The matches of every class of a data set of so many pictures."""

    pictures: int
    classes: Mapping[str, ClassMatches]

    def average_precision(
        self, picture_counts: ArrayLike | None = None, iou: float | None = None
    ) -> float:
        """AP over `IOUS`, or at one `iou` of them, when picture i occurs `picture_counts[i]` times.

        Each picture counts once when the counts are left out. A draw without any object has 0.
        """
        weights = np.ones(self.pictures) if picture_counts is None else _counts(picture_counts)
        if len(weights) != self.pictures:
            raise ValueError(f"{self.pictures} pictures need as many counts, got {len(weights)}")
        ious = slice(None) if iou is None else _only(iou)
        figures = [each.average_precisions(weights, ious) for each in self.classes.values()]
        known = [figure for figure in figures if figure is not None]
        return float(np.mean(known)) if known else 0.0


@dataclass
class _Collected:
    """The matches of a class, picture by picture."""

    pictures: list[IndexArray]
    scores: list[FloatArray]
    right: list[BoolArray]
    wrong: list[BoolArray]
    object_pictures: list[int]

    def ranked(self) -> ClassMatches:
        """All pictures together; equal scores rank in the order of the pictures."""
        sort_by_score = np.argsort(-np.concatenate(self.scores), kind="stable")
        return ClassMatches(
            np.concatenate(self.pictures)[sort_by_score],
            np.concatenate(self.right, axis=1)[:, sort_by_score],
            np.concatenate(self.wrong, axis=1)[:, sort_by_score],
            np.asarray(self.object_pictures, np.int64),
        )


def match_pictures(
    truths: Sequence[TrueObjects], detections: Sequence[DetectedObjects]
) -> PictureMatches:
    """Every detection matched with the objects of its class and picture.

    Pictures are numbered in the order of `truths`, in which detections of equal score rank. No box
    may end before it begins: the COCO tools do not count such detections. Raises ValueError for
    repeated pictures and for detections on unknown ones.
    """
    pairs = pair_images(truths, detections)
    collected: dict[str, _Collected] = defaultdict(lambda: _Collected([], [], [], [], []))
    for number, (truth, found) in enumerate(pairs):
        true_of, found_of = _by_label(truth.labels), _by_label(found.labels)
        for label in true_of.keys() | found_of.keys():
            objects = np.asarray(true_of[label], np.int64)
            ranked = np.asarray(found_of[label], np.int64)
            sort_by_score = np.argsort(-found.scores[ranked], kind="stable")[:MOST_DETECTIONS]
            ranked, crowd = ranked[sort_by_score], truth.ignored[objects]
            overlap = _overlap(found.boxes[ranked], truth.boxes[objects], crowd)
            right, wrong = _greedy(overlap, crowd)
            of_class = collected[label]
            of_class.pictures.append(np.full(len(ranked), number))
            of_class.scores.append(found.scores[ranked])
            of_class.right.append(right)
            of_class.wrong.append(wrong)
            of_class.object_pictures += [number] * int((~crowd).sum())
    classes = {label: collected[label].ranked() for label in sorted(collected)}
    return PictureMatches(len(pairs), classes)


def _greedy(overlap: FloatArray, crowd: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Which detections, the rows of `overlap`, are right and which wrong, `bool[10, D]` each."""
    shape = (len(IOUS), len(overlap))
    right, on_crowd = np.zeros(shape, bool), np.zeros(shape, bool)
    free = np.ones((len(IOUS), len(crowd)), bool)
    hopeful = (overlap >= IOUS[0]).any(axis=1)
    for row in np.flatnonzero(hopeful).tolist():
        near = free & (overlap[row] >= IOUS[:, None])
        eligible = np.where(near & ~crowd, overlap[row], -1.0)
        taken = eligible.max(axis=1) > 0
        # Of objects with equal overlap the COCO tools take the last.
        choice = len(crowd) - 1 - eligible[:, ::-1].argmax(axis=1)
        free[taken, choice[taken]] = False
        right[:, row] = taken
        on_crowd[:, row] = ~taken & (near & crowd).any(axis=1)
    return right, ~right & ~on_crowd


def _overlap(found: FloatArray, true: FloatArray, crowd: BoolArray) -> FloatArray:
    """IoU `float[D, G]` of boxes; for a crowd the share of the detection that lies on it.

    Reckoned from left, top, width and height as the COCO tools do: overlaps that lie on a
    threshold would otherwise fall on its other side by rounding.
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


def _counts(picture_counts: ArrayLike) -> FloatArray:
    counts: NDArray[Any] = np.asarray(picture_counts, np.float64)
    if counts.ndim != 1 or (counts < 0).any():
        raise ValueError(f"picture counts must be [pictures], none below 0, got {counts}")
    return counts


def _only(iou: float) -> slice:
    """The one row of an IoU threshold."""
    place = int(np.abs(IOUS - iou).argmin())
    if abs(IOUS[place] - iou) > 1e-9:
        raise ValueError(f"iou must be one of {IOUS.round(2).tolist()}, got {iou}")
    return slice(place, place + 1)
