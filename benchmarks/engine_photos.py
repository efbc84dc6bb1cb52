"""The data engine's offline ensemble on COCO photographs, compared with human annotations.

    python benchmarks/engine_photos.py --images PHOTOS --out runs/photos \\
        --instances instances_train2017.json instances_val2017.json \\
        --json benchmarks/results/DATE-engine-photos.json

Prints the average precision (COCO's, by pycocotools) of each detector and of the fused boxes,
precision and recall at IoU 0.5 by minimum score, and images per second. Boxes whose label is not a
COCO category are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from florence2.data_engine.annotators.annotator_registry import (
    make_annotator_specs,
    offline_ensemble,
)
from florence2.data_engine.executor import LocalExecutor, RayExecutor
from florence2.data_engine.merge import concat_boxes
from florence2.data_engine.self_training import open_round, run_engine
from florence2.io.atomic import replace_json
from florence2.results.geometry import box_iou
from florence2.results.types import Boxes

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def main() -> None:
    """Run the ensemble, print the tables, write the metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--instances", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--annotator", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.annotator or offline_ensemble()
    start = time.perf_counter()
    executor = RayExecutor() if options.workers else LocalExecutor()
    run = run_engine(
        str(options.images), options.out, make_annotator_specs(names), executor, log=print
    )
    seconds = time.perf_counter() - start
    truth = _load_ground_truth(options.instances)
    predictions = _load_predictions(options.out, truth)
    (report,) = run.reports
    metrics = {
        "annotators": names,
        "images": report.images,
        "seconds": seconds,
        "images per second": report.images / seconds,
        "AP": {name: _average_precision(truth, boxes) for name, boxes in predictions.items()},
        "thresholds": {
            name: _measure_by_threshold(truth, boxes) for name, boxes in predictions.items()
        },
        "report": report.to_dict(),
    }
    for name, (ap, ap50) in metrics["AP"].items():
        print(f"{name:20} AP {ap:.3f}  AP50 {ap50:.3f}")
        for threshold, (precision, recall) in metrics["thresholds"][name].items():
            print(f"    scores from {threshold}: precision {precision:.3f}, recall {recall:.3f}")
    print(report.to_markdown())
    print(f"{metrics['images per second']:.2f} images per second")
    if options.json:
        replace_json(options.json, metrics)


# Boxes by the number of the image.
Predictions = dict[int, Boxes]


def _load_ground_truth(files: Sequence[Path]) -> COCO:
    """The human annotations of files with the same categories, in one dataset."""
    first, *others = (json.loads(each.read_text(encoding="utf-8")) for each in files)
    for each in others:
        first["images"] += each["images"]
        first["annotations"] += each["annotations"]
    truth = COCO()
    truth.dataset = first
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _load_predictions(out: Path, truth: COCO) -> dict[str, Predictions]:
    """The boxes of each detector before filtering, and the fused ones, by image."""
    numbers = {each["file_name"]: number for number, each in truth.imgs.items()}
    predictions: dict[str, Predictions] = {}
    for record in open_round(out):
        number = numbers.get(Path(record.id).name)
        if number is None:
            continue
        pieces: dict[str, list[Boxes]] = {}
        for each in record.annotations:
            if each.task == "<OD>" and isinstance(each.answer, Boxes):
                pieces.setdefault(each.annotator.name, []).append(each.answer)
        for name, boxes in pieces.items():
            predictions.setdefault(name, {})[number] = concat_boxes(boxes)
    return predictions


def _average_precision(truth: COCO, predictions: Predictions) -> tuple[float, float]:
    names = {each["name"]: number for number, each in truth.cats.items()}
    rows = [
        {"image_id": number, "category_id": names[label], "score": float(score),
         "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]}
        for number, boxes in predictions.items()
        for label, score, (x0, y0, x1, y1) in zip(
            boxes.labels, boxes.scores, boxes.xyxy, strict=True
        )
        if label in names
    ]  # fmt: skip
    if not rows:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluator.params.imgIds = sorted(predictions)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0]), float(evaluator.stats[1])


def _measure_by_threshold(
    truth: COCO, predictions: Predictions
) -> Mapping[str, tuple[float, float]]:
    """Precision and recall at IoU 0.5 with the correct label, by minimum score."""
    names = {number: each["name"] for number, each in truth.cats.items()}
    metrics = {}
    for threshold in THRESHOLDS:
        correct = predicted = objects = 0
        for number, boxes in predictions.items():
            people = [each for each in truth.imgToAnns[number] if not each["iscrowd"]]
            true = np.array(
                [[x, y, x + w, y + h] for x, y, w, h in (each["bbox"] for each in people)]
            ).reshape(-1, 4)
            kept = boxes.select(np.flatnonzero(boxes.scores >= threshold))
            free = np.ones(len(true), bool)
            labels = np.array([names[each["category_id"]] for each in people], object)
            overlaps = box_iou(kept.xyxy.astype(np.float64), true)
            for index in np.argsort(-kept.scores):
                usable = np.where(free & (labels == kept.labels[index]), overlaps[index], 0)
                if len(usable) and usable.max() >= 0.5:
                    free[usable.argmax()] = False
                    correct += 1
            predicted, objects = predicted + len(kept), objects + len(true)
        metrics[str(threshold)] = correct / max(predicted, 1), correct / max(objects, 1)
    return metrics


if __name__ == "__main__":
    main()
