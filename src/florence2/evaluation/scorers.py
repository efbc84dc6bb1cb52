"""One scorer for each kind of result; validation during training and benchmarks share them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..results.masks import Mask
from ..results.types import Answer, Boxes, Polygons, Quads
from .answer_values import get_labels, get_scores, to_boxes, to_mask_pair, to_text, to_text_regions
from .benchmark import ExamplePrediction, get_image_ids
from .metric import Metric, ap_metric, mean_metric, ratio, ratio_metric
from .metrics.detection import (
    DetectedObjects,
    GroundTruthObjects,
    MatchCounts,
    count_matches,
    single_f1s,
    summed_f1,
)
from .metrics.edit_distance import edit_distance
from .metrics.grounding import Protocol, mask_ious, mask_overlaps, phrase_hits
from .metrics.intervals import FloatArray
from .metrics.ocr import TextRegions, character_errors, icdar_counts
from .metrics.resampling import match_images

Shape = Literal["boxes", "quads", "polygons", "text"]
_SHAPES: Mapping[Shape, type] = {"boxes": Boxes, "quads": Quads, "polygons": Polygons}
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class KindScores:
    """Metrics in percent by short name, and a number in [0, 1] for each example."""

    metrics: Mapping[str, Metric]
    per_example: FloatArray

    def rename(self, names: Mapping[str, str]) -> list[Metric]:
        """The metrics with the short names that are keys of ``names``, under the new names."""
        return [replace(self.metrics[short], name=name) for short, name in names.items()]

    def select(self, *names: str) -> KindScores:
        """The scores with these metrics only."""
        return replace(self, metrics={name: self.metrics[name] for name in names})


def score_boxes(
    ground_truths: Sequence[GroundTruthObjects],
    detections: Sequence[DetectedObjects],
    image_ids: Sequence[str],
) -> KindScores:
    """COCO's AP (``map``, ``map50``, ``map75``) and F1 at IoU 0.5 (``f1``); F1 per example."""
    matches = match_images(ground_truths, detections)
    counts = count_matches(ground_truths, detections)
    size = len(ground_truths)
    metrics = {
        "map": ap_metric("map", size, matches.average_precision),
        "map50": ap_metric("map50", size, lambda n: matches.average_precision(n, 0.5)),
        "map75": ap_metric("map75", size, lambda n: matches.average_precision(n, 0.75)),
        "f1": ratio_metric("f1", counts, image_ids, summed_f1),
    }
    return KindScores(metrics, single_f1s(counts))


def score_text_regions(
    ground_truths: Sequence[TextRegions],
    regions: Sequence[TextRegions],
    image_ids: Sequence[str],
    *,
    end_to_end: bool = False,
) -> KindScores:
    """ICDAR's ``hmean``, ``precision`` and ``recall`` at IoU 0.5; hmean per example.

    With ``end_to_end`` the texts of a pair must be equal too, without regard to case.
    """
    counts = icdar_counts(ground_truths, regions, end_to_end=end_to_end)
    metrics = {
        "hmean": ratio_metric("hmean", counts, image_ids, summed_f1),
        "precision": ratio_metric(
            "precision", counts, image_ids, lambda sums: MatchCounts.of(sums).precision
        ),
        "recall": ratio_metric(
            "recall", counts, image_ids, lambda sums: MatchCounts.of(sums).recall
        ),
    }
    return KindScores(metrics, single_f1s(counts))


def score_masks(pairs: Iterable[tuple[Mask, Mask]], image_ids: Sequence[str]) -> KindScores:
    """Mean IoU (``miou``), cumulative IoU (``ciou``) and the share above IoU 0.5 (``p50``).

    ``pairs`` are predicted and true masks. IoU per example.
    """
    overlaps = mask_overlaps(pairs)
    ious = mask_ious(overlaps)
    metrics = {
        "miou": mean_metric("miou", ious, image_ids),
        "ciou": ratio_metric("ciou", overlaps, image_ids, ratio),
        "p50": mean_metric("p50", ious > 0.5, image_ids),
    }
    return KindScores(metrics, ious)


def score_phrases(
    predicted: Sequence[ArrayLike],
    ground_truths: Sequence[ArrayLike],
    image_ids: Sequence[str],
    *,
    top: Sequence[int] = (1,),
    protocol: Protocol = "any",
) -> KindScores:
    """Recall of phrases by their first k boxes at IoU 0.5 (``recall@k``); recall@1 per phrase."""
    hits = phrase_hits(predicted, ground_truths, top, protocol=protocol).astype(np.float64)
    metrics = {
        f"recall@{count}": mean_metric(f"recall@{count}", hits[:, column], image_ids)
        for column, count in enumerate(top)
    }
    return KindScores(metrics, hits[:, 0])


def score_texts(
    texts: Sequence[str], ground_truths: Sequence[str], image_ids: Sequence[str]
) -> KindScores:
    """Equal texts (``exact_match``) and the edit distance over the longer text's length
    (``edit_distance``, lower is better); one minus that distance per example."""
    pairs = list(zip(texts, ground_truths, strict=True))
    distances = np.asarray(
        [edit_distance(text, true) / max(len(text), len(true), 1) for text, true in pairs]
    )
    metrics = {
        "exact_match": mean_metric(
            "exact_match", [float(text == true) for text, true in pairs], image_ids
        ),
        "edit_distance": mean_metric("edit_distance", distances, image_ids, higher_is_better=False),
    }
    return KindScores(metrics, 1 - distances)


def score_characters(
    texts: Sequence[str], ground_truths: Sequence[str], image_ids: Sequence[str]
) -> KindScores:
    """Character error rate (``cer``, lower is better); one minus it, at least 0, per example."""
    counts = character_errors(texts, ground_truths).astype(np.float64)
    metric = ratio_metric("cer", counts, image_ids, ratio, higher_is_better=False)
    per_example = np.clip(1 - counts[:, 0] / np.maximum(counts[:, 1], 1), 0, 1)
    return KindScores({"cer": metric}, per_example)


def answer_shape(answer: Answer) -> Shape:
    """Which scorer takes answers of this type."""
    for shape, kind in _SHAPES.items():
        if isinstance(answer, kind):
            return shape
    return "text"


def score_by_shape(
    predictions: Sequence[ExamplePrediction], *, by_class: bool = True
) -> KindScores:
    """The metrics of predictions whose ground truth is an answer, all of one shape.

    Boxes: ``map``, ``map50``, ``f1``; labels do not count without ``by_class``. Quads: ``hmean``,
    and ``cer`` over all lines where there is text. Polygons: ``miou``. Text: ``exact_match``,
    ``edit_distance``.
    """
    shape = answer_shape(predictions[0].example.ground_truth)
    image_ids = get_image_ids(predictions)
    if shape == "boxes":
        scores = score_boxes(*to_objects(predictions, by_class=by_class), image_ids)
        return scores.select("map", "map50", "f1")
    if shape == "quads":
        return _score_quads(predictions, image_ids)
    if shape == "polygons":
        return score_masks(to_mask_pairs(predictions), image_ids).select("miou")
    return score_texts(
        [to_text(each.answer) for each in predictions],
        [to_text(each.example.ground_truth) for each in predictions],
        image_ids,
    )


def to_mask_pairs(predictions: Sequence[ExamplePrediction]) -> Iterator[tuple[Mask, Mask]]:
    """The predicted and the true mask of each example, one pair at a time.

    Raises ``ValueError`` for a ground truth that is not ``Polygons``.
    """
    for each in predictions:
        yield to_mask_pair(each.answer, check_ground_truth(each, Polygons))


def to_objects(
    predictions: Sequence[ExamplePrediction], *, by_class: bool = True
) -> tuple[list[GroundTruthObjects], list[DetectedObjects]]:
    """Ground truth and predicted boxes, numbered in order; all of one class without ``by_class``.

    Raises ``ValueError`` for a ground truth that is not ``Boxes``.
    """
    ground_truths, detections = [], []
    for row, each in enumerate(predictions):
        true, labels = check_ground_truth(each, Boxes), get_labels(each.answer)
        true_labels = true.labels if by_class else [""] * len(true)
        found_labels = labels if by_class else [""] * len(labels)
        ground_truths.append(GroundTruthObjects(row, true.xyxy, true_labels))
        detections.append(
            DetectedObjects(row, to_boxes(each.answer), found_labels, get_scores(each.answer))
        )
    return ground_truths, detections


def check_ground_truth(prediction: ExamplePrediction, kind: type[_Kind]) -> _Kind:
    """The ground truth of the example. Raises ``ValueError`` when it is not of type ``kind``."""
    ground_truth = prediction.example.ground_truth
    if not isinstance(ground_truth, kind):
        raise ValueError(
            f"the ground truth of example {prediction.example.id} must be {kind.__name__}, got "
            f"{ground_truth!r}"
        )
    return ground_truth


def _score_quads(predictions: Sequence[ExamplePrediction], image_ids: list[str]) -> KindScores:
    ground_truths = [to_text_regions(each.example.ground_truth) for each in predictions]
    regions = [to_text_regions(each.answer) for each in predictions]
    scores = score_text_regions(ground_truths, regions, image_ids).select("hmean")
    transcripts = ["\n".join(each.texts) for each in ground_truths]
    if not any(transcripts):
        return scores
    read = ["\n".join(each.texts) for each in regions]
    characters = score_characters(read, transcripts, image_ids)
    return replace(scores, metrics={**scores.metrics, **characters.metrics})
