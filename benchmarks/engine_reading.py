"""How right an OCR engine's lines are, by the line drawn on its scores, on made pictures.

    florence2 scenes make 200 --out shards/lines --seed 70 --split test --size 512 \\
        --task ocr-with-region
    python benchmarks/engine_reading.py --data shards/lines --specialist rapidocr \\
        --json benchmarks/results/DATE-engine-reading.json

A line is right when the bounds of its quad overlap a true line's by half and the letters are the
same but for case and spaces. Precision is the share of lines told that are right, recall the
share of true lines that are found so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from florence2.data_engine.annotators.annotator_registry import make_annotator_specs
from florence2.data_engine.merge import match_pairs
from florence2.datasets.shards import ShardDataset
from florence2.io.atomic import replace_json
from florence2.results.geometry import box_iou
from florence2.results.types import Quads

LINES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
TASK = "<OCR_WITH_REGION>"


def main() -> None:
    """Read the pictures, print precision and recall by score, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--specialist", default="rapidocr")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    reader = make_annotator_specs([chosen.specialist])[0].make()
    scores, right, there = [], [], 0
    for record in ShardDataset(chosen.data):
        truth = [each.answer for each in record.annotations if isinstance(each.answer, Quads)]
        (found, *_) = reader.annotate([record])[0]
        assert found.task == TASK and isinstance(found.answer, Quads)
        true = truth[0] if truth else found.answer.select(np.zeros(0, np.int64))
        there += len(true)
        scores += [] if found.answer.scores is None else found.answer.scores.tolist()
        right += _right(found.answer, true)
    trust, correct = np.asarray(scores), np.asarray(right, bool)
    by_line = {
        str(line): (
            float(correct[trust >= line].mean()) if (trust >= line).any() else 0.0,
            float(correct[trust >= line].sum() / max(there, 1)),
        )
        for line in LINES
    }
    print(f"{len(scores)} lines told, {there} there")
    for line, (precision, recall) in by_line.items():
        print(f"scores from {line}: precision {precision:.3f}, recall {recall:.3f}")
    if chosen.json:
        replace_json(chosen.json, {
            "specialist": chosen.specialist, "told": len(scores), "there": there, "lines": by_line,
        })  # fmt: skip


def _right(found: Quads, truth: Quads) -> list[bool]:
    """Whether each line told is a true one; each true one counts once, best overlaps first."""
    told, true = ([_plain(label) for label in each.labels] for each in (found, truth))
    same = np.array(told, object)[:, None] == np.array(true, object)[None]
    pairs = match_pairs(np.where(same, box_iou(found.bounds, truth.bounds), 0), 0.5)
    right = {row for row, _ in pairs}
    return [row in right for row in range(len(found))]


def _plain(text: str) -> str:
    return "".join(text.lower().split())


if __name__ == "__main__":
    main()
