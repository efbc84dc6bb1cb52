"""Plots the bundled model's metrics by samples: ``python recipes/nano_curve.py``.

Reads the logs of its runs and its metrics on held-out scenes in ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
VALIDATION = RESULTS / "nano-held-out.json"
CURVE = ROOT / "docs/images/nano-curve.png"
# The runs that trained the vision encoder, by their names in the logs; others froze it.
VISION_ENCODER_RUNS = (
    "nano-tower", "nano-words", "nano-letters", "nano-together", "nano-cells", "nano-kinds",
    "nano-sight", "nano-keener", "nano-closer", "nano-unlearning",
)  # fmt: skip
_SHOWN = {
    "detection AP50": "#1b6ca8",
    "grounding recall@1": "#c8553d",
    "region category accuracy": "#588b4b",
    "proposal recall@0.5": "#8e6aa8",
    "OCR hmean@0.5": "#b58b2a",
}
# Lines alternate between very different images, so each point is a mean over this many.
_WINDOW = 9
# A metric's names: of today, and of the logs of release 0.1.
_CELL_ACCURACY = ("cell_accuracy", "cells_right")
_CHAR_ACCURACY = ("char_accuracy", "letters_right")


def read_training_lines() -> list[dict[str, Any]]:
    """The lines of all logs, in the order of the runs."""
    return [
        json.loads(line)
        for path in sorted(RESULTS.glob("*-nano-training.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]


def draw(lines: list[dict[str, Any]], validation: list[dict[str, Any]]) -> Figure:
    """The plot: accuracy of the vision encoder in training, and metrics on held-out scenes."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_vision_encoder(left, lines)
    pairs = [each["pairs"] / 1000 for each in validation]
    for name, color in _SHOWN.items():
        values = [each["figures"].get(name) for each in validation]
        known = [(x, y) for x, y in zip(pairs, values, strict=True) if y is not None]
        right.plot(*zip(*known, strict=True), "o-", color=color, label=name)
    right.set_xlabel("pairs seen in all runs except the vision encoder's, thousands")
    right.set_ylabel("percent, on 1,000 held-out scenes")
    right.set_ylim(0, 100)
    right.legend(fontsize=8)
    right.set_title("Predictions of the full model", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_vision_encoder(axes: Any, lines: list[dict[str, Any]]) -> None:
    before = 0.0
    for run in VISION_ENCODER_RUNS:
        steps = [each for each in lines if each["run"] == run and each["kind"] == "step"]
        if not steps:
            continue
        # Several prompts share an image.
        prompts = 5 if run in ("nano-words", "nano-together") else 1
        seen = before + np.asarray([each["samples_seen"] for each in steps]) / prompts / 1000
        for names, color in ((_CELL_ACCURACY, "#1b6ca8"), (_CHAR_ACCURACY, "#b58b2a")):
            values = [100 * each[name] for each in steps for name in names if name in each]
            if len(values) == len(steps):
                axes.plot(seen, _moving_mean(values), color=color)
        axes.axvline(seen[-1], color="#999", linewidth=0.6, linestyle=":")
        axes.text((before + seen[-1]) / 2, 97, run.removeprefix("nano-"), fontsize=6.5,
                  ha="center", va="top", rotation=90)  # fmt: skip
        before = float(seen[-1])
    axes.plot([], [], color="#1b6ca8", label="object cells with the right class")
    axes.plot([], [], color="#b58b2a", label="characters right")
    axes.set_xlabel("images seen in the runs of the vision encoder, thousands")
    axes.set_ylabel("percent, on training images")
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, loc="lower right")
    axes.set_title("Vision encoder; images get harder from run to run", fontsize=10)


def _moving_mean(values: list[float]) -> np.ndarray:
    count = min(_WINDOW, len(values))
    ones = np.ones(count)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CURVE)
    given = parser.parse_args()
    validation = json.loads(VALIDATION.read_text("utf-8"))
    draw(read_training_lines(), validation).savefig(given.out, dpi=110)
    print(given.out)


if __name__ == "__main__":
    main()
