"""What ``florence2 convert`` does with whole sets: classes, splits, directories, refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from florence2.cli import app
from florence2.datasets.exporters.destination import FILES_LIST
from florence2.datasets.shards import ShardDataset
from florence2.io.run_lock import lock_run_dir


def convert(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def names_of(directory: Path) -> list[str]:
    return [
        line.split(": ", 1)[1]
        for line in (directory / "data.yaml").read_text().splitlines()
        if line.startswith("  ")
    ]


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Two splits, three classes of which one has no object, and a background."""
    directory = tmp_path / "set"
    for split, labels in (
        ("train", {"a": "2 0.5 0.5 0.2 0.2\n", "b": None}),
        ("val", {"a": "0 0.5 0.5 0.5 0.5\n"}),
    ):
        for name, text in labels.items():
            for kind in ("images", "labels"):
                (directory / kind / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), "navy").save(directory / "images" / split / f"{name}.png")
            if text is not None:
                (directory / "labels" / split / f"{name}.txt").write_text(text)
    (directory / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [cat, dog, bird]\n"
    )
    return directory


def write_answers(directory: Path, *lines: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    image = directory.parent / "seen.png"
    if not image.exists():
        Image.new("RGB", (60, 40), "navy").save(image)
    whole = [
        {"image": str(image), "task": "<OD>", "image_size": [60, 40], **each} for each in lines
    ]
    (directory / "answers.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in whole))
    return directory


def boxes(*labels: str, at: float = 10, **more: Any) -> dict[str, Any]:
    places = [[at, 5, at + 20, 25] for _ in labels]
    return {"answer": {"bboxes": places, "labels": list(labels), **more}}


def test_the_list_of_classes_and_the_splits_stay(yolo: Path, tmp_path: Path) -> None:
    result = convert(
        yolo, "--format", "yolo", "--to", "yolo", "--out", tmp_path / "out", "--strict"
    )
    assert result.exit_code == 0, result.output
    assert names_of(tmp_path / "out") == ["cat", "dog", "bird"]
    for split in ("train", "val"):
        assert (tmp_path / "out/images" / split / "a.png").is_file()
        same = (yolo / f"labels/{split}/a.txt").read_text()
        assert (tmp_path / f"out/labels/{split}/a.txt").read_text() == same
    assert (tmp_path / "out/labels/train/b.txt").read_text() == ""
    only = convert(
        yolo, "--format", "yolo", "--split", "val", "--to", "coco", "--out", tmp_path / "v"
    )
    assert only.exit_code == 0
    assert [each.name for each in (tmp_path / "v/annotations").iterdir()] == ["instances_val.json"]


def test_shards_keep_classes_splits_and_objects(yolo: Path, tmp_path: Path) -> None:
    assert convert(yolo, "--format", "yolo", "--out", tmp_path / "shards").exit_code == 0
    dataset = ShardDataset(tmp_path / "shards")
    assert [each.name for each in dataset.manifest.categories] == ["cat", "dog", "bird"]
    assert [each.split for each in dataset] == ["train", "train", "val"]
    convert(tmp_path / "shards", "--to", "yolo", "--out", tmp_path / "out")
    assert names_of(tmp_path / "out") == ["cat", "dog", "bird"]
    assert (tmp_path / "out/labels/val/a.txt").read_text() == "0 0.5 0.5 0.5 0.5\n"


def test_tasks_of_shards_are_chosen_or_refused_by_name(yolo: Path, tmp_path: Path) -> None:
    convert(yolo, "--format", "yolo", "--out", tmp_path / "shards")
    missing = convert(
        tmp_path / "shards", "--to", "jsonl", "-t", "caption", "--out", tmp_path / "no"
    )
    assert missing.exit_code == 2 and "<CAPTION>" in missing.stderr and "<OD>" in missing.stderr
    assert not (tmp_path / "no").exists()
    asked = convert(
        tmp_path / "shards", "--to", "yolo", "--prompt", "<VQA>", "--out", tmp_path / "no"
    )
    assert asked.exit_code == 2 and "--prompt" in asked.stderr
    val = convert(tmp_path / "shards", "--to", "yolo", "--split", "val", "--out", tmp_path / "val")
    assert val.exit_code == 0 and not (tmp_path / "val/images/train").exists()


def test_classes_come_from_a_file_and_other_labels_are_named(yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("bird=fowl\ndog\n")
    arguments = (yolo, "--format", "yolo", "--to", "yolo", "--out", tmp_path / "out")
    result = convert(*arguments, "--classes", tmp_path / "classes.txt")
    assert result.exit_code == 0
    assert names_of(tmp_path / "out") == ["fowl", "dog"]
    assert "'cat' (1)" in result.stderr
    for name, text in (("c.yaml", "names: [no, dog]"), ("c.json", '["no", "dog"]')):
        (tmp_path / name).write_text(text)
        out = tmp_path / f"by {name}"
        result = convert(*arguments[:-1], out, "--classes", tmp_path / name)
        assert result.exit_code == 1 and "all 2 regions were skipped" in result.stderr
    missing = convert(*arguments, "--classes", tmp_path / "gone.txt")
    assert missing.exit_code == 2 and "gone.txt" in missing.stderr


def test_a_folder_holds_one_set(yolo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (yolo, "--format", "yolo", "--to", "yolo", "--out", out)
    assert convert(*arguments).exit_code == 0
    before = sorted(path.name for path in out.rglob("*"))
    assert convert(*arguments).exit_code == 0
    assert sorted(path.name for path in out.rglob("*")) == before
    other = convert(*arguments, "--split", "val")
    assert (
        other.exit_code == 2 and "another set" not in other.output and "--overwrite" in other.stderr
    )
    (yolo / "labels/val/a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    changed = convert(*arguments)
    assert changed.exit_code == 2 and "before it was changed" in " ".join(changed.stderr.split())
    assert (out / "labels/val/a.txt").read_text().startswith("0 ")
    assert convert(*arguments, "--split", "val", "--overwrite").exit_code == 0
    assert [path.name for path in out.rglob("*.png")] == ["a.png"]
    assert not (out / "labels/train").exists()


def test_files_that_no_conversion_wrote_are_never_mixed_in(yolo: Path, tmp_path: Path) -> None:
    (tmp_path / "out/labels").mkdir(parents=True)
    (tmp_path / "out/labels/old.txt").write_text("7 0.5 0.5 0.5 0.5\n")
    arguments = (yolo, "--format", "yolo", "--to", "yolo", "--out", tmp_path / "out")
    for more in ((), ("--overwrite",)):
        result = convert(*arguments, *more)
        assert result.exit_code == 2 and "'labels'" in result.stderr
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["old.txt"]


@pytest.mark.parametrize("to", ["shards", "yolo"])
def test_a_second_process_is_refused_and_a_failed_start_leaves_nothing(
    yolo: Path, tmp_path: Path, to: str
) -> None:
    arguments = (yolo, "--format", "yolo", "--to", to, "--out", tmp_path / "out")
    with lock_run_dir(tmp_path / "out"):
        held = convert(*arguments)
    assert held.exit_code == 2 and str(os.getpid()) in held.stderr
    assert convert(*arguments, "--split", "test").exit_code == 2
    assert not (tmp_path / "out").exists()
    assert convert(*arguments).exit_code == 0


def test_nothing_written_is_status_1_and_a_sentence(yolo: Path, tmp_path: Path) -> None:
    for image in yolo.rglob("*.png"):
        image.write_bytes(b"no image")
    for to in ("shards", "coco"):
        result = convert(yolo, "--format", "yolo", "--to", to, "--out", tmp_path / to)
        assert result.exit_code == 1, result.output
        assert "nothing was" in result.stderr
    (tmp_path / "broken.json").write_text("{")
    assert (
        convert(tmp_path / "broken.json", "--format", "coco", "--out", tmp_path / "b").exit_code
        != 0
    )


def test_a_conversion_that_was_killed_does_not_mix_old_and_new_labels(
    yolo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    arguments = (yolo, "--format", "yolo", "--out", out)
    assert convert(*arguments).exit_code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    (yolo / "labels/val/a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    changed = convert(*arguments)
    assert changed.exit_code == 2 and "was changed" in changed.stderr
    (yolo / "labels/val/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert convert(*arguments).exit_code == 0
    # Shards of earlier releases do not tell their source's content.
    manifest["origin"].pop("content")
    (out / "manifest.json").write_text(json.dumps({**manifest, "complete": False}))
    assert convert(*arguments).exit_code == 0


def test_each_object_is_written_once_whatever_was_asked(tmp_path: Path) -> None:
    near = boxes("cat", at=10.5)
    run = write_answers(
        tmp_path / "run",
        boxes("cat", scores=[0.0]),
        {**near, "task": "<OPEN_VOCABULARY_DETECTION>", "text": "cat"},
        {**boxes("a cat on a mat"), "task": "<DENSE_REGION_CAPTION>"},
        {**boxes(""), "task": "<REGION_PROPOSAL>"},
    )  # fmt: skip
    result = convert(run, "--to", "coco", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "out/annotations/instances.json").read_text())
    assert [each["name"] for each in values["categories"]] == ["cat"]
    (annotation,) = values["annotations"]
    assert annotation["score"] == 0.0
    assert json.loads((tmp_path / "out/results.json").read_text())[0]["score"] == 0.0
    assert "<DENSE_REGION_CAPTION>" in result.stderr and "<REGION_PROPOSAL>" in result.stderr
    alone = convert(run, "--to", "coco", "-t", "dense-region-caption", "--out", tmp_path / "dense")
    assert alone.exit_code == 0
    values = json.loads((tmp_path / "dense/annotations/instances.json").read_text())
    assert [each["name"] for each in values["categories"]] == ["a cat on a mat"]


def test_both_tasks_of_one_source_give_each_object_once(tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    outline = [10, 5, 30, 5, 30.5, 25, 10, 20]
    hole = {"size": [40, 60], "counts": [0, 60 * 40]}
    labels = [
        {"id": 8, "image_id": 5, "category_id": 7, "bbox": [10, 5, 20.5, 20], "area": 300.5,
         "segmentation": [outline], "iscrowd": 0, "seen_by": "me"},
        {"id": 9, "image_id": 5, "category_id": 7, "bbox": [0, 0, 60, 40], "area": 2400,
         "segmentation": hole, "iscrowd": 1},
    ]  # fmt: skip
    values = {
        "images": [{"id": 5, "file_name": "a.png", "width": 60, "height": 40, "license": 3}],
        "categories": [
            {"id": 7, "name": "cat ", "supercategory": "animal"},
            {"id": 2, "name": "x", "supercategory": ""},
        ],
        "annotations": labels,
    }  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(values))
    arguments = (
        tmp_path / "labels.json",
        "--format",
        "coco",
        "-t",
        "od",
        "-t",
        "region-to-segmentation",
    )
    assert convert(*arguments, "--to", "coco", "--out", tmp_path / "out", "--strict").exit_code == 0
    written = json.loads((tmp_path / "out/annotations/instances.json").read_text())
    assert written["categories"] == values["categories"] and written["images"] == values["images"]
    assert [each["seen_by"] for each in written["annotations"][:1]] == ["me"]
    for one, other in zip(written["annotations"], labels, strict=True):
        assert {name: one[name] for name in other} == other
    segments = convert(*arguments, "--to", "yolo-seg", "--out", tmp_path / "yolo")
    assert segments.exit_code == 0 and "crowd regions: 1" in segments.stderr
    (line,) = (tmp_path / "yolo/labels/train/a.txt").read_text().splitlines()
    points = np.array(line.split()[1:], float).reshape(-1, 2) * (60, 40)
    np.testing.assert_allclose(points.reshape(-1), outline, atol=1e-4)


def test_images_are_copies_upright_and_never_dangling_links(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "files").mkdir()
    Image.new("RGB", (60, 40), "navy").save(tmp_path / "files/real.png")
    os.symlink("../files/real.png", tmp_path / "set/link.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (60, 40), "red").save(tmp_path / "set/turned.jpg", exif=turned)
    Image.new("RGB", (60, 40), "red").save(tmp_path / "set/page.tif", tiffinfo={274: 6})
    lines = [
        {"image": str(tmp_path / "set" / name), "image_size": size, **boxes("cat", at=5)}
        for name, size in (("link.png", [60, 40]), ("turned.jpg", [40, 60]), ("page.tif", [40, 60]))
    ]  # fmt: skip
    run = write_answers(tmp_path / "run", *lines)
    assert convert(run, "--to", "yolo", "--out", tmp_path / "out", "--strict").exit_code == 0
    images = tmp_path / "out/images/train"
    assert not (images / "link.png").is_symlink()
    assert (images / "link.png").stat().st_ino != (tmp_path / "files/real.png").stat().st_ino
    for name in ("turned.jpg", "page.tif"):
        with Image.open(images / name) as image:
            assert image.size == (40, 60) and image.getexif().get(0x0112, 1) == 1
    linked = (run, "--to", "yolo", "--out", tmp_path / "linked", "--link-images")
    assert convert(*linked).exit_code == 0
    place = tmp_path / "linked/images/train/link.png"
    assert not place.is_symlink() and place.samefile(tmp_path / "files/real.png")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--to", "yolo", "--caption", "captain"), "--caption"),
        (("--to", "yolo", "--trigger", "ohwx"), "--trigger"),
        (("--to", "hocr", "--classes", "cat"), "--classes"),
        (("--to", "shards", "--no-copy-images"), "--no-copy-images"),
        (("--to", "pdf", "--link-images"), "--link-images"),
        (("--to", "yolo", "--link-images", "--no-copy-images"), "--link-images"),
        (("--to", "yolo", "--images", "elsewhere"), "--images"),
    ],
)
def test_options_that_do_not_apply_are_refused_before_any_work(
    tmp_path: Path, arguments: tuple[str, ...], option: str
) -> None:
    run = write_answers(tmp_path / "run", boxes("cat"))
    result = convert(run, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2 and option in result.stderr
    assert not (tmp_path / "out").exists()


def test_damaged_lines_of_answers_are_problems_and_the_others_go_on(tmp_path: Path) -> None:
    good = boxes("cat", scores=[0.5])
    bad = [
        boxes("cat\ud800"), boxes("cat", scores=[float("nan")]),
        {**good, "image_size": [10**30, 4]},
        {**good, "score": "x"}, {**good, "round": 1e400}, {**good, "region": [1, 2]},
        {**good, "image": "a\0b"}, {**good, "answer": {"bboxes": [[1, 2, 3, 4]], "labels": [5]}},
        {**good, "answer": {"bboxes": [[float("nan"), 2, 3, 4]], "labels": ["x"]}},
        {**good, "answer": {"bboxes": [[10**400, 2, 3, 4]], "labels": ["x"]}},
        {**good, "image": "/dev/zero"}, {**good, "task": 5},
    ]  # fmt: skip
    run = write_answers(tmp_path / "run", *bad, good)
    for to in ("coco", "yolo", "voc", "cvat", "label-studio", "jsonl", "csv", "shards"):
        format = ("--format", "answers") if to == "shards" else ()
        result = convert(run, *format, "--to", to, "--out", tmp_path / to)
        assert result.exit_code == 0, (to, result.output)
    for file in (*tmp_path.rglob("*.json"), *tmp_path.rglob("jsonl/*.jsonl")):
        assert "NaN" not in file.read_text()


@pytest.mark.parametrize(("target", "status"), [("yolo", 1), ("voc", 1), ("hocr", 1), ("pdf", 0)])
def test_a_format_without_a_place_for_captions_says_so(
    tmp_path: Path, target: str, status: int
) -> None:
    (tmp_path / "set").mkdir()
    Image.new("RGB", (40, 30), "navy").save(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "a.txt").write_text("a blue image")
    arguments = (tmp_path / "set", "--format", "sidecars", "--to", target, "--out")
    result = convert(*arguments, tmp_path / "out")
    assert result.exit_code == status
    assert f"{target} cannot hold texts: 1 skipped" in result.stderr
    # The pages of a PDF are there without a text above them.
    assert (f"nothing was written as {target}" in result.stderr) == bool(status)


def test_captions_left_out_beside_regions_are_counted(tmp_path: Path) -> None:
    caption = {"task": "<CAPTION>", "answer": "a blue image"}
    run = write_answers(tmp_path / "run", boxes("cat"), caption)
    result = convert(run, "--to", "yolo", "--out", tmp_path / "out")
    assert result.exit_code == 0 and "yolo cannot hold texts: 1 skipped" in result.stderr


def test_splits_of_shards_go_by_the_names_that_people_use(yolo: Path, tmp_path: Path) -> None:
    convert(yolo, "--format", "yolo", "--out", tmp_path / "shards")
    for split in ("val", "valid", "validation"):
        result = convert(
            tmp_path / "shards", "--split", split, "--to", "coco", "--out", tmp_path / split
        )
        assert result.exit_code == 0 and "1 image," in result.stderr
    result = convert(
        tmp_path / "shards", "--split", "vall", "--to", "coco", "--out", tmp_path / "vall"
    )
    assert result.exit_code == 2 and "did you mean 'val'" in result.stderr


def test_a_model_is_refused_where_no_text_is_read_for_it(yolo: Path, tmp_path: Path) -> None:
    arguments = (yolo, "--format", "yolo", "--to", "coco", "--model", "nano")
    result = convert(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2 and "--model does not apply from yolo to coco" in result.stderr
    assert not (tmp_path / "out").exists()


def test_fields_names_and_ids_that_are_no_numbers_stay(tmp_path: Path) -> None:
    """The other fields of a category, the case of a suffix, an id that begins with zeros."""
    source = tmp_path / "set"
    source.mkdir()
    Image.new("RGB", (40, 30), "navy").save(source / "IMG_1.JPG")
    category = {
        "id": 1, "name": "person", "supercategory": "", "keypoints": ["nose"], "skeleton": [[1, 1]],
    }  # fmt: skip
    image = {"id": "007", "file_name": "IMG_1.JPG", "width": 40, "height": 30}
    label = {"id": "01", "image_id": "007", "category_id": 1, "bbox": [1, 2, 3, 4]}
    values = {"categories": [category], "images": [image], "annotations": [label]}
    (source / "labels.json").write_text(json.dumps(values))
    for target, format in (("coco", "coco"), ("csv", "csv"), ("jsonl", "answers"), ("shards", "")):
        convert(source, "--format", "coco", "--to", target, "--out", tmp_path / target)
        read_as = ("--format", format) if format else ()
        back = tmp_path / f"{target}-back"
        result = convert(tmp_path / target, *read_as, "--to", "coco", "--out", back)
        assert result.exit_code == 0, result.output
        found = json.loads((back / "annotations" / "instances.json").read_text())
        assert found["categories"] == [category]
        assert [(each["id"], each["file_name"]) for each in found["images"]] == [
            ("007", "IMG_1.JPG")
        ]
        assert [(each["id"], each["image_id"]) for each in found["annotations"]] == [("01", "007")]


def test_nested_attributes_of_coco_are_attributes_of_other_tools(tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    Image.new("RGB", (40, 30), "navy").save(source / "a.png")
    label = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4],
        "attributes": {"occluded": True, "color": "red"},
    }  # fmt: skip
    values = {
        "categories": [{"id": 1, "name": "car"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "annotations": [label],
    }
    (source / "labels.json").write_text(json.dumps(values))
    convert(source, "--format", "coco", "--to", "cvat", "--out", tmp_path / "cvat")
    page = (tmp_path / "cvat" / "annotations.xml").read_text()
    assert '<attribute name="color">red</attribute>' in page and 'occluded="1"' in page


def test_what_was_written_is_listed(yolo: Path, tmp_path: Path) -> None:
    convert(yolo, "--format", "yolo", "--to", "coco", "--out", tmp_path / "out")
    lines = [json.loads(each) for each in (tmp_path / "out" / FILES_LIST).read_text().splitlines()]
    files = {
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert set(lines[1:]) == files - {FILES_LIST}


def test_a_set_of_release_0_1_is_written_again(tmp_path: Path) -> None:
    run = write_answers(tmp_path / "run", boxes("cat"))
    arguments = (run, "--to", "yolo-obb", "--classes", "cat", "--out", tmp_path / "out")
    assert convert(*arguments).exit_code == 0
    listed = tmp_path / "out" / ".florence2-files.jsonl"
    head, *files = listed.read_text().splitlines()
    origin = json.loads(head)["origin"]
    assert origin["options"] == (
        "Options(classes=Ontology(classes={'cat': 'cat'}, categories=()), pictures=True, "
        "prefix='', suffix='', trigger='', caption=None, link_images=False)"
    )
    origin["target"] = "yolo-corners"
    listed.write_text("\n".join([json.dumps({"origin": origin}), *files, ""]))
    assert convert(*arguments).exit_code == 0
    old = convert(run, "--to", "yolo-corners", *arguments[3:])
    assert old.exit_code == 0 and "'yolo-corners' is now 'yolo-obb'" in old.stderr
    assert convert(*arguments, "--trigger", "x").exit_code == 2
