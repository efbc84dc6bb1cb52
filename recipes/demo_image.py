"""Writes the image that comes with the package, a held-out scene, and its prompts.

Run ``python recipes/demo_image.py --art ART --number 3`` to write ``src/florence2/nano/demo.png``
and ``demo.json`` again. The scene is of the test split: neither it nor its drawings, for objects
with several drawings, were trained on. Its art is Google's (Noto, Apache-2.0) and
Microsoft's (Fluent, MIT); ``src/florence2/nano/README.md`` has the notices.
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

DIRECTORY = Path(__file__).resolve().parents[1] / "src" / "florence2" / "nano"


def list_prompts(annotations: Iterable[Annotation]) -> dict[str, Any]:
    """The input of each task that has one: a region as four numbers, or text."""
    prompts: dict[str, Any] = {}
    for each in annotations:
        if each.region is not None:
            prompts.setdefault(each.task, [round(value, 1) for value in each.region])
        elif each.text:
            prompts.setdefault(each.task, each.text)
    return prompts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--art", type=Path, required=True, help="directory of florence2 scenes fetch"
    )
    parser.add_argument("--number", type=int, required=True, help="which scene of the test split")
    given = parser.parse_args()
    record = SceneRecords(load_library(given.art, "test"), "test")[given.number]
    image = load_image(record.image_bytes())
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    image.save(DIRECTORY / "demo.png", optimize=True)
    content = {"scene": record.id, "questions": list_prompts(record.annotations)}
    atomic_replace(DIRECTORY / "demo.json", json.dumps(content, indent=2) + "\n")
    print(f"{record.id} in {DIRECTORY}")


if __name__ == "__main__":
    main()
