"""How answers about made scenes are scored, task by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from ...results.types import Boxes, Polygons
from ...synthetic.categories import count_named_objects
from ..answer_values import (
    labels_of,
    mask_pair,
    scores_of,
    sort_by_score,
    text_regions_of,
    to_boxes,
    to_text,
)
from ..benchmark import Answered, pictures_of
from ..metric import Metric, ap_metric, mean_metric, ratio_metric, share
from ..metrics.detection import (
    DetectedObjects,
    TrueObjects,
    agreement_counts,
    match_objects,
    proposal_hits,
    single_f1s,
    summed_f1,
)
from ..metrics.edit_distance import edit_distance
from ..metrics.grounding import mask_ious, mask_overlaps, phrase_hits
from ..metrics.intervals import FloatArray
from ..metrics.ocr import TextRegions, icdar_counts
from ..metrics.polygon_overlap import common_areas, to_shapes
from ..metrics.resampling import match_pictures

Kind = TypeVar("Kind")
# One figure or several, and a number in [0, 1] for each case.
Task = Callable[[Sequence[Answered]], tuple[list[Metric], FloatArray]]
_BINS = 10
_SHUFFLES = 5


def detection(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
    """COCO's AP, F1, what scores add to AP over shuffled ones, and how well they are calibrated."""
    truths, found = _objects(answered), _found(answered)
    matches, counts = match_pictures(truths, found), agreement_counts(truths, found)

    shuffled = float(
        np.mean([_shuffled_precision(truths, found, seed) for seed in range(_SHUFFLES)])
    )
    size, pictures = len(answered), pictures_of(answered)
    figures = [
        ap_metric("detection AP50", size, lambda n: matches.average_precision(n, 0.5)),
        ap_metric("detection AP", size, matches.average_precision),
        ratio_metric("detection F1@0.5", counts, pictures, summed_f1),
        Metric("AP with shuffled scores", size, lambda _: 100 * shuffled, resamples=1),
        ratio_metric(
            "calibration error",
            _calibration(truths, found),
            pictures,
            _expected_error,
            higher_is_better=False,
        ),
    ]
    return figures, single_f1s(counts)


def proposals(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
    """The share of objects that some proposed box has at IoU 0.5."""
    hits = proposal_hits(_objects(answered), _found(answered), ious=(0.5,)).astype(np.float64)
    pictures = pictures_of(answered)
    figure = ratio_metric("proposal recall@0.5", hits, pictures, share)
    return [figure], np.where(hits[:, 1] > 0, hits[:, 0] / np.maximum(hits[:, 1], 1), 1.0)


def open_vocabulary(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
    """F1 of what is there, and how often what is absent is answered by nothing."""
    truths, found = _objects(answered), _found(answered)
    absent = np.asarray([not len(truth.labels) for truth in truths])
    silent = np.asarray([not len(each.labels) for each in found])
    counts = agreement_counts(truths, found, by_class=False)
    pictures = pictures_of(answered)
    there = np.flatnonzero(~absent)
    figures = []
    if absent.any():
        rows = np.flatnonzero(absent)
        figures.append(
            mean_metric(
                "absent answered empty", silent[rows].astype(float), [pictures[row] for row in rows]
            )
        )
    if len(there):
        figures.append(
            ratio_metric(
                "open-vocabulary F1@0.5", counts[there], [pictures[row] for row in there], summed_f1
            )
        )
    return figures, np.where(absent, silent, single_f1s(counts))


def grounding(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
    """Recall@1 at IoU 0.5: each phrase's surest box against any of its true ones."""
    guesses, truths, owners = [], [], []
    for row, each in enumerate(answered):
        true = _truth(each, Boxes)
        order, labels = sort_by_score(each.answer), np.asarray(labels_of(each.answer), object)
        for phrase in dict.fromkeys(true.labels):
            said = [index for index in order if labels[index] == phrase]
            guesses.append(to_boxes(each.answer)[said])
            truths.append(true.xyxy[[label == phrase for label in true.labels]])
            owners.append(row)
    hits = phrase_hits(guesses, truths, top=(1,))[:, 0].astype(np.float64)
    pictures = [answered[row].case.image_id for row in owners]
    sums = np.bincount(owners, hits, minlength=len(answered))
    return [mean_metric("grounding recall@1", hits, pictures)], sums / np.bincount(
        owners, minlength=len(answered)
    )


def segmentation(name: str) -> Task:
    """Mean IoU of masks under ``name``."""

    def score(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
        pairs = [mask_pair(each.answer, _truth(each, Polygons)) for each in answered]
        ious = mask_ious(mask_overlaps(pairs))
        return [mean_metric(name, ious, pictures_of(answered))], ious

    return score


def exact_words(name: str) -> Task:
    """The share of answers that are the very words, whatever their case, under ``name``."""

    def score(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
        right = [
            to_text(each.answer).lower() == to_text(each.case.truth).lower() for each in answered
        ]
        values = np.asarray(right, np.float64)
        return [mean_metric(name, values, pictures_of(answered))], values

    return score


def characters(name: str) -> Task:
    """Characters to edit over characters of the truth, under ``name``; lower is better."""

    def score(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
        counts = np.asarray(
            [_edits(to_text(each.answer), to_text(each.case.truth)) for each in answered],
            np.float64,
        )
        pictures = pictures_of(answered)
        figure = ratio_metric(name, counts, pictures, share, higher_is_better=False)
        return [figure], np.clip(1 - counts[:, 0] / np.maximum(counts[:, 1], 1), 0, 1)

    return score


def text_regions(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
    """ICDAR's hmean of lines at IoU 0.5, and the character error rate of the lines it matches."""
    truths = [text_regions_of(each.case.truth) for each in answered]
    found = [text_regions_of(each.answer) for each in answered]
    counts = icdar_counts(truths, found)
    edits = np.asarray(
        [_matched_edits(truth, guess) for truth, guess in zip(truths, found, strict=True)],
        np.float64,
    )
    pictures = pictures_of(answered)
    figures = [ratio_metric("OCR hmean@0.5", counts, pictures, summed_f1)]
    if edits[:, 1].any():
        figures.append(
            ratio_metric("CER of matched lines", edits, pictures, share, higher_is_better=False)
        )
    return figures, single_f1s(counts)


def captions(vocabularies: Mapping[str, tuple[str, ...]], kind: str) -> Task:
    """Named objects that are there, and objects there that are named; ``vocabularies`` holds the
    categories in each picture, by picture."""
    everything = sorted({name for names in vocabularies.values() for name in names})

    def score(answered: Sequence[Answered]) -> tuple[list[Metric], FloatArray]:
        rows = []
        for each in answered:
            named = count_named_objects(to_text(each.answer), everything)
            there = Counter(vocabularies.get(each.case.image_id, ()))
            common = sum((named & there).values())
            rows.append((common, sum(named.values()), sum(there.values())))
        counts, pictures = np.asarray(rows, np.float64), pictures_of(answered)
        figures = [
            ratio_metric(f"{kind}: named objects that are there", counts, pictures, share),
            ratio_metric(
                f"{kind}: objects there that are named",
                counts,
                pictures,
                lambda sums: share(sums[[0, 2]]),
            ),
        ]
        return figures, single_f1s(counts)

    return score


def _objects(answered: Sequence[Answered]) -> list[TrueObjects]:
    objects = []
    for row, each in enumerate(answered):
        true = _truth(each, Boxes)
        objects.append(TrueObjects(row, true.xyxy, true.labels))
    return objects


def _found(answered: Sequence[Answered]) -> list[DetectedObjects]:
    return [
        DetectedObjects(row, to_boxes(each.answer), labels_of(each.answer), scores_of(each.answer))
        for row, each in enumerate(answered)
    ]


def _truth(answered: Answered, kind: type[Kind]) -> Kind:
    truth = answered.case.truth
    if not isinstance(truth, kind):
        raise ValueError(f"case {answered.case.id} is answered by {kind.__name__}, not {truth!r}")
    return truth


def _shuffled_precision(
    truths: Sequence[TrueObjects], found: Sequence[DetectedObjects], seed: int
) -> float:
    """AP of the same boxes when their scores are dealt out at random."""
    scores = np.random.default_rng(seed).permutation(
        np.concatenate([each.scores for each in found])
    )
    dealt, start = [], 0
    for each in found:
        part = scores[start : start + len(each.scores)]
        dealt.append(DetectedObjects(each.image_id, each.boxes, each.labels, part))
        start += len(part)
    return match_pictures(truths, dealt).average_precision()


def _calibration(truths: Sequence[TrueObjects], found: Sequence[DetectedObjects]) -> FloatArray:
    """For each picture and bin of scores: boxes, the sum of their scores, and those right."""
    sums = np.zeros((len(truths), 3, _BINS))
    for row, (truth, each) in enumerate(zip(truths, found, strict=True)):
        right = np.zeros(len(each.scores))
        right[match_objects(truth, each)[:, 1]] = 1
        bins = np.minimum((each.scores * _BINS).astype(int), _BINS - 1)
        for place, values in enumerate((np.ones(len(right)), each.scores, right)):
            np.add.at(sums[row, place], bins, values)
    return sums.reshape(len(truths), -1)


def _expected_error(sums: FloatArray) -> float:
    """Expected calibration error: how far trust and truth are apart, bin by bin."""
    boxes, scores, right = sums.reshape(3, _BINS)
    return float(np.abs(scores - right).sum() / max(boxes.sum(), 1))


def _matched_edits(truth: TextRegions, found: TextRegions) -> tuple[int, int]:
    """Edits and true characters of the lines that overlap at IoU 0.5 or more, the closest first."""
    first, second = to_shapes(truth.outlines), to_shapes(found.outlines)
    common = common_areas(first, second)
    areas = [np.asarray([shape.area for shape in shapes]) for shapes in (first, second)]
    overlap = common / np.maximum(areas[0][:, None] + areas[1][None, :] - common, 1e-9)
    edits = length = 0
    while overlap.size and overlap.max() >= 0.5:
        true, guess = divmod(int(overlap.argmax()), overlap.shape[1])
        more, of = _edits(found.texts[guess], truth.texts[true])
        edits, length = edits + more, length + of
        overlap[true, :] = overlap[:, guess] = 0
    return edits, length


def _edits(said: str, true: str) -> tuple[int, int]:
    return edit_distance(said, true), len(true)
