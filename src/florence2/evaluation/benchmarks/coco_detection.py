"""COCO detection, val2017 and the hidden test-dev2017."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...io.atomic import atomic_replace
from ...results.coco_names import COCO_IDS
from ...results.tasks import find_task
from ..answer_values import get_labels, get_scores, to_boxes
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    PaperResult,
    Table,
    get_image_ids,
)
from ..metrics.coco_ap import average_precision
from ..metrics.detection import DetectedObjects, GroundTruthObjects
from ..metrics.input_checks import check_known, check_unique
from ..scorers import score_boxes
from .benchmark_files import (
    Id,
    check_ids,
    find_directory,
    find_file,
    get_box,
    get_entries,
    get_field,
    get_id,
    id_sort_key,
    image_path,
    read_json,
)
from .detection_errors import error_tables

VAL, TEST = "val2017", "test-dev2017"
_UNKNOWN_LABELS_SHOWN = 30

SOURCE = """\
From cocodataset.org, "2017 Val images" and "2017 Train/Val annotations":

    annotations/instances_val2017.json
    val2017/000000000139.jpg ...

For test-dev, "2017 Test images" and "2017 Testing Image info":

    annotations/image_info_test-dev2017.json
    test2017/000000000001.jpg ...

Your own annotations in COCO's format are scored the same way under the name of val2017; the classes
are the categories of the file."""

PROTOCOL = """\
val2017: 5,000 images, 80 classes. Prompt `<OD>`. Metrics are COCO's (AP over IoU .50 to .95,
100 detections per class and image, crowds are ignored), counted by faster-coco-eval; intervals
resample images, with detections matched once by the same rules. F1 is at IoU .5 over all images and
classes; each detection is paired with one object, the closest pairs first, and scores do not count.

Scores: the score of a box is the mean probability of its location tokens (the exponential of the
mean log-probability), times that of its label where known; 1 where neither is known. How the paper
ranked boxes for AP is not known.

Labels are compared without regard to case and to spaces at their ends. A box whose label is not one
of the classes is dropped and counted in a table; synonyms are not tried. A zero-shot model also
names objects by other vocabularies, which lowers its recall here."""


@dataclass(frozen=True)
class CocoObjects:
    """The objects of an image, and the ids of the classes."""

    objects: GroundTruthObjects
    categories: Mapping[str, Id]


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One example per image, by ascending id; those of test-dev2017 have no ground truth."""
    hidden = split == TEST
    name = f"image_info_{split}.json" if hidden else f"instances_{split}.json"
    path = find_file(data, [f"annotations/{name}", name], SOURCE)
    content = read_json(path, "images") if hidden else _read_instances(path)
    directory_name = "test2017" if hidden else split
    images = _images(content, directory_name, path)
    directory = find_directory(data, [directory_name, f"images/{directory_name}", "images"], SOURCE)
    ground_truths = {} if hidden else _ground_truths(content, images, path)
    return [
        BenchmarkExample(
            id=str(number),
            image=image_path(directory, get_field(images[number], "file_name", path), path),
            image_id=str(number),
            task=find_task("<OD>"),
            ground_truth=ground_truths.get(number),
            file_id=number,
        )
        for number in sorted(images, key=id_sort_key)
    ]


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """COCO's metrics and F1, with errors by size and class and the labels that were dropped."""
    ground_truths = [each.example.ground_truth.objects for each in predictions]
    unknown_labels: Counter[str] = Counter()
    detections = [_detections(each, unknown_labels) for each in predictions]
    scores = score_boxes(ground_truths, detections, get_image_ids(predictions))
    metrics = scores.rename({"map": "AP", "map50": "AP50", "map75": "AP75", "f1": "F1@0.5"})
    tables = (
        _coco_table(ground_truths, detections),
        *error_tables(ground_truths, detections),
        _unknown_labels_table(unknown_labels),
    )
    return BenchmarkScores(tuple(metrics), tuple(scores.per_example.tolist()), tables)


def official(predictions: Sequence[ExamplePrediction], directory: Path) -> list[Path]:
    """Write the result file of COCO's server: a list of boxes with image, class and score."""
    results = [result for each in predictions for result in _results(each)]
    split = VAL if all(each.example.ground_truth is not None for each in predictions) else TEST
    path = directory / f"detections_{split}_florence2_results.json"
    atomic_replace(path, json.dumps(results))
    return [path]


def _read_instances(path: Path) -> Any:
    content = read_json(path, "images", "annotations", "categories")
    annotations = get_entries(content, "annotations", path)
    check_unique((get_id(item, "id", path) for item in annotations), f"annotation ids of {path}")
    categories = get_entries(content, "categories", path)
    check_unique((get_id(item, "id", path) for item in categories), f"category ids of {path}")
    names = [_class_key(str(get_field(item, "name", path))) for item in categories]
    check_unique(names, f"category names of {path}")
    return content


def _class_key(name: str) -> str:
    """A class name or label for comparison: in lower case, without spaces at its ends."""
    return name.strip().lower()


def _images(content: Mapping[str, Any], split: str, path: Path) -> dict[Id, Mapping[str, Any]]:
    """The image entries of a file by id; ``ValueError`` for images of another split."""
    listed = get_entries(content, "images", path)
    ids = [get_id(image, "id", path) for image in listed]
    check_ids(ids, f"image ids of {path}")
    for image in listed:
        url = str(image.get("coco_url", ""))
        if url and f"/{split}/" not in url:
            raise ValueError(
                f"{path} lists {url}, which is not an image of {split}: it is the file of another "
                "split"
            )
    return dict(zip(ids, listed, strict=True))


def _ground_truths(
    content: Mapping[str, Any], images: Mapping[Id, Mapping[str, Any]], path: Path
) -> dict[Id, CocoObjects]:
    """The objects of each image by its id, also of images without annotations."""
    names = {get_id(item, "id", path): str(item["name"]) for item in content["categories"]}
    categories = {name: number for number, name in names.items()}
    items: dict[Id, list[Mapping[str, Any]]] = {number: [] for number in images}
    annotations = content["annotations"]
    image_ids = [get_id(item, "image_id", path) for item in annotations]
    check_known(image_ids, items, f"{path}: images of annotations")
    classes = [get_id(item, "category_id", path) for item in annotations]
    check_known(classes, names, f"{path}: categories of annotations")
    for image_id, item in zip(image_ids, annotations, strict=True):
        items[image_id].append(item)
    return {
        image_id: CocoObjects(_objects(image_id, found, names, path), categories)
        for image_id, found in items.items()
    }


def _objects(
    image: Id, items: Sequence[Mapping[str, Any]], names: Mapping[Id, str], path: Path
) -> GroundTruthObjects:
    extents = np.asarray([get_box(item, path) for item in items], np.float64).reshape(-1, 4)
    return GroundTruthObjects(
        image,
        np.concatenate([extents[:, :2], extents[:, :2] + extents[:, 2:]], axis=1),
        [names[get_id(item, "category_id", path)] for item in items],
        [bool(item.get("iscrowd", 0)) for item in items],
        [_area(item, path) for item in items],
    )


def _area(item: Mapping[str, Any], path: Path) -> float:
    """The area of an annotation's object; of its box where the file has none."""
    _, _, width, height = get_box(item, path)
    area = item.get("area")
    if area is None:
        return width * height
    if isinstance(area, bool) or not isinstance(area, int | float) or not math.isfinite(area):
        raise ValueError(
            f"{path}: annotation {item.get('id')!r} has area {area!r}, which is not a finite number"
        )
    return float(area)


def _detections(each: ExamplePrediction, unknown_labels: Counter[str]) -> DetectedObjects:
    """The boxes of the classes, with the classes' own names; other labels are counted."""
    names = {_class_key(name): name for name in each.example.ground_truth.categories}
    labels = [_class_key(label) for label in get_labels(each.answer)]
    known = [index for index, label in enumerate(labels) if label in names]
    unknown_labels.update(label for label in labels if label not in names)
    return DetectedObjects(
        each.example.ground_truth.objects.image_id,
        to_boxes(each.answer)[known],
        [names[labels[index]] for index in known],
        get_scores(each.answer)[known],
    )


def _results(each: ExamplePrediction) -> Iterator[dict[str, Any]]:
    ground_truth = each.example.ground_truth
    categories = COCO_IDS if ground_truth is None else ground_truth.categories
    numbers = {_class_key(name): number for name, number in categories.items()}
    boxes, scores = to_boxes(each.answer), get_scores(each.answer)
    for label, box, confidence in zip(get_labels(each.answer), boxes, scores, strict=True):
        number = numbers.get(_class_key(label))
        if number is not None:
            left, top, right, bottom = box.tolist()
            yield {
                "image_id": each.example.file_id,
                "category_id": number,
                "bbox": [left, top, right - left, bottom - top],
                "score": float(confidence),
            }


def _coco_table(
    ground_truths: Sequence[GroundTruthObjects], detections: Sequence[DetectedObjects]
) -> Table:
    summary = average_precision(ground_truths, detections).summary()
    rows = tuple(
        (name, round(100 * value, 2) if value >= 0 else "no object")
        for name, value in summary.items()
    )
    return Table("COCO's twelve metrics", ("metric", "percent"), rows)


def _unknown_labels_table(unknown_labels: Counter[str]) -> Table:
    rows: list[tuple[str, int]] = [("all", unknown_labels.total())]
    ranked = sorted(unknown_labels.items(), key=lambda item: (-item[1], item[0]))
    rows += ranked[:_UNKNOWN_LABELS_SHOWN]
    return Table("Boxes dropped: unknown labels", ("label", "boxes"), tuple(rows))


BENCHMARK = Benchmark(
    name="coco-detection",
    title="COCO detection",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    official=official,
    reported={VAL: {"AP": PaperResult(34.7, 37.5, 41.4, 43.4)}},
)
