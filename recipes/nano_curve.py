"""Draws how the bundled model grew with samples: ``python recipes/nano_curve.py``.

From the logs of its runs and its figures on held-out scenes, which lie in ``benchmarks/results``.
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
HELD_OUT = RESULTS / "nano-held-out.json"
PICTURE = ROOT / "docs/images/nano-curve.png"
# The runs in which the tower learned; in the others it stood still.
TOWER_RUNS = (
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
# Of pictures of very different kinds in turns, a mean over as many lines says more than each.
_SMOOTHED = 9


def training_lines() -> list[dict[str, Any]]:
    """The lines of all logs, in the order of the runs."""
    return [
        json.loads(line)
        for path in sorted(RESULTS.glob("*-nano-training.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]


def draw(lines: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> Figure:
    """The figure: what the tower knows of the training's pictures, and held-out figures."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_tower(left, lines)
    pairs = [each["pairs"] / 1000 for each in held_out]
    for name, colour in _SHOWN.items():
        told = [each["figures"].get(name) for each in held_out]
        known = [(x, y) for x, y in zip(pairs, told, strict=True) if y is not None]
        right.plot(*zip(*known, strict=True), "o-", color=colour, label=name)
    right.set_xlabel("pairs seen in all runs but the tower's, thousands")
    right.set_ylabel("percent, on 1,000 held-out scenes")
    right.set_ylim(0, 100)
    right.legend(fontsize=8)
    right.set_title("The whole model's answers", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_tower(axes: Any, lines: list[dict[str, Any]]) -> None:
    before = 0.0
    for run in TOWER_RUNS:
        steps = [each for each in lines if each["run"] == run and each["kind"] == "step"]
        if not steps:
            continue
        # Several questions share a picture.
        questions = 5 if run in ("nano-words", "nano-together") else 1
        seen = before + np.asarray([each["samples_seen"] for each in steps]) / questions / 1000
        for name, colour in (("cells_right", "#1b6ca8"), ("letters_right", "#b58b2a")):
            values = [100 * each[name] for each in steps if name in each]
            if len(values) == len(steps):
                axes.plot(seen, _mean_around(values), color=colour)
        axes.axvline(seen[-1], color="#999", linewidth=0.6, linestyle=":")
        axes.text((before + seen[-1]) / 2, 97, run.removeprefix("nano-"), fontsize=6.5,
                  ha="center", va="top", rotation=90)  # fmt: skip
        before = float(seen[-1])
    axes.plot([], [], color="#1b6ca8", label="cells on things with the right class")
    axes.plot([], [], color="#b58b2a", label="letters right")
    axes.set_xlabel("pictures seen in the runs in which the tower learned, thousands")
    axes.set_ylabel("percent, on the training's own pictures")
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, loc="lower right")
    axes.set_title("The tower; pictures grow harder from run to run", fontsize=10)


def _mean_around(values: list[float]) -> np.ndarray:
    count = min(_SMOOTHED, len(values))
    ones = np.ones(count)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PICTURE)
    given = parser.parse_args()
    held_out = json.loads(HELD_OUT.read_text("utf-8"))
    draw(training_lines(), held_out).savefig(given.out, dpi=110)
    print(given.out)


if __name__ == "__main__":
    main()
