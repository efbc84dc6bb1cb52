"""Writes the picture that comes with the package, a held-out scene, and what is asked about it.

Run ``python recipes/demo_picture.py --art ART --number 3`` to write ``src/florence2/nano/demo.png``
and ``demo.json`` anew. The scene is one of the test split: neither it nor, where its things have
several drawings, these drawings were ever trained on. Its art is Google's (Noto, Apache-2.0) and
Microsoft's (Fluent, MIT); ``src/florence2/nano/README.md`` says so beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from florence2.io.atomic import atomic_replace
from florence2.processing.image import load_image
from florence2.results.records import Annotation
from florence2.synthetic.scene_records import SceneRecords
from florence2.synthetic.sprite_library import load_library

FOLDER = Path(__file__).resolve().parents[1] / "src" / "florence2" / "nano"


def questions(annotations: Iterable[Annotation]) -> dict[str, Any]:
    """The input of each task that has one: a region as four numbers, words as they are."""
    asked: dict[str, Any] = {}
    for each in annotations:
        if each.region is not None:
            asked.setdefault(each.task, [round(value, 1) for value in each.region])
        elif each.text:
            asked.setdefault(each.task, each.text)
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, required=True, help="what florence2 scenes fetch made")
    parser.add_argument("--number", type=int, required=True, help="which scene of the test split")
    given = parser.parse_args()
    record = SceneRecords(load_library(given.art, "test"), "test")[given.number]
    picture = load_image(record.image_bytes())
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture.save(FOLDER / "demo.png", optimize=True)
    asked = {"scene": record.id, "questions": questions(record.annotations)}
    atomic_replace(FOLDER / "demo.json", json.dumps(asked, indent=2) + "\n")
    print(f"{record.id} in {FOLDER}")


if __name__ == "__main__":
    main()
