"""CLEval: text detection and recognition scored character by character.

Baek et al. 2020, "CLEval: Character-Level Evaluation for Text Detection and Recognition Tasks"
(arXiv 2006.06244), with the constants and tie rules of the authors' scorer, whose published
metrics are reproduced. Words are quads, four corners ``float[4, 2]`` clockwise from the top left of
the reading direction. No character boxes are needed: the characters of a true word are placed
evenly along its middle line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .input_checks import check_not_empty, check_same_length
from .libraries import load_library
from .ocr import TextRegions
from .polygon_overlap import common_areas, to_shapes

AREA_PRECISION = 0.3
VERTICAL_ASPECT = 0.5
MAX_GUESSED_CHARACTERS = 10
_TINY = 1e-5

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class ClevalMetrics:
    """Recall, precision and their harmonic mean over characters."""

    recall: float
    precision: float
    hmean: float


@dataclass(frozen=True)
class _ImageGeometry:
    """The geometry of one image: ``covered[t]`` is ``bool[found, characters of true word t]``."""

    ground_truth: TextRegions
    predicted: TextRegions
    true_texts: list[str]
    covered: list[BoolArray]
    area_precision: FloatArray
    true_scored: BoolArray
    found_scored: BoolArray
    found_aspects: FloatArray
    matches: BoolArray


def cleval_counts(
    ground_truths: Sequence[TextRegions],
    predictions: Sequence[TextRegions],
    *,
    end_to_end: bool = False,
) -> FloatArray:
    """``float[images, 5]``: characters correct, true, predicted, penalty on recall, on precision.

    Without ``end_to_end`` a character is correct when a matched outline covers its center; with it
    the character must be read too. A word that is split into n outlines costs a penalty of n - 1
    on recall, an outline that merges n words one of n - 1 on precision.
    """
    check_not_empty(ground_truths, "images")
    check_same_length(ground_truths, predictions, "true and predicted images")
    rows = []
    for ground_truth, predicted in zip(ground_truths, predictions, strict=True):
        image = _measure_geometry(ground_truth, predicted)
        right, predicted_count = (_count_read if end_to_end else _count_detected)(image)
        true = sum(len(image.true_texts[word]) for word in _indices(image.true_scored))
        split = np.maximum(image.matches.sum(axis=1) - 1, 0).sum()
        merged = np.maximum(image.matches.sum(axis=0) - 1, 0).sum()
        rows.append((right, true, predicted_count, split, merged))
    return np.asarray(rows, np.float64)


def cleval_metrics(counts: FloatArray) -> ClevalMetrics:
    """Recall, precision and hmean from the counts ``float[5]`` summed over images."""
    right, true, predicted, split, merged = counts.tolist()
    recall = max(0.0, right - split) / true if true else 0.0
    precision = max(0.0, right - merged) / predicted if predicted else 0.0
    total = recall + precision
    return ClevalMetrics(recall, precision, 2 * recall * precision / total if total else 0.0)


def _measure_geometry(ground_truth: TextRegions, predicted: TextRegions) -> _ImageGeometry:
    """Which outlines cover which characters, the areas in common, and the matches."""
    true_corners, found_corners = _corners(ground_truth.outlines), _corners(predicted.outlines)
    scored = ground_truth.scored
    aspects = _aspects(true_corners)
    texts = [
        text if counts else "#" * _guessed_length(max(aspect, 1 / aspect))
        for text, counts, aspect in zip(ground_truth.texts, scored, aspects, strict=True)
    ]
    # The authors' scorer truncates coordinates to whole pixels for areas, not for centers.
    true_shapes = _without_words(to_shapes(list(np.trunc(true_corners))), scored)
    found_pixels = np.trunc(found_corners)
    found_shapes = to_shapes(list(found_pixels))
    found_areas = np.asarray([shape.area for shape in found_shapes])
    common = common_areas(true_shapes, found_shapes)
    precision = np.divide(common, found_areas, out=np.zeros(common.shape), where=found_areas > 0)
    centers = [
        _character_centers(corners, len(text), aspect)
        for corners, text, aspect in zip(true_corners, texts, aspects, strict=True)
    ]
    ends = np.cumsum([len(points) for points in centers])[:-1]
    all_centers = np.concatenate([np.zeros((0, 2)), *centers])
    covered = np.split(_inside(found_pixels, all_centers), ends, axis=1) if centers else []
    inside = np.asarray([word.sum(axis=1) for word in covered], np.int64).reshape(common.shape)
    found_scored = ~_on_ignored(precision[~scored], inside[~scored])
    matches = _matches(precision, inside, scored, found_scored)
    return _ImageGeometry(
        ground_truth,
        predicted,
        texts,
        covered,
        precision,
        scored,
        found_scored,
        _aspects(found_corners),
        matches,
    )


def _on_ignored(precision: FloatArray, inside: NDArray[np.int64]) -> BoolArray:
    """``bool[found]``: outlines on ignored words, on one or on several together."""
    on_one = (precision >= AREA_PRECISION).any(axis=0)
    on_several = (precision * (inside > 0)).sum(axis=0) >= AREA_PRECISION
    return np.asarray(on_one | on_several, bool)


def _matches(
    precision: FloatArray,
    inside: NDArray[np.int64],
    true_scored: BoolArray,
    found_scored: BoolArray,
) -> BoolArray:
    """``bool[true, found]``: one to one, one word split, or several words merged (section 3.2)."""
    scored = true_scored[:, None] & found_scored[None, :]
    holds = inside > 0
    close = holds & (precision >= AREA_PRECISION)
    single = close & (close.sum(axis=1, keepdims=True) == 1) & (close.sum(axis=0) == 1)
    split = close & scored
    split &= split.sum(axis=1, keepdims=True) >= 2
    merged = holds & scored
    together = (precision * merged).sum(axis=0) >= AREA_PRECISION
    merged &= together & (merged.sum(axis=0) >= 2)
    return np.asarray((single & scored) | split | merged, bool)


def _count_detected(image: _ImageGeometry) -> tuple[int, int]:
    """Correct characters and predicted characters, by location alone.

    An outline without a match counts as many wrong characters as its shape suggests.
    """
    right = predicted_count = 0
    for matched, covered in zip(image.matches, image.covered, strict=True):
        right += int(covered[matched].any(axis=0).sum())
        predicted_count += int(covered[matched].sum())
    alone = image.found_scored & ~image.matches.any(axis=0)
    for aspect in image.found_aspects[alone]:
        predicted_count += _guessed_length(1 / (_TINY + aspect))
    return right, predicted_count


def _count_read(image: _ImageGeometry) -> tuple[int, int]:
    """Correct characters and predicted characters, by text.

    Each true word in turn takes the longest common subsequence from the texts of its outlines;
    what it takes is removed from them.
    """
    left = list(image.predicted.texts)
    for word, matched in enumerate(image.matches):
        if matched.any():
            order = _reading_order(_indices(matched), image.covered[word])
            together = "".join(left[found] for found in order)
            for character in _common_subsequence(image.true_texts[word], together):
                holder = next(found for found in order if character in left[found])
                left[holder] = left[holder].replace(character, "", 1)
    scored = _indices(image.found_scored)
    predicted_count = sum(len(image.predicted.texts[found]) for found in scored)
    return predicted_count - sum(len(left[found]) for found in scored), predicted_count


def _reading_order(matched: list[int], covered: BoolArray) -> list[int]:
    """Outlines in the order in which they cover the word's characters."""
    waiting = list(matched)
    order: list[int] = []
    for position in range(covered.shape[1]):
        if len(waiting) == 1:
            break
        following = next((found for found in waiting if covered[found, position]), None)
        if following is not None:
            order.append(following)
            waiting.remove(following)
    return [*order, waiting[0]]


def _common_subsequence(first: str, second: str) -> str:
    """A longest common subsequence; of equally long ones the one of the shorter second text."""
    row = [""] * (len(second) + 1)
    for character in first:
        following = [""]
        for column, other in enumerate(second):
            if character == other:
                following.append(row[column] + character)
            else:
                above, before = row[column + 1], following[column]
                following.append(above if len(above) > len(before) else before)
        row = following
    return row[-1]


def _character_centers(corners: FloatArray, count: int, aspect: float) -> FloatArray:
    """``float[count, 2]``: the centers of equal parts of the word's middle line.

    A word much taller than wide is read from top to bottom.
    """
    if aspect < VERTICAL_ASPECT:
        corners = np.roll(corners, 1, axis=0)
    start, end = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
    along = (np.arange(count) + 0.5) / max(count, 1)
    return np.asarray(start + along[:, None] * (end - start), np.float64)


def _inside(corners: FloatArray, points: FloatArray) -> BoolArray:
    """``bool[quads, points]``: which points lie in each quad, by counting edges to their right.

    Points on the left and upper edges are inside, so that adjacent quads share no point; the
    authors' metrics need this rule.
    """
    x, y = points[None, :, 0], points[None, :, 1]
    inside = np.zeros((len(corners), len(points)), bool)
    for start, end in zip(
        corners.swapaxes(0, 1), np.roll(corners, 1, 1).swapaxes(0, 1), strict=True
    ):
        crosses = (start[:, None, 1] > y) != (end[:, None, 1] > y)
        rise = np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
        slope = ((end[:, 0] - start[:, 0]) / rise)[:, None]
        inside ^= crosses & (x < slope * (y - start[:, None, 1]) + start[:, None, 0])
    return inside


def _without_words(shapes: NDArray[np.object_], scored: BoolArray) -> NDArray[np.object_]:
    """The shapes; the words that count are subtracted from the ignored ones."""
    if scored.all() or not scored.any():
        return shapes
    shapely = load_library("shapely")
    words = shapely.union_all(shapes[scored])
    cut = shapes.copy()
    cut[~scored] = shapely.difference(shapes[~scored], words)
    return cut


def _aspects(corners: FloatArray) -> FloatArray:
    """Width over height ``float[N]``, each the mean of two opposite sides."""
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2)
    width, height = (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2
    return np.asarray((width + _TINY) / (height + _TINY), np.float64)


def _indices(marks: BoolArray) -> list[int]:
    return [int(position) for position in np.flatnonzero(marks)]


def _guessed_length(aspect: float) -> int:
    return min(round(0.5 + float(aspect)), MAX_GUESSED_CHARACTERS)


def _corners(outlines: Sequence[ArrayLike]) -> FloatArray:
    array = np.asarray([np.asarray(outline, np.float64) for outline in outlines])
    if array.size == 0:
        return np.zeros((0, 4, 2))
    if array.shape[1:] != (4, 2):
        raise ValueError(f"CLEval scores quads float[N, 4, 2], got {list(array.shape)}")
    return array
