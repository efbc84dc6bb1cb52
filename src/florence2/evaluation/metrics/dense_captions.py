"""Dense captioning: a region must have the right location and the right description.

Johnson et al. 2016, "DenseCap", section 4.2, with the rules of the authors' scorer: true regions
that overlap are merged and share their descriptions; each detection, highest-scoring first, is
assigned to the region it overlaps most, and only the first one of a region can be correct. Average
precision is read at 101 recalls for each pair of an IoU and a METEOR threshold. IoU uses continuous
coordinates, where the authors include the last pixel.
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
    """The true regions of an image: boxes ``float[N, 4]``, one or more descriptions each."""

    boxes: FloatArray
    references: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class RegionPairs:
    """The detections ``[D]`` of all images and the true regions that they are assigned to.

    ``indices`` are those of detections in their image, ``regions`` in its ``MergedRegions``
    (-1 without overlap). ``first`` marks the highest-scoring detection of each region.
    ``region_images`` ``int[G]`` is the image of each true region.
    """

    images: IndexArray
    indices: IndexArray
    scores: FloatArray
    regions: IndexArray
    overlaps: FloatArray
    first: BoolArray
    region_images: IndexArray

    def hits(self, iou: float) -> BoolArray:
        """Which detections have found a region at this IoU, with any description."""
        return self.first & (self.overlaps >= iou)


def merge_regions(boxes: FloatArray, phrases: Sequence[str]) -> MergedRegions:
    """Regions with IoU of at least .7 merged into their mean box, the largest group first."""
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
    ground_truths: Sequence[MergedRegions], detections: Sequence[tuple[FloatArray, FloatArray]]
) -> RegionPairs:
    """Assign each detection of each image, ``(boxes float[D, 4], scores float[D])``, a region."""
    check_same_length(ground_truths, detections, "true and predicted images")
    rows: list[tuple[int, int, float, int, float, bool]] = []
    for number, (ground_truth, (boxes, scores)) in enumerate(
        zip(ground_truths, detections, strict=True)
    ):
        overlap = box_iou(boxes, ground_truth.boxes)
        taken: set[int] = set()
        for index in np.argsort(-scores, kind="stable").tolist():
            best = int(overlap[index].argmax()) if len(ground_truth.boxes) else -1
            height = float(overlap[index, best]) if best >= 0 else 0.0
            region = best if height > 0 else -1
            first = region >= 0 and region not in taken
            taken.add(region)
            rows.append((number, index, float(scores[index]), region, height, first))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    images, indices, scores_, regions, overlaps, firsts = columns
    return RegionPairs(
        np.asarray(images, np.int64),
        np.asarray(indices, np.int64),
        np.asarray(scores_, np.float64),
        np.asarray(regions, np.int64),
        np.asarray(overlaps, np.float64),
        np.asarray(firsts, bool),
        np.repeat(
            np.arange(len(ground_truths)),
            [len(ground_truth.boxes) for ground_truth in ground_truths],
        ),
    )


def rank_pairs(pairs: RegionPairs, meteors: FloatArray | None = None) -> ClassMatches:
    """The detections as average precision ranks them, one row for each threshold.

    With ``meteors`` ``float[D]`` there is a row for each pair of an IoU and a METEOR threshold,
    whose mean is DenseCap's mAP; without them a row for each IoU.
    """
    order = np.argsort(-pairs.scores, kind="stable")
    rows = [pairs.hits(iou) for iou in IOUS]
    if meteors is not None:
        check_same_length(meteors, pairs.scores, "METEOR scores and detections")
        rows = [row & (meteors > least) for row in rows for least in METEORS]
    right = np.stack(rows)[:, order]
    return ClassMatches(pairs.images[order], right, ~right, pairs.region_images)
