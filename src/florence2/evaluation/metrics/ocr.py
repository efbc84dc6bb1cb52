"""Text found in pictures: the ICDAR figure for words in place, error rates for transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .edit_distance import edit_distance
from .input_checks import check_not_empty, check_same_length
from .polygon_overlap import common_areas, to_shapes

ICDAR_IOU = 0.5
ICDAR_COVER = 0.5


@dataclass(frozen=True, eq=False)
class TextRegions:
    """The words of one picture: outlines `float[K, 2]`, what they say, and which not to score.

    `ignored` marks the truth's illegible words (written `###` in ICDAR's files).
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
        """`bool[N]`: the words that count."""
        return ~np.asarray(self.ignored, bool) if self.ignored else np.ones(len(self.texts), bool)


def icdar_counts(
    truths: Sequence[TextRegions],
    predictions: Sequence[TextRegions],
    *,
    end_to_end: bool = False,
) -> NDArray[np.int64]:
    """`int[pictures, 3]`: words matched, words predicted and true words, as ICDAR 2015 counts.

    A predicted outline that lies by more than half within an ignored word does not count. The
    others match one to one with IoU above .5, in the order of the truth; with `end_to_end` the
    texts must agree too, but for case.
    """
    check_not_empty(truths, "pictures")
    check_same_length(truths, predictions, "true and predicted pictures")
    rows = [
        _icdar_picture(truth, predicted, end_to_end)
        for truth, predicted in zip(truths, predictions, strict=True)
    ]
    return np.asarray(rows, dtype=np.int64)


def character_errors(predictions: Sequence[str], truths: Sequence[str]) -> NDArray[np.int64]:
    """`int[N, 2]`: characters to edit and characters of the truth, for each transcript."""
    check_not_empty(truths, "transcripts")
    check_same_length(predictions, truths, "predicted and true transcripts")
    pairs = zip(predictions, truths, strict=True)
    return np.asarray([(edit_distance(each, truth), len(truth)) for each, truth in pairs], np.int64)


def error_rate(counts: NDArray[np.integer]) -> float:
    """Edits over the truth's length, summed over transcripts: CER or WER; may exceed 1."""
    check_not_empty(counts, "transcripts")
    edits, length = counts.sum(axis=0)
    if not length:
        raise ValueError("the true transcripts are all empty: an error rate needs some truth")
    return float(edits / length)


def _icdar_picture(
    truth: TextRegions, predicted: TextRegions, end_to_end: bool
) -> tuple[int, int, int]:
    true_shapes, found_shapes = to_shapes(truth.outlines), to_shapes(predicted.outlines)
    common = common_areas(true_shapes, found_shapes)
    true_areas = np.asarray([shape.area for shape in true_shapes])
    found_areas = np.asarray([shape.area for shape in found_shapes])
    cover = _ratio(common, np.broadcast_to(found_areas, common.shape))
    counts_true = truth.scored
    counts_found = ~(cover[~counts_true] > ICDAR_COVER).any(axis=0)
    overlap = _ratio(common, true_areas[:, None] + found_areas[None, :] - common)
    free = set(np.flatnonzero(counts_found).tolist())
    matched = 0
    for row in np.flatnonzero(counts_true).tolist():
        partner = next((index for index in sorted(free) if overlap[row, index] > ICDAR_IOU), None)
        if partner is None:
            continue
        free.discard(partner)
        same_text = truth.texts[row].upper() == predicted.texts[partner].upper()
        matched += int(same_text or not end_to_end)
    return matched, int(counts_found.sum()), int(counts_true.sum())


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
