"""How predictions on synthetic images are scored, task by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...results.geometry import match_closest
from ...results.types import Boxes
from ...synthetic.categories import count_named_objects
from ..answer_values import get_labels, sort_by_score, to_boxes, to_text, to_text_regions
from ..benchmark import ExamplePrediction, get_image_ids
from ..metric import Metric, mean_metric, ratio, ratio_metric
from ..metrics.detection import (
    DetectedObjects,
    GroundTruthObjects,
    count_matches,
    match_objects,
    proposal_hits,
    single_f1s,
    summed_f1,
)
from ..metrics.intervals import FloatArray
from ..metrics.ocr import TextRegions, character_errors
from ..metrics.polygon_overlap import polygon_iou
from ..metrics.resampling import match_images
from ..scorers import (
    check_ground_truth,
    score_boxes,
    score_characters,
    score_masks,
    score_phrases,
    score_text_regions,
    to_mask_pairs,
    to_objects,
)

# Metrics, and a number in [0, 1] for each example.
TaskScores = tuple[list[Metric], FloatArray]
TaskScorer = Callable[[Sequence[ExamplePrediction]], TaskScores]
_BINS = 10
_PERMUTATIONS = 5
_MATCH_IOU = 0.5


def score_detection(predictions: Sequence[ExamplePrediction]) -> TaskScores:
    """COCO's AP, F1, AP with permuted scores, and the calibration error of the scores."""
    ground_truths, detections = to_objects(predictions)
    size, image_ids = len(predictions), get_image_ids(predictions)
    scores = score_boxes(ground_truths, detections, image_ids)
    permuted = float(
        np.mean([_permuted_precision(ground_truths, detections, n) for n in range(_PERMUTATIONS)])
    )
    names = {"map50": "detection AP50", "map": "detection AP", "f1": "detection F1@0.5"}
    metrics = [
        *scores.rename(names),
        Metric("AP, scores permuted", size, lambda _: 100 * permuted, resamples=1),
        ratio_metric(
            "calibration error",
            _calibration_counts(ground_truths, detections),
            image_ids,
            _expected_calibration_error,
            higher_is_better=False,
        ),
    ]
    return metrics, scores.per_example


def score_proposals(predictions: Sequence[ExamplePrediction]) -> TaskScores:
    """The share of objects that some proposed box has at IoU 0.5."""
    hits = proposal_hits(*to_objects(predictions), ious=(0.5,)).astype(np.float64)
    metric = ratio_metric("proposal recall@0.5", hits, get_image_ids(predictions), ratio)
    return [metric], np.where(hits[:, 1] > 0, hits[:, 0] / np.maximum(hits[:, 1], 1), 1.0)


def score_open_vocabulary(predictions: Sequence[ExamplePrediction]) -> TaskScores:
    """F1 on classes that are in the image, and the share of absent ones without a box."""
    ground_truths, detections = to_objects(predictions)
    negative = np.asarray([not len(each.labels) for each in ground_truths])
    empty = np.asarray([not len(each.labels) for each in detections])
    counts = count_matches(ground_truths, detections, by_class=False)
    image_ids = get_image_ids(predictions)
    metrics = []
    if negative.any():
        of_negative = [image_ids[row] for row in np.flatnonzero(negative)]
        values = empty[negative].astype(float)
        metrics.append(mean_metric("negative-class accuracy", values, of_negative))
    if not negative.all():
        of_others = [image_ids[row] for row in np.flatnonzero(~negative)]
        metrics.append(
            ratio_metric("open-vocabulary F1@0.5", counts[~negative], of_others, summed_f1)
        )
    return metrics, np.where(negative, empty, single_f1s(counts))


def score_grounding(predictions: Sequence[ExamplePrediction]) -> TaskScores:
    """Recall@1 at IoU 0.5: each phrase's highest-scoring box against any of its true ones."""
    boxes, ground_truths, owners = [], [], []
    for row, each in enumerate(predictions):
        true = check_ground_truth(each, Boxes)
        order, labels = sort_by_score(each.answer), np.asarray(get_labels(each.answer), object)
        for phrase in dict.fromkeys(true.labels):
            boxes.append(to_boxes(each.answer)[[i for i in order if labels[i] == phrase]])
            ground_truths.append(true.xyxy[[label == phrase for label in true.labels]])
            owners.append(row)
    image_ids = [predictions[row].example.image_id for row in owners]
    scores = score_phrases(boxes, ground_truths, image_ids)
    size = len(predictions)
    sums = np.bincount(owners, scores.per_example, minlength=size)
    per_example = sums / np.bincount(owners, minlength=size)
    return scores.rename({"recall@1": "grounding recall@1"}), per_example


def segmentation_scorer(name: str) -> TaskScorer:
    """Mean IoU of masks as metric ``name``."""

    def score(predictions: Sequence[ExamplePrediction]) -> TaskScores:
        scores = score_masks(to_mask_pairs(predictions), get_image_ids(predictions))
        return scores.rename({"miou": name}), scores.per_example

    return score


def exact_match_scorer(name: str) -> TaskScorer:
    """The share of equal texts, without regard to case, as metric ``name``."""

    def score(predictions: Sequence[ExamplePrediction]) -> TaskScores:
        equal = [
            to_text(each.answer).lower() == to_text(each.example.ground_truth).lower()
            for each in predictions
        ]
        values = np.asarray(equal, np.float64)
        return [mean_metric(name, values, get_image_ids(predictions))], values

    return score


def character_scorer(name: str) -> TaskScorer:
    """The character error rate as metric ``name``; lower is better."""

    def score(predictions: Sequence[ExamplePrediction]) -> TaskScores:
        scores = score_characters(
            [to_text(each.answer) for each in predictions],
            [to_text(each.example.ground_truth) for each in predictions],
            get_image_ids(predictions),
        )
        return scores.rename({"cer": name}), scores.per_example

    return score


def score_lines(predictions: Sequence[ExamplePrediction]) -> TaskScores:
    """ICDAR's hmean of lines at IoU 0.5, and the character error rate of the matched lines."""
    ground_truths = [to_text_regions(each.example.ground_truth) for each in predictions]
    detections = [to_text_regions(each.answer) for each in predictions]
    image_ids = get_image_ids(predictions)
    scores = score_text_regions(ground_truths, detections, image_ids)
    metrics = scores.rename({"hmean": "OCR hmean@0.5"})
    edits = np.asarray(
        [_matched_edits(true, each) for true, each in zip(ground_truths, detections, strict=True)]
    )
    if edits[:, 1].any():
        name = "CER of matched lines"
        metrics.append(ratio_metric(name, edits, image_ids, ratio, higher_is_better=False))
    return metrics, scores.per_example


def caption_scorer(vocabularies: Mapping[str, tuple[str, ...]], kind: str) -> TaskScorer:
    """Precision and recall of the objects that a caption names.

    ``vocabularies`` has the categories of the objects in each image; ``kind`` is the prefix of
    the metrics.
    """
    categories = sorted({name for names in vocabularies.values() for name in names})

    def score(predictions: Sequence[ExamplePrediction]) -> TaskScores:
        rows = []
        for each in predictions:
            named = count_named_objects(to_text(each.answer), categories)
            present = Counter(vocabularies.get(each.example.image_id, ()))
            common = sum((named & present).values())
            rows.append((common, sum(named.values()), sum(present.values())))
        counts, image_ids = np.asarray(rows, np.float64), get_image_ids(predictions)
        metrics = [
            ratio_metric(f"{kind}: object precision", counts, image_ids, ratio),
            ratio_metric(
                f"{kind}: object recall", counts, image_ids, lambda sums: ratio(sums[[0, 2]])
            ),
        ]
        return metrics, single_f1s(counts)

    return score


def _permuted_precision(
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects], seed: int
) -> float:
    """AP of the same boxes when their scores are permuted at random."""
    scores = np.random.default_rng(seed).permutation(
        np.concatenate([each.scores for each in detections])
    )
    permuted, start = [], 0
    for each in detections:
        part = scores[start : start + len(each.scores)]
        permuted.append(DetectedObjects(each.image_id, each.boxes, each.labels, part))
        start += len(part)
    return match_images(ground_truths, permuted).average_precision()


def _calibration_counts(
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects]
) -> FloatArray:
    """For each image and bin of scores: boxes, the sum of their scores, and correct boxes."""
    sums = np.zeros((len(ground_truths), 3, _BINS))
    for row, (true, each) in enumerate(zip(ground_truths, detections, strict=True)):
        correct = np.zeros(len(each.scores))
        correct[match_objects(true, each)[:, 1]] = 1
        bins = np.minimum((each.scores * _BINS).astype(int), _BINS - 1)
        for index, values in enumerate((np.ones(len(correct)), each.scores, correct)):
            np.add.at(sums[row, index], bins, values)
    return sums.reshape(len(ground_truths), -1)


def _expected_calibration_error(sums: FloatArray) -> float:
    """The distance between confidence and accuracy, over the bins."""
    boxes, scores, correct = sums.reshape(3, _BINS)
    return float(np.abs(scores - correct).sum() / max(boxes.sum(), 1))


def _matched_edits(ground_truth: TextRegions, detected: TextRegions) -> tuple[int, int]:
    """Edits and true characters of the lines that match at IoU 0.5, the closest pairs first."""
    overlap = polygon_iou(ground_truth.outlines, detected.outlines)
    pairs = match_closest(overlap, _MATCH_IOU).tolist()
    if not pairs:
        return 0, 0
    counts = character_errors(
        [detected.texts[index] for _, index in pairs],
        [ground_truth.texts[index] for index, _ in pairs],
    )
    edits, length = counts.sum(axis=0).tolist()
    return edits, length
