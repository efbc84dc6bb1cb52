"""Text in images: the ICDAR metric for words with outlines, error rates for transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .edit_distance import edit_distance
from .input_checks import check_not_empty, check_same_length
from .polygon_overlap import common_areas, divide_areas, get_areas, to_shapes

ICDAR_IOU = 0.5
ICDAR_COVER = 0.5


@dataclass(frozen=True, eq=False)
class TextRegions:
    """The words of one image: outlines ``float[K, 2]`` and texts.

    ``ignored`` marks illegible words of the ground truth, which do not count (``###`` in ICDAR's
    files).
    """

    outlines: Sequence[ArrayLike]
    texts: Sequence[str]
    ignored: Sequence[bool] = ()

    def __post_init__(self) -> None:
        check_same_length(self.outlines, self.texts, "outlines and texts")
        if self.ignored:
            check_same_length(self.ignored, self.texts, "marks and texts")

    @property
    def scored(self) -> NDArray[np.bool_]:
        """``bool[N]``: the words that count."""
        return ~np.asarray(self.ignored, bool) if self.ignored else np.ones(len(self.texts), bool)


def icdar_counts(
    ground_truths: Sequence[TextRegions],
    predictions: Sequence[TextRegions],
    *,
    end_to_end: bool = False,
) -> NDArray[np.int64]:
    """``int[images, 3]``: matched words, predicted words and true words by ICDAR 2015's rules.

    A predicted outline of which more than half is inside an ignored word does not count. The
    others match one to one with IoU above .5, in the order of the ground truth; with
    ``end_to_end`` the texts must be equal too, without regard to case.
    """
    check_not_empty(ground_truths, "images")
    check_same_length(ground_truths, predictions, "true and predicted images")
    rows = [
        _count_image(true, predicted, end_to_end)
        for true, predicted in zip(ground_truths, predictions, strict=True)
    ]
    return np.asarray(rows, dtype=np.int64)


def character_errors(predictions: Sequence[str], ground_truths: Sequence[str]) -> NDArray[np.int64]:
    """``int[N, 2]``: characters to edit and characters of the ground truth, by transcript.

    The character error rate is the ratio of the two sums.
    """
    check_not_empty(ground_truths, "transcripts")
    check_same_length(predictions, ground_truths, "predicted and true transcripts")
    pairs = zip(predictions, ground_truths, strict=True)
    return np.asarray([(edit_distance(each, true), len(true)) for each, true in pairs], np.int64)


def _count_image(
    ground_truth: TextRegions, predicted: TextRegions, end_to_end: bool
) -> tuple[int, int, int]:
    true_shapes, found_shapes = to_shapes(ground_truth.outlines), to_shapes(predicted.outlines)
    common = common_areas(true_shapes, found_shapes)
    true_areas, found_areas = get_areas(true_shapes), get_areas(found_shapes)
    cover = np.divide(common, found_areas, out=np.zeros(common.shape), where=found_areas > 0)
    true_counts = ground_truth.scored
    found_counts = ~(cover[~true_counts] > ICDAR_COVER).any(axis=0)
    overlap = divide_areas(common, true_areas, found_areas)
    free = set(np.flatnonzero(found_counts).tolist())
    matched = 0
    for row in np.flatnonzero(true_counts).tolist():
        partner = next((index for index in sorted(free) if overlap[row, index] > ICDAR_IOU), None)
        if partner is None:
            continue
        free.discard(partner)
        same_text = ground_truth.texts[row].upper() == predicted.texts[partner].upper()
        matched += int(same_text or not end_to_end)
    return matched, int(found_counts.sum()), int(true_counts.sum())
