"""The twelve metrics of the COCO detection challenge, for boxes.

faster-coco-eval counts, with the results of pycocotools; this module checks the input and converts
plain arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .detection import DetectedObjects, GroundTruthObjects, pair_images
from .input_checks import check_finite, check_known, check_not_empty, check_unique
from .libraries import load_library

_PRECISIONS = ("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large")
_RECALLS = ("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")
METRIC_NAMES = _PRECISIONS + _RECALLS


@dataclass(frozen=True)
class CocoMetrics:
    """Average precision and recall over IoU .50:.95; -1 where a size or class has no object.

    ``ap_50`` and ``ap_75`` are at one IoU; small is below 32x32 pixels of area, large above 96x96;
    ``ar_1``, ``ar_10``, ``ar_100`` allow 1, 10 and 100 detections per image.
    """

    ap: float
    ap_50: float
    ap_75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class: dict[str, float]

    def summary(self) -> dict[str, float]:
        """The twelve metrics by name, in COCO's order."""
        return {name: getattr(self, name) for name in METRIC_NAMES}


def coco_metrics(
    dataset: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    by_class: bool = True,
) -> CocoMetrics:
    """COCO's metrics of results in its result format, with annotations in its format.

    ``by_class=False`` scores all categories as one (class-agnostic proposals). Raises
    ``ValueError`` for repeated ids, unknown images or categories and scores that are not finite.
    """
    check_coco(dataset, results)
    library = load_library("faster_coco_eval")
    quiet: dict[str, Any] = {"print_function": lambda *_: None}
    ground_truth = library.COCO(_with_defaults(dataset), **quiet)
    # An empty list has no fields from which the library could infer the kind of result.
    found = (
        ground_truth.loadRes([dict(result) for result in results]) if results else _nothing(dataset)
    )
    evaluation = library.COCOeval_faster(ground_truth, found, "bbox", **quiet)
    evaluation.params.useCats = int(by_class)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = {item["id"]: str(item["name"]) for item in dataset["categories"]} if by_class else {}
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    per_class = {
        names[category]: _mean_of_known(precision[:, :, index])
        for index, category in enumerate(evaluation.params.catIds)
        if category in names
    }
    metrics = dict(zip(METRIC_NAMES, evaluation.stats[:12].tolist(), strict=True))
    return CocoMetrics(**metrics, per_class=per_class)


def check_coco(dataset: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """Raise a ValueError when results cannot belong to the annotations."""
    check_not_empty(dataset["images"], "images")
    images = [image["id"] for image in dataset["images"]]
    check_unique(images, "image ids of the ground truth")
    check_unique((item["id"] for item in dataset["annotations"]), "annotation ids")
    check_known({item["image_id"] for item in results}, set(images), "images of the detections")
    categories = {category["id"] for category in dataset["categories"]}
    check_known({item["category_id"] for item in results}, categories, "categories")
    check_finite([item["score"] for item in results], "scores")


def to_coco(
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth and detections as a COCO annotation dictionary and a result list.

    Images and categories are numbered from 1 in their order; the ids of images are kept as
    ``file_name``. A detected label without a true object becomes a category without objects,
    which COCO excludes from its means.
    """
    pairs = pair_images(ground_truths, detections)
    labels = {
        label for ground_truth, found in pairs for label in (*ground_truth.labels, *found.labels)
    }
    categories = {label: number for number, label in enumerate(sorted(labels), start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (ground_truth, found) in enumerate(pairs, start=1):
        images.append({"id": number, "file_name": str(ground_truth.image_id)})
        for annotation in _annotations(number, ground_truth, categories):
            annotation["id"] = len(annotations) + 1
            annotations.append(annotation)
        results.extend(_results(number, found, categories))
    dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
    }
    return dataset, results


def average_precision(
    ground_truths: Sequence[GroundTruthObjects],
    detections: Sequence[DetectedObjects],
    *,
    by_class: bool = True,
) -> CocoMetrics:
    """COCO's metrics from plain arrays; see ``coco_metrics``.

    Detections of equal score are ranked in the order of the images: sort images by ascending id
    for exactly the results of the COCO tools.
    """
    return coco_metrics(*to_coco(ground_truths, detections), by_class=by_class)


def _annotations(
    number: int, ground_truth: GroundTruthObjects, categories: Mapping[str, int]
) -> list[dict[str, Any]]:
    extents = _extents(ground_truth.boxes)
    areas = extents[:, 2] * extents[:, 3] if ground_truth.areas is None else ground_truth.areas
    return [
        {
            "image_id": number,
            "category_id": categories[label],
            "bbox": extents[index].tolist(),
            "area": float(areas[index]),
            "iscrowd": int(ground_truth.ignored[index]),
        }
        for index, label in enumerate(ground_truth.labels)
    ]


def _results(
    number: int, found: DetectedObjects, categories: Mapping[str, int]
) -> list[dict[str, Any]]:
    extents = _extents(found.boxes)
    return [
        {
            "image_id": number,
            "category_id": categories[label],
            "score": float(found.scores[index]),
            "bbox": extents[index].tolist(),
        }
        for index, label in enumerate(found.labels)
    ]


def _extents(boxes: Any) -> Any:
    """Boxes as COCO writes them: left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _with_defaults(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations with the fields that handmade files lack."""
    annotations = []
    for item in dataset["annotations"]:
        width, height = item["bbox"][2:]
        annotations.append({"iscrowd": 0, "area": width * height, **item})
    return {**dataset, "annotations": annotations}


def _nothing(dataset: Mapping[str, Any]) -> Any:
    empty = {**dataset, "annotations": []}
    return load_library("faster_coco_eval").COCO(empty, print_function=lambda *_: None)


def _mean_of_known(precision: Any) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else -1.0
