from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.importers.coco import TASKS, CocoPart, find_coco, read_coco
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes, Polygons, Text

Draw = Callable[..., Path]

GOOD = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40]}


def write(directory: Path, labels: list[dict[str, Any]], **changes: Any) -> Path:
    """An annotation file about ``a.png`` (id 7), with one class, number 3."""
    values = {
        "images": [{"id": 7, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"id": 3, "name": "boat"}],
        "annotations": labels,
    }
    path = directory / "labels.json"
    path.write_text(json.dumps(values | changes))
    return path


def read(path: Path, context: ImportContext, *tasks: str) -> list[Record]:
    return list(read_coco(find_coco(path), path.parent, context, tasks or ("od", "caption")))


def test_boxes_become_corners(tmp_path: Path, draw: Draw, context: ImportContext) -> None:
    draw("a.png")
    (record,) = read(write(tmp_path, [GOOD]), context)
    assert record.id == "a.png"
    assert record.annotations == (
        Annotation("<OD>", Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))),
    )


def test_each_task_is_made_on_request(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    triangle = [10, 20, 40, 20, 40, 60]
    labels = [
        {**GOOD, "segmentation": [triangle]},
        {"id": 2, "image_id": 7, "caption": " A boat. "},
    ]
    (record,) = read(write(tmp_path, labels), context, *TASKS)
    box, size = (10.0, 20.0, 40.0, 60.0), (100, 80)
    assert record.annotations == (
        Annotation("<OD>", Boxes([box], ["boat"], size)),
        Annotation("<REGION_PROPOSAL>", Boxes([box], [""], size)),
        Annotation("<REGION_TO_CATEGORY>", Text("boat"), region=box),
        Annotation(
            "<REGION_TO_SEGMENTATION>",
            Polygons([[np.reshape(triangle, (-1, 2))]], [""], size),
            region=box,
        ),
        Annotation("<OPEN_VOCABULARY_DETECTION>", Boxes([box], ["boat"], size), text="boat"),
        Annotation("<CAPTION>", Text("A boat.")),
    )
    assert problems == []


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ({**GOOD, "bbox": [90, 20, 12, 10]}, "outside-image"),
        ({**GOOD, "bbox": [10, 20, 0, 40]}, "degenerate-box"),
        ({**GOOD, "bbox": [10, 20, 30]}, "malformed"),
        ({**GOOD, "bbox": "wide"}, "malformed"),
        ({**GOOD, "category_id": 4}, "unknown-class"),
        ({**GOOD, "category_id": [3]}, "malformed"),
        ({**GOOD, "iscrowd": 1}, "crowd"),
        ({**GOOD, "image_id": 8}, "unknown-image"),
        ({**GOOD, "id": None}, "malformed"),
        ({"id": 5, "image_id": 7, "caption": " "}, "empty-text"),
        ({"id": 5, "image_id": 7, "caption": 3}, "malformed"),
    ],
)
def test_a_bad_label_is_listed_and_the_others_stay(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    label: dict[str, Any],
    kind: str,
) -> None:
    draw("a.png")
    path = write(tmp_path, [label, {**GOOD, "id": 99}])
    (record,) = read(path, context)
    assert record.annotations[0].answer == Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))
    assert [(problem.file, problem.kind) for problem in problems] == [(str(path), kind)]


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [
        ([[1, 1, 2, 2]], "empty-polygon"),
        ([[1, 1, 50, 1, 50, 200]], "outside-image"),
        ({"size": [80, 100], "counts": [8000]}, "empty-polygon"),
        ({"size": [5, 5], "counts": [5, 20]}, "image-size"),
        ({"size": [5, 5], "counts": [5]}, "malformed"),
        ("mask", "malformed"),
    ],
)
def test_a_bad_mask_is_listed_and_its_box_stays(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    segmentation: Any,
    kind: str,
) -> None:
    draw("a.png")
    path = write(tmp_path, [{**GOOD, "segmentation": segmentation}])
    (record,) = read(path, context, "od", "region-to-segmentation")
    assert [annotation.task for annotation in record.annotations] == ["<OD>"]
    assert [problem.kind for problem in problems] == [kind]
    assert problems[0].message.startswith("annotation 1: ")


def test_run_lengths_become_polygons(tmp_path: Path, draw: Draw, context: ImportContext) -> None:
    draw("a.png", (6, 5))
    mask = {"size": [5, 6], "counts": [11, 2, 3, 2, 12]}
    label = {**GOOD, "bbox": [2, 1, 2, 2], "segmentation": mask}
    images = [{"id": 7, "file_name": "a.png"}]
    (record,) = read(write(tmp_path, [label], images=images), context, "region-to-segmentation")
    answer = record.annotations[0].answer
    assert answer == Polygons([[[[2, 1], [4, 1], [4, 3], [2, 3]]]], [""], (6, 5))


def test_nothing_there_is_an_answer_but_bad_labels_are_not(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    (empty,) = read(write(tmp_path, []), context)
    assert empty.annotations == (Annotation("<OD>", Boxes([], [], (100, 80))),)
    (bad,) = read(write(tmp_path, [{**GOOD, "category_id": 9}]), context)
    assert bad.annotations == ()


def test_bad_images_are_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    images = [
        {"id": 7, "file_name": "a.png"},
        {"id": 7, "file_name": "again.png"},
        {"id": 8, "file_name": "a.png"},
        {"id": 9, "file_name": "none.png"},
        {"id": 10, "file_name": "broken.png"},
        {"id": 11},
        {"file_name": "a.png"},
    ]
    records = read(write(tmp_path, [], images=images), context)
    assert [record.id for record in records] == ["a.png"]
    kinds = sorted(problem.kind for problem in problems)
    assert kinds == [
        "broken-image", "duplicate", "duplicate", "malformed", "malformed", "missing-file"
    ]  # fmt: skip


def test_another_size_than_declared_is_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png", (80, 100))
    assert read(write(tmp_path, [GOOD]), context) == []
    assert [problem.kind for problem in problems] == ["image-size"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"images": 3}'])
def test_a_file_that_is_no_coco_is_listed(
    tmp_path: Path, context: ImportContext, problems: list[ImportProblem], content: bytes
) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes(content)
    assert read(path, context) == []
    assert [problem.kind for problem in problems] == ["malformed"]


def test_duplicate_annotations_and_categories_are_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    categories = [{"id": 3, "name": "boat"}, {"id": 3, "name": "ship"}]
    (record,) = read(write(tmp_path, [GOOD, GOOD], categories=categories), context)
    assert record.annotations[0].answer == Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))
    assert [problem.kind for problem in problems] == ["duplicate", "duplicate"]


def test_the_layouts_are_found(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val").mkdir()
    for name in ("instances_val", "captions_val", "person_keypoints_val", "instances_train"):
        (tmp_path / "annotations" / f"{name}.json").write_text("{}")
    train, val = find_coco(tmp_path)
    files = tmp_path / "annotations"
    assert val == CocoPart(
        (files / "instances_val.json", files / "captions_val.json"), tmp_path / "val", "val"
    )
    assert find_coco(tmp_path, "train") == (train,)
    with pytest.raises(ValueError, match="no split 'test'; it has train, val"):
        find_coco(tmp_path, "test")
    exported = tmp_path / "export" / "valid" / "_annotations.coco.json"
    exported.parent.mkdir(parents=True)
    exported.write_text("{}")
    assert find_coco(tmp_path / "export") == (CocoPart((exported,), exported.parent, "valid"),)
    with pytest.raises(FileNotFoundError, match="name the annotation file itself"):
        find_coco(tmp_path / "val")


def test_tasks_without_labels_are_refused(tmp_path: Path, context: ImportContext) -> None:
    with pytest.raises(ValueError, match="no labels for task 'ocr'"):
        read(write(tmp_path, []), context, "ocr")


@pytest.mark.parametrize("id", [7, 7.0, "7"])
def test_an_id_is_the_same_however_it_is_written(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], id: Any
) -> None:
    draw("a.png")
    (record,) = read(write(tmp_path, [{**GOOD, "image_id": id, "category_id": "3"}]), context)
    assert record.annotations[0].answer.labels == ("boat",)
    assert problems == []


@pytest.mark.parametrize(
    "label",
    [
        {**GOOD, "category_id": True},
        {**GOOD, "category_id": 10**30},
        {**GOOD, "image_id": 7.5},
        {**GOOD, "bbox": [1, 1, float("nan"), 5]},
        {**GOOD, "bbox": [1, 1, 10**400, 5]},
        {**GOOD, "bbox": [True, 1, 5, 5]},
        {"id": 5, "image_id": 7, "caption": "half \ud800 pair"},
        {"id": 5, "image_id": 7, "caption": "nul \0"},
        {"id": 5, "image_id": 7, "caption": "x" * 300_000},
        {**GOOD, "score": float("inf")},
        7,
    ],
)
def test_hostile_labels_are_listed_one_by_one(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], label: Any
) -> None:
    draw("a.png")
    (record,) = read(write(tmp_path, [label, {**GOOD, "id": 99}]), context)
    assert record.annotations[0].answer == Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))
    assert len(problems) == 1


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [80, 100], "counts": "~" * 100_000},
        {"size": [80, 100], "counts": "o" * 100_000},
        {"size": [80, 100], "counts": "\x00"},
        {"size": [80, 100], "counts": [10**400]},
        {"size": [80, 100], "counts": [4000.5, 3999.5]},
        {"size": [80, 100], "counts": None},
        {"size": [0, 0], "counts": []},
        {"size": [-80, -100], "counts": [8000]},
        {"counts": [8000]},
    ],
)
def test_a_mask_is_checked_before_memory_is_taken(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], mask: Any
) -> None:
    draw("a.png")
    labels = [{**GOOD, "segmentation": mask}]
    (record,) = read(write(tmp_path, labels), context, "region-to-segmentation", "od")
    assert [annotation.task for annotation in record.annotations] == ["<OD>"]
    assert len(problems) == 1


def test_boxes_in_fractions_are_refused_and_a_box_of_a_pixel_is_not(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("a.png")
    fractions = [{**GOOD, "id": n, "bbox": [0.25, 0.25, 0.5, 0.5]} for n in range(3)]
    with pytest.raises(ValueError, match="fractions of the images"):
        read(write(tmp_path, fractions), context)
    pixels = [{**GOOD, "bbox": [0, 0, 1, 1]}, {**GOOD, "id": 2}]
    (record,) = read(write(tmp_path, pixels), context)
    assert len(record.annotations[0].answer) == 2


def test_a_single_polygon_stands_in_for_its_box(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("a.png")
    flat = {**GOOD, "bbox": None, "segmentation": [10, 20, 40, 20, 40, 60]}
    (record,) = read(write(tmp_path, [flat]), context)
    assert record.annotations[0].answer == Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))


def test_labels_of_a_photo_that_is_stored_turned(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    draw("a.png", (100, 80), exif=exif)
    (record,) = read(write(tmp_path, [GOOD]), context)
    assert record.image_size == (80, 100)
    assert record.annotations[0].answer == Boxes([[20, 10, 60, 40]], ["boat"], (80, 100))
    assert problems == []


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("annotations/train.json", "images/a.png"),
        ("labels.json", "data/a.png"),
        ("annotations/instances.json", "images/a.png"),
        ("annotations/instances_val2017.json", "val2017/a.png"),
    ],
)
def test_files_of_any_name_with_images_beside_them(
    tmp_path: Path, draw: Draw, context: ImportContext, file: str, image: str
) -> None:
    directory = tmp_path / "set"
    path = directory / file
    path.parent.mkdir(parents=True)
    write(tmp_path, [GOOD]).rename(path)
    (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
    draw(f"set/{image}")
    for source in (directory, path):
        (record,) = read_coco(find_coco(source), directory, context)
        assert (record.id, record.file_name) == (image, "a.png")


def test_the_directory_of_the_images_may_be_named(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("elsewhere/a.png")
    (tmp_path / "set").mkdir()
    path = write(tmp_path / "set", [GOOD])
    (record,) = read_coco(find_coco(path), path.parent, context, images=tmp_path / "elsewhere")
    assert record.file_name == "a.png"


def test_an_image_without_file_name_is_found_by_its_url(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("a.png")
    images = [{"id": 7, "coco_url": "http://host/val2017/a.png"}]
    assert len(read(write(tmp_path, [GOOD], images=images), context)) == 1


def test_an_image_without_file_name_is_found_by_its_id(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("000000000007.png")
    assert len(read(write(tmp_path, [GOOD], images=[{"id": 7}]), context)) == 1
