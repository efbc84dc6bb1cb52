"""How many small objects tiles find, at the precision of the picture as a whole.

    python benchmarks/bench_tiling.py --art FOLDER [--scenes 150] [--tiles 2x2 --tiles 3x3]

Made scenes of 576 x 576 with many small things, of the test split. A box counts when it overlaps
a thing that nobody has yet by an IoU of 0.5; ``named`` asks for the right name too. Boxes of tiled
answers are taken by falling score while their precision is at least that of the whole pictures'
answers; small is below 1% of the picture.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import florence2
from florence2.results.geometry import box_iou
from florence2.results.types import Boxes
from florence2.synthetic.scene import SceneSettings
from florence2.synthetic.scene_records import SceneRecords
from florence2.synthetic.sprite_library import load_library
from florence2.workflows import Tiling, predict_tiles

SETTINGS = SceneSettings(size=(576, 576), objects=(8, 14), sides=(0.06, 0.3), visible=0.6,
                         texts=0.0, effects=0.4, pages=0.0)  # fmt: skip
SMALL = 0.01


def matched(found: Boxes, truth: Boxes, named: bool) -> list[tuple[float, bool, bool]]:
    """Of every box: its score, whether it is right, whether what it found is small."""
    scores = np.zeros(len(found)) if found.scores is None else found.scores
    overlap = box_iou(found.xyxy, truth.xyxy)
    if named:
        same = np.array(found.labels, object)[:, None] == np.array(truth.labels, object)[None]
        overlap = np.where(same, overlap, 0)
    sizes = np.prod(truth.xyxy[:, 2:] - truth.xyxy[:, :2], axis=1) / np.prod(truth.image_size)
    taken: set[int] = set()
    outcome = []
    for index in np.argsort(-scores, kind="stable"):
        free = [each for each in np.argsort(-overlap[index]) if int(each) not in taken]
        best = int(free[0]) if free else -1
        right = best >= 0 and overlap[index, best] >= 0.5
        if right:
            taken.add(best)
        outcome.append((float(scores[index]), bool(right), bool(right and sizes[best] < SMALL)))
    return outcome


def at_precision(outcomes: list[tuple[float, bool, bool]], least: float) -> tuple[int, int, float]:
    """Small things found, all found, and the precision, of the longest ranking that has it."""
    ranked = sorted(outcomes, key=lambda each: -each[0])
    right = np.cumsum([each[1] for each in ranked])
    small = np.cumsum([each[2] for each in ranked])
    precision = right / np.arange(1, len(ranked) + 1)
    good = np.flatnonzero(precision >= least)
    if not len(good):
        return 0, 0, 0.0
    last = int(good[-1])
    return int(small[last]), int(right[last]), float(precision[last])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--tiles", action="append")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = florence2.load(options.model)
    records = SceneRecords(load_library(options.art, "test"), "test", stages=[(0, SETTINGS)],
                           tasks={"<OD>"}, series=9)  # fmt: skip
    ways: dict[str, Tiling | None] = {"whole": None}
    ways |= {text: Tiling.parse(text) for text in options.tiles or ["2x2", "3x3"]}
    seen: dict[str, dict[bool, list[Any]]] = {name: {False: [], True: []} for name in ways}
    small = everything = 0
    for number in range(options.scenes):
        record = records[number]
        truth = record.annotations[0].answer
        assert isinstance(truth, Boxes)
        areas = np.prod(truth.xyxy[:, 2:] - truth.xyxy[:, :2], axis=1) / 576**2
        small, everything = small + int((areas < SMALL).sum()), everything + len(areas)
        image = Image.open(io.BytesIO(record.image_bytes())).convert("RGB")
        for name, tiling in ways.items():
            if tiling is None:
                answer = model(image, "od", max_new_tokens=200).answer
            else:
                answer = predict_tiles(
                    model.batch, image, "od", None, tiling, max_new_tokens=200
                ).answer
            assert isinstance(answer, Boxes)
            for named in (False, True):
                seen[name][named] += matched(answer, truth, named)
    found: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]), "model": options.model,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "scenes": options.scenes, "things": everything, "small": small,
    }  # fmt: skip
    for named in (False, True):
        whole = seen["whole"][named]
        precision = sum(each[1] for each in whole) / max(1, len(whole))
        rows: dict[str, Any] = {"whole": {
            "small": sum(each[2] for each in whole), "all": sum(each[1] for each in whole),
            "precision": precision,
        }}  # fmt: skip
        for name in list(ways)[1:]:
            few, right, reached = at_precision(seen[name][named], precision)
            rows[name] = {"small": few, "all": right, "precision": reached,
                          "small, times": few / max(1, rows["whole"]["small"])}  # fmt: skip
        found["named" if named else "any name"] = rows
    print(json.dumps(found, indent=2))
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
