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
from ..answer_values import labels_of, scores_of, to_boxes
from ..benchmark import Answered, Benchmark, BenchmarkExample, Reported, Scored, Table, pictures_of
from ..metric import Metric, ap_metric, ratio_metric
from ..metrics.coco_ap import average_precision
from ..metrics.detection import (
    DetectedObjects,
    TrueObjects,
    agreement_counts,
    single_f1s,
    summed_f1,
)
from ..metrics.input_checks import check_known, check_unique
from ..metrics.resampling import PictureMatches, match_pictures
from .benchmark_files import (
    Id,
    box_of,
    check_ids,
    entries_of,
    field_of,
    find_file,
    find_folder,
    id_of,
    image_path,
    order_of_id,
    read_json,
)
from .detection_errors import failure_tables

VAL, TEST = "val2017", "test-dev2017"
_STRANGERS_SHOWN = 30

SOURCE = """\
From cocodataset.org, "2017 Val images" and "2017 Train/Val annotations":

    annotations/instances_val2017.json
    val2017/000000000139.jpg ...

For test-dev, "2017 Test images" and "2017 Testing Image info":

    annotations/image_info_test-dev2017.json
    test2017/000000000001.jpg ...

Annotations of your own in COCO's format are scored the same way under the name of val2017; its
classes are the categories that the file lists."""

PROTOCOL = """\
val2017: 5,000 pictures, 80 classes. Prompt `<OD>`. Figures are COCO's (AP over IoU .50 to .95,
100 detections a class and picture, crowds count neither way), counted by faster-coco-eval; their
intervals draw pictures from one matching by the same rules. F1 is at IoU .5 over all pictures and
classes; each detection pairs with one object, the closest first, and scores play no part.

Scores: a box has the mean probability of its location tokens (the exponential of the mean
log-probability), times that of its label where the model gives one; 1 where it gives neither. How
the paper ranked boxes for AP is not known.

Labels are compared without regard to case and to spaces at their ends. A box
whose label is none of the classes is dropped and counted in a table; no synonyms are tried. A
zero-shot model names objects by other vocabularies too, which costs it recall here."""


@dataclass(frozen=True)
class CocoTruth:
    """The objects of a picture, and the ids of the classes that are looked for."""

    objects: TrueObjects
    categories: Mapping[str, Id]


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One case a picture, by ascending id; those of test-dev2017 have no truth."""
    hidden = split == TEST
    name = f"image_info_{split}.json" if hidden else f"instances_{split}.json"
    path = find_file(data, [f"annotations/{name}", name], SOURCE)
    content = read_json(path, "images") if hidden else _read_instances(path)
    pictures = "test2017" if hidden else split
    images = _images(content, pictures, path)
    folder = find_folder(data, [pictures, f"images/{pictures}", "images"], SOURCE)
    truths = {} if hidden else _truths(content, images, path)
    return [
        BenchmarkExample(
            id=str(number),
            image=image_path(folder, field_of(images[number], "file_name", path), path),
            image_id=str(number),
            task=find_task("<OD>"),
            truth=truths.get(number),
            file_id=number,
        )
        for number in sorted(images, key=order_of_id)
    ]


def score(answered: Sequence[Answered]) -> Scored:
    """COCO's figures and F1, with failures by size and class and the labels that were dropped."""
    truths = [each.case.truth.objects for each in answered]
    unknown_ids: Counter[str] = Counter()
    detections = [_detections(each, unknown_ids) for each in answered]
    matches = match_pictures(truths, detections)
    counts = agreement_counts(truths, detections)
    figures = (
        _figure("AP", matches),
        _figure("AP50", matches, 0.5),
        _figure("AP75", matches, 0.75),
        ratio_metric("F1@0.5", counts, pictures_of(answered), summed_f1),
    )
    tables = (
        _coco_table(truths, detections),
        *failure_tables(truths, detections),
        _strangers_table(unknown_ids),
    )
    return Scored(figures, tuple(single_f1s(counts).tolist()), tables)


def official(answered: Sequence[Answered], folder: Path) -> list[Path]:
    """The result file of COCO's server: a list of boxes with picture, class and score."""
    results = [result for each in answered for result in _results(each)]
    split = VAL if all(each.case.truth is not None for each in answered) else TEST
    path = folder / f"detections_{split}_florence2_results.json"
    atomic_replace(path, json.dumps(results))
    return [path]


def _read_instances(path: Path) -> Any:
    content = read_json(path, "images", "annotations", "categories")
    annotations = entries_of(content, "annotations", path)
    check_unique((id_of(item, "id", path) for item in annotations), f"annotation ids of {path}")
    categories = entries_of(content, "categories", path)
    check_unique((id_of(item, "id", path) for item in categories), f"category ids of {path}")
    names = [_class_key(str(field_of(item, "name", path))) for item in categories]
    check_unique(names, f"category names of {path}")
    return content


def _class_key(name: str) -> str:
    """What class names and labels are compared by: without case, without spaces at their ends."""
    return name.strip().lower()


def _images(content: Mapping[str, Any], pictures: str, path: Path) -> dict[Id, Mapping[str, Any]]:
    """The image entries of a file by id, which must be those of the split."""
    listed = entries_of(content, "images", path)
    ids = [id_of(image, "id", path) for image in listed]
    check_ids(ids, f"image ids of {path}")
    for image in listed:
        address = str(image.get("coco_url", ""))
        if address and f"/{pictures}/" not in address:
            raise ValueError(
                f"{path} lists {address}, which is no picture of {pictures}: "
                "is it another split's file?"
            )
    return dict(zip(ids, listed, strict=True))


def _truths(
    content: Mapping[str, Any], images: Mapping[Id, Mapping[str, Any]], path: Path
) -> dict[Id, CocoTruth]:
    """What each picture holds, by its id; nothing for pictures without annotations."""
    names = {id_of(item, "id", path): str(item["name"]) for item in content["categories"]}
    categories = {name: number for number, name in names.items()}
    items: dict[Id, list[Mapping[str, Any]]] = {number: [] for number in images}
    annotations = content["annotations"]
    pictures = [id_of(item, "image_id", path) for item in annotations]
    check_known(pictures, items, f"{path}: pictures of annotations")
    classes = [id_of(item, "category_id", path) for item in annotations]
    check_known(classes, names, f"{path}: categories of annotations")
    for picture, item in zip(pictures, annotations, strict=True):
        items[picture].append(item)
    return {
        image: CocoTruth(_objects(image, found, names, path), categories)
        for image, found in items.items()
    }


def _objects(
    image: Id, items: Sequence[Mapping[str, Any]], names: Mapping[Id, str], path: Path
) -> TrueObjects:
    extents = np.asarray([box_of(item, path) for item in items], np.float64).reshape(-1, 4)
    return TrueObjects(
        image,
        np.concatenate([extents[:, :2], extents[:, :2] + extents[:, 2:]], axis=1),
        [names[id_of(item, "category_id", path)] for item in items],
        [bool(item.get("iscrowd", 0)) for item in items],
        [_area(item, path) for item in items],
    )


def _area(item: Mapping[str, Any], path: Path) -> float:
    """The area of an annotation's object, of its box where the file gives none."""
    _, _, width, height = box_of(item, path)
    area = item.get("area")
    if area is None:
        return width * height
    if isinstance(area, bool) or not isinstance(area, int | float) or not math.isfinite(area):
        raise ValueError(
            f"{path}: annotation {item.get('id')!r} has area {area!r}, which is not a finite number"
        )
    return float(area)


def _detections(each: Answered, unknown_ids: Counter[str]) -> DetectedObjects:
    """The boxes of known classes under the classes' own names; other labels are counted."""
    names = {_class_key(name): name for name in each.case.truth.categories}
    labels = [_class_key(label) for label in labels_of(each.answer)]
    known = [index for index, label in enumerate(labels) if label in names]
    unknown_ids.update(label for label in labels if label not in names)
    return DetectedObjects(
        each.case.truth.objects.image_id,
        to_boxes(each.answer)[known],
        [names[labels[index]] for index in known],
        scores_of(each.answer)[known],
    )


def _results(each: Answered) -> Iterator[dict[str, Any]]:
    categories = COCO_IDS if each.case.truth is None else each.case.truth.categories
    numbers = {_class_key(name): number for name, number in categories.items()}
    boxes, scores = to_boxes(each.answer), scores_of(each.answer)
    for label, box, sureness in zip(labels_of(each.answer), boxes, scores, strict=True):
        number = numbers.get(_class_key(label))
        if number is not None:
            left, top, right, bottom = box.tolist()
            yield {
                "image_id": each.case.file_id,
                "category_id": number,
                "bbox": [left, top, right - left, bottom - top],
                "score": float(sureness),
            }


def _figure(name: str, matches: PictureMatches, iou: float | None = None) -> Metric:
    return ap_metric(name, matches.pictures, lambda counts: matches.average_precision(counts, iou))


def _coco_table(truths: Sequence[TrueObjects], detections: Sequence[DetectedObjects]) -> Table:
    summary = average_precision(truths, detections).summary()
    rows = tuple(
        (name, round(100 * value, 2) if value >= 0 else "no object")
        for name, value in summary.items()
    )
    return Table("COCO's twelve figures", ("figure", "percent"), rows)


def _strangers_table(unknown_ids: Counter[str]) -> Table:
    rows: list[tuple[str, int]] = [("all", unknown_ids.total())]
    rows += sorted(unknown_ids.items(), key=lambda item: (-item[1], item[0]))[:_STRANGERS_SHOWN]
    return Table("Boxes dropped: labels that are no class", ("label", "boxes"), tuple(rows))


BENCHMARK = Benchmark(
    name="coco-detection",
    title="COCO detection",
    splits=(VAL, TEST),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    official=official,
    reported={VAL: {"AP": Reported(34.7, 37.5, 41.4, 43.4)}},
)
