"""Dense captioning: regions that must be in the right place and rightly described at once.

Johnson et al. 2016, "DenseCap", section 4.2, with the rules of the authors' scorer: true regions
that overlap are merged and share their descriptions; each detection, surest first, goes to the
region it overlaps most, and only the first to come there can be right. Average precision is read
at 101 recalls for each pair of an IoU and a METEOR threshold. IoU is taken on continuous
coordinates, where the authors count the last pixel in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...results.geometry import box_iou
from .input_checks import check_same_length
from .resampling import BoolArray, ClassMatches, FloatArray, IndexArray

IOUS = (0.3, 0.4, 0.5, 0.6, 0.7)
METEORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
MERGING_IOU = 0.7


@dataclass(frozen=True, eq=False)
class MergedRegions:
    """The true regions of a picture: boxes `float[N, 4]`, one or more descriptions each."""

    boxes: FloatArray
    references: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class RegionPairs:
    """The detections `[D]` of all pictures beside the true regions that they went to.

    `regions` are places in the picture's `MergedRegions`, -1 where there is no overlap; `first`
    marks those that no surer detection preceded there. `true_pictures` `int[G]` is where each true
    region is.
    """

    pictures: IndexArray
    places: IndexArray
    scores: FloatArray
    regions: IndexArray
    overlaps: FloatArray
    first: BoolArray
    true_pictures: IndexArray

    def hits(self, iou: float) -> BoolArray:
        """Which detections have found a region at this IoU, whatever they say of it."""
        return self.first & (self.overlaps >= iou)


def merge_regions(boxes: FloatArray, phrases: Sequence[str]) -> MergedRegions:
    """Regions with IoU of at least .7 made one, their boxes' mean, the fullest groups first."""
    check_same_length(boxes, phrases, "boxes and phrases")
    near = (box_iou(boxes, boxes) >= MERGING_IOU) | np.eye(len(boxes), dtype=bool)
    merged: list[NDArray[np.float64]] = []
    references = []
    while near.any():
        group = np.flatnonzero(near[near.sum(axis=1).argmax()])
        merged.append(boxes[group].mean(axis=0))
        references.append(tuple(phrases[index] for index in group.tolist()))
        near[group] = False
        near[:, group] = False
    return MergedRegions(np.asarray(merged, np.float64).reshape(-1, 4), tuple(references))


def pair_regions(
    truths: Sequence[MergedRegions], detections: Sequence[tuple[FloatArray, FloatArray]]
) -> RegionPairs:
    """Each detection of each picture, `(boxes float[D, 4], scores float[D])`, with its region.

    `places` of the result are the detections' numbers in their picture.
    """
    check_same_length(truths, detections, "true and predicted pictures")
    rows: list[tuple[int, int, float, int, float, bool]] = []
    for number, (truth, (boxes, scores)) in enumerate(zip(truths, detections, strict=True)):
        overlap = box_iou(boxes, truth.boxes)
        taken: set[int] = set()
        for place in np.argsort(-scores, kind="stable").tolist():
            best = int(overlap[place].argmax()) if len(truth.boxes) else -1
            height = float(overlap[place, best]) if best >= 0 else 0.0
            region = best if height > 0 else -1
            first = region >= 0 and region not in taken
            taken.add(region)
            rows.append((number, place, float(scores[place]), region, height, first))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    pictures, places, scores_, regions, overlaps, firsts = columns
    return RegionPairs(
        np.asarray(pictures, np.int64),
        np.asarray(places, np.int64),
        np.asarray(scores_, np.float64),
        np.asarray(regions, np.int64),
        np.asarray(overlaps, np.float64),
        np.asarray(firsts, bool),
        np.repeat(np.arange(len(truths)), [len(truth.boxes) for truth in truths]),
    )


def rank_pairs(pairs: RegionPairs, meteors: FloatArray | None = None) -> ClassMatches:
    """The detections as average precision ranks them, one row a threshold.

    With `meteors` `float[D]`, a row for each pair of an IoU and a METEOR that must be exceeded,
    whose mean is DenseCap's mAP; without, a row for each IoU, for the boxes alone.
    """
    order = np.argsort(-pairs.scores, kind="stable")
    rows = [pairs.hits(iou) for iou in IOUS]
    if meteors is not None:
        check_same_length(meteors, pairs.scores, "METEOR scores and detections")
        rows = [row & (meteors > least) for row in rows for least in METEORS]
    right = np.stack(rows)[:, order]
    return ClassMatches(pairs.pictures[order], right, ~right, pairs.true_pictures)
