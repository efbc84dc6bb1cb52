"""Small datasets in the files of their makers."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ReferWriter = Callable[..., Path]


@pytest.fixture
def write_refer(tmp_path: Path) -> ReferWriter:
    """Writes three expressions about two objects, as the refer project keeps them."""

    def write(
        directory: str = "refcoco",
        partition: str = "unc",
        split: str = "val",
        *,
        as_json: bool = False,
    ) -> Path:
        (tmp_path / directory).mkdir(exist_ok=True)
        (tmp_path / "images/mscoco/images/train2014").mkdir(parents=True, exist_ok=True)
        stem = tmp_path / directory / f"refs({partition})"
        expressions = _expressions(split)
        if as_json:
            stem.with_suffix(".json").write_text(json.dumps(expressions))
        else:
            stem.with_suffix(".p").write_bytes(pickle.dumps(expressions, protocol=2))
        (tmp_path / directory / "instances.json").write_text(json.dumps(_instances()))
        return tmp_path

    return write


def _expressions(split: str) -> list[dict[str, Any]]:
    def sentence(number: int, text: str) -> dict[str, Any]:
        return {"tokens": text.split(), "raw": text.title(), "sent_id": number, "sent": text}

    def expression(number: int, image: int, part: str, *sentences: Any) -> dict[str, Any]:
        return {
            "sent_ids": [each["sent_id"] for each in sentences], "ref_id": number,
            "file_name": f"COCO_train2014_{image:012d}_{number}.jpg", "ann_id": 10 + number,
            "image_id": image, "split": part, "sentences": list(sentences), "category_id": 1,
        }  # fmt: skip

    return [
        expression(0, 581857, split, sentence(0, "the lady"), sentence(1, "lady in a blue shirt")),
        expression(1, 581857, split, sentence(2, "dog to the left")),
        expression(2, 98304, "train", sentence(3, "a horse")),
    ]


def _instances() -> dict[str, Any]:
    def annotation(number: int, image: int, category: int, bbox: list[float]) -> dict[str, Any]:
        x, y, width, height = bbox
        corners = [x, y, x + width, y, x + width, y + height, x, y + height]
        return {
            "id": number, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0,
            "area": width * height, "segmentation": [corners],
        }  # fmt: skip

    def image(number: int) -> dict[str, Any]:
        name = f"COCO_train2014_{number:012d}.jpg"
        return {"id": number, "file_name": name, "width": 640, "height": 480}

    names = ("person", "dog", "horse")
    return {
        "images": [image(581857), image(98304)],
        "annotations": [
            annotation(10, 581857, 1, [100, 100, 100, 200]),
            annotation(11, 581857, 2, [10, 10, 20, 20]),
            annotation(12, 98304, 3, [0, 0, 50, 50]),
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }
