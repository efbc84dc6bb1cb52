"""The engine's offline ensemble on COCO photographs, beside what people annotated.

    python benchmarks/engine_photos.py --images PHOTOS --out runs/photos \\
        --instances instances_train2017.json instances_val2017.json \\
        --json benchmarks/results/DATE-engine-photos.json

Printed: average precision (COCO's, by pycocotools) of each detector alone and of the fused boxes;
precision and recall at IoU 0.5 by the line drawn on the scores; pictures a second. Detectors whose
categories are others than COCO's lose what they name otherwise.
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

LINES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def main() -> None:
    """Run the ensemble, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--instances", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--specialist", action="append", default=[])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    names = chosen.specialist or offline_ensemble()
    began = time.perf_counter()
    executor = RayExecutor() if chosen.workers else LocalExecutor()
    run = run_engine(
        str(chosen.images), chosen.out, make_annotator_specs(names), executor, log=print
    )
    seconds = time.perf_counter() - began
    truth = _truth(chosen.instances)
    answers = _answers(chosen.out, truth)
    (report,) = run.reports
    figures = {
        "specialists": names, "pictures": report.pictures, "seconds": seconds,
        "pictures a second": report.pictures / seconds,
        "AP": {name: _average_precision(truth, found) for name, found in answers.items()},
        "lines": {name: _by_line(truth, found) for name, found in answers.items()},
        "report": report.to_dict(),
    }  # fmt: skip
    for name, (ap, ap50) in figures["AP"].items():
        print(f"{name:20} AP {ap:.3f}  AP50 {ap50:.3f}")
        for line, (precision, recall) in figures["lines"][name].items():
            print(f"    scores from {line}: precision {precision:.3f}, recall {recall:.3f}")
    print(report.to_markdown())
    print(f"{figures['pictures a second']:.2f} pictures a second")
    if chosen.json:
        replace_json(chosen.json, figures)


Found = dict[int, Boxes]


def _truth(files: Sequence[Path]) -> COCO:
    """What people annotated, the files of one categories' list joined."""
    first, *others = (json.loads(each.read_text(encoding="utf-8")) for each in files)
    for each in others:
        first["images"] += each["images"]
        first["annotations"] += each["annotations"]
    truth = COCO()
    truth.dataset = first
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _answers(out: Path, truth: COCO) -> dict[str, Found]:
    """The boxes of each detector before any verdict, and the fused ones, by picture."""
    numbers = {each["file_name"]: number for number, each in truth.imgs.items()}
    answers: dict[str, Found] = {}
    for record in open_round(out):
        number = numbers.get(Path(record.id).name)
        if number is None:
            continue
        parts: dict[str, list[Boxes]] = {}
        for each in record.annotations:
            if each.task == "<OD>" and isinstance(each.answer, Boxes):
                parts.setdefault(each.annotator.name, []).append(each.answer)
        for name, boxes in parts.items():
            answers.setdefault(name, {})[number] = concat_boxes(boxes)
    return answers


def _average_precision(truth: COCO, answers: Found) -> tuple[float, float]:
    names = {each["name"]: number for number, each in truth.cats.items()}
    rows = [
        {"image_id": number, "category_id": names[label], "score": float(score),
         "bbox": [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]}
        for number, boxes in answers.items()
        for label, score, (x0, y0, x1, y1) in zip(
            boxes.labels, boxes.scores, boxes.xyxy, strict=True
        )
        if label in names
    ]  # fmt: skip
    if not rows:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.params.imgIds = sorted(answers)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def _by_line(truth: COCO, answers: Found) -> Mapping[str, tuple[float, float]]:
    """Precision and recall at IoU 0.5 with the right name, of boxes scored from each line up."""
    names = {number: each["name"] for number, each in truth.cats.items()}
    told = {}
    for line in LINES:
        right = found = there = 0
        for number, boxes in answers.items():
            people = [each for each in truth.imgToAnns[number] if not each["iscrowd"]]
            true = np.array(
                [[x, y, x + w, y + h] for x, y, w, h in (each["bbox"] for each in people)]
            ).reshape(-1, 4)
            kept = boxes.select(np.flatnonzero(boxes.scores >= line))
            free = np.ones(len(true), bool)
            labels = np.array([names[each["category_id"]] for each in people], object)
            overlaps = box_iou(kept.xyxy.astype(np.float64), true)
            for index in np.argsort(-kept.scores):
                usable = np.where(free & (labels == kept.labels[index]), overlaps[index], 0)
                if len(usable) and usable.max() >= 0.5:
                    free[usable.argmax()] = False
                    right += 1
            found, there = found + len(kept), there + len(true)
        told[str(line)] = right / max(found, 1), right / max(there, 1)
    return told


if __name__ == "__main__":
    main()
