"""A small model learns 32 real records to exact answers through the public command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import florence2
from florence2.datasets.shards import ShardWriter
from florence2.processing.image import load_image
from florence2.processing.processor import Processor
from florence2.results.records import Annotation, Record, content_hash
from florence2.results.types import Boxes, Polygons, Quads, Text

RECIPE = Path(__file__).with_name("overfit_recipe.py")
KINDS = ("boxes", "captions", "polygons", "quads")


def real_records(photos: Path, processor: Processor) -> list[Record]:
    """32 pictures of people's labels: eight each with boxes, a caption, polygons and quads.

    The photos hold no text, so a quad is the box of an object and its text the category.
    """
    instances = json.loads((photos / "annotations" / "instances_val2017.json").read_text())
    captions = json.loads((photos / "annotations" / "captions_val2017.json").read_text())
    names = {each["id"]: each["name"] for each in instances["categories"]}
    records: list[Record] = []
    for entry in instances["images"]:
        objects = [
            each
            for each in instances["annotations"]
            if each["image_id"] == entry["id"] and not each["iscrowd"]
        ][:3]
        path = photos / "val2017" / entry["file_name"]
        if not objects or not path.is_file():
            continue
        size = load_image(path).size
        kind = KINDS[len(records) % 4]
        spoken = next(each["caption"] for each in captions["annotations"]
                      if each["image_id"] == entry["id"])  # fmt: skip
        annotation = _annotation(kind, objects, names, spoken, size)
        if len(processor.encode_target(annotation.answer, annotation.kind)) > 60:
            continue
        content = path.read_bytes()
        records.append(
            Record(path.name, *size, content_hash(content), image=content, path=path.name,
                   annotations=(annotation,))
        )  # fmt: skip
        if len(records) == 32:
            return records
    raise AssertionError(f"only {len(records)} records of the right length")


def _annotation(kind, objects, names, spoken, size) -> Annotation:  # type: ignore[no-untyped-def]
    boxes = np.asarray([each["bbox"] for each in objects], dtype=np.float32)
    boxes[:, 2:] += boxes[:, :2]
    labels = [names[each["category_id"]] for each in objects]
    if kind == "captions":
        return Annotation("<CAPTION>", Text(spoken.strip()))
    if kind == "boxes":
        return Annotation("<OD>", Boxes(boxes, labels, size))
    if kind == "quads":
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        return Annotation("<OCR_WITH_REGION>", Quads(corners, labels, size))
    parts = [np.asarray(part).reshape(-1, 2) for part in objects[0]["segmentation"]]
    thinned = [part[:: max(1, len(part) // 10)] for part in parts]
    return Annotation("<REGION_TO_SEGMENTATION>", Polygons([thinned], [""], size),
                      region=tuple(boxes[0]))  # fmt: skip


@pytest.mark.slow
def test_32_real_records_are_learned_by_heart(shared: Path, tmp_path: Path) -> None:
    nano = florence2.load("nano", device="cpu")
    records = real_records(shared / "eval" / "photos", nano.processor)
    with ShardWriter(tmp_path / "shards") as writer:
        for record in records:
            writer.write(record)
    command = [sys.executable, "-m", "florence2", "train", str(RECIPE), "--data",
               str(tmp_path / "shards"), "--out", str(tmp_path / "out"), "--quiet"]  # fmt: skip
    subprocess.run(command, check=True, timeout=1500)

    model = florence2.load(tmp_path / "out" / "last", device="cpu")
    wrong = []
    for record in records:
        annotation = record.annotations[0]
        found = model(record.image_bytes(), annotation.task, annotation.region, beams=1,
                      max_new_tokens=80, no_repeat_ngram=0)  # fmt: skip
        target = tuple(model.processor.encode_target(annotation.answer, annotation.kind))
        expected = model.processor.read(target, replace_prompt(model, annotation), found.image_size)
        if found.answer != strip_scores(expected.answer, found.answer):
            wrong.append((record.id, annotation.task))
    assert not wrong


def replace_prompt(model: florence2.Florence2, annotation: Annotation):  # type: ignore[no-untyped-def]
    return model.processor.prompt(annotation.task, annotation.region, (640, 480))


def strip_scores(expected, found):  # type: ignore[no-untyped-def]
    """The expected answer with the scores of the found one, which a label does not have."""
    if isinstance(expected, Text):
        return replace(expected, score=found.score)
    return replace(expected, scores=found.scores, label_scores=found.label_scores)
