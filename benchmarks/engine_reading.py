"""Precision and recall of an OCR annotator by minimum score, on synthetic images.

    florence2 scenes make 200 --out shards/lines --seed 70 --split test --size 512 \\
        --task ocr-with-region
    python benchmarks/engine_reading.py --data shards/lines --annotator rapidocr \\
        --json benchmarks/results/DATE-engine-reading.json

A predicted line is correct when the bounds of its quad overlap a true line's by half and the text
is the same except for case and spaces. Precision is the fraction of predicted lines that are
correct, recall the fraction of true lines that a correct line finds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from florence2.data_engine.annotators.annotator_registry import make_annotator_specs
from florence2.datasets.shards import ShardDataset
from florence2.io.atomic import replace_json
from florence2.results.geometry import box_iou, match_closest
from florence2.results.types import Quads

THRESHOLDS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
TASK = "<OCR_WITH_REGION>"


def main() -> None:
    """Annotate the images, print precision and recall by score, write the metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--annotator", default="rapidocr")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    annotator = make_annotator_specs([options.annotator])[0].make()
    scores: list[float] = []
    correct: list[bool] = []
    true_lines = 0
    for record in ShardDataset(options.data):
        quads = [each.answer for each in record.annotations if isinstance(each.answer, Quads)]
        (predicted, *_) = annotator.annotate([record])[0]
        assert predicted.task == TASK and isinstance(predicted.answer, Quads)
        truth = quads[0] if quads else predicted.answer.select(np.zeros(0, np.int64))
        true_lines += len(truth)
        scores += [] if predicted.answer.scores is None else predicted.answer.scores.tolist()
        correct += mark_correct(predicted.answer, truth)
    metrics = measure(np.asarray(scores), np.asarray(correct, bool), true_lines)
    print(f"{len(scores)} predicted lines, {true_lines} true lines")
    for threshold, (precision, recall) in metrics.items():
        print(f"scores from {threshold}: precision {precision:.3f}, recall {recall:.3f}")
    if options.json:
        values = {
            "annotator": options.annotator,
            "predicted lines": len(scores),
            "true lines": true_lines,
            "thresholds": metrics,
        }
        replace_json(options.json, values)


def measure(
    scores: np.ndarray, correct: np.ndarray, true_lines: int
) -> dict[str, tuple[float, float]]:
    """Precision and recall by minimum score."""
    metrics = {}
    for threshold in THRESHOLDS:
        kept = scores >= threshold
        precision = float(correct[kept].mean()) if kept.any() else 0.0
        metrics[str(threshold)] = precision, float(correct[kept].sum() / max(true_lines, 1))
    return metrics


def mark_correct(predicted: Quads, truth: Quads) -> list[bool]:
    """Whether each predicted line is correct; each true line is matched once."""
    labels, true_labels = (
        [normalize(label) for label in quads.labels] for quads in (predicted, truth)
    )
    same = np.array(labels, object)[:, None] == np.array(true_labels, object)[None]
    pairs = match_closest(np.where(same, box_iou(predicted.bounds, truth.bounds), 0), 0.5)
    matched = {row for row, _ in pairs}
    return [row in matched for row in range(len(predicted))]


def normalize(text: str) -> str:
    """The text without case and spaces."""
    return "".join(text.lower().split())


if __name__ == "__main__":
    main()
