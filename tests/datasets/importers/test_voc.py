from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.importers.voc import find_voc, read_voc
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes

Draw = Callable[..., Path]

GOOD = """<object><name>boat</name>
<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax><ymax>60</ymax></bndbox></object>"""
BOX = "<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"


def page(directory: Path, objects: str, name: str = "a") -> Path:
    path = directory / "Annotations" / f"{name}.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "<annotation><filename>a.png</filename>\n"
        "<size><width>100</width><height>80</height></size>\n"
        f"{objects}</annotation>"
    )
    return path


def read(directory: Path, context: ImportContext, **options: object) -> list[Record]:
    return list(read_voc(find_voc(directory), directory, context, **options))  # type: ignore[arg-type]


def test_boxes_count_from_one_and_hold_their_last_pixel(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("JPEGImages/a.png")
    page(tmp_path, GOOD)
    (record,) = read(tmp_path, context)
    assert record.id == "JPEGImages/a.png"
    assert record.annotations == (
        Annotation("<OD>", Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))),
    )
    (from_zero,) = read(tmp_path, context, first_pixel=0)
    assert from_zero.annotations[0].answer == Boxes([[11, 21, 41, 61]], ["boat"], (100, 80))
    assert problems == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("<name>boat</name>" + BOX.format(50, 102), "outside-image"),
        ("<name>boat</name>" + BOX.format(50, 40), "degenerate-box"),
        ("<name>boat</name>" + BOX.format("left", 40), "malformed"),
        ("<name>boat</name>", "malformed"),
        (BOX.format(1, 9), "malformed"),
        ("<name>car</name>" + BOX.format(1, 9), "unknown-class"),
    ],
)
def test_a_bad_object_is_listed_with_its_line(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    content: str,
    kind: str,
) -> None:
    draw("JPEGImages/a.png")
    path = page(tmp_path, f"{GOOD}\n<object>{content}</object>")
    (record,) = read(tmp_path, context, classes=("boat",))
    assert record.annotations[0].answer == Boxes([[10, 20, 40, 60]], ["boat"], (100, 80))
    assert [(each.file, each.line, each.kind) for each in problems] == [(str(path), 5, kind)]


ENTITIES = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>'


@pytest.mark.parametrize("content", ["<annotation>", "", "words", ENTITIES, "<annotation/>"])
def test_a_file_that_cannot_be_read_is_listed_and_the_next_one_is_read(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], content: str
) -> None:
    draw("JPEGImages/a.png")
    page(tmp_path, GOOD, "z")
    bad = tmp_path / "Annotations" / "b.xml"
    bad.write_text(content)
    assert len(read(tmp_path, context)) == 1
    assert [(each.file, each.kind) for each in problems] == [(str(bad), "malformed")]


def test_missing_doubled_and_misdeclared_images_are_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    page(tmp_path, GOOD)
    assert read(tmp_path, context) == []
    draw("JPEGImages/a.png")
    page(tmp_path, GOOD, "b")
    assert len(read(tmp_path, context)) == 1
    draw("JPEGImages/a.png", (80, 100))
    (tmp_path / "Annotations" / "b.xml").unlink()
    assert read(tmp_path, context) == []
    assert [each.kind for each in problems] == ["missing-file", "duplicate", "image-size"]


def test_splits_come_from_lists_or_directories(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("JPEGImages/a.png")
    page(tmp_path, GOOD)
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a 1\ngone\n")
    files = list(find_voc(tmp_path, "train"))
    assert [file.name for file in files] == ["a.xml", "gone.xml"]
    assert len(list(read_voc(iter(files), tmp_path, context))) == 1
    assert [each.kind for each in problems] == ["missing-file"]
    with pytest.raises(FileNotFoundError, match="of split 'test'"):
        list(find_voc(tmp_path, "test"))


def test_the_split_of_an_image_whose_name_ends_in_a_number(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("photo 0", "photo -1", "scan"):
        draw(f"JPEGImages/{name}.png")
        page(tmp_path, GOOD.replace("a.png", f"{name}.png"), name)
    (lists / "train.txt").write_text("photo 0\nphoto -1\n")
    (lists / "val.txt").write_text("scan 1\n")
    assert [file.stem for file in find_voc(tmp_path, "train")] == ["photo 0", "photo -1"]
    splits = {
        each.file_name: each.split for each in read_voc(find_voc(tmp_path), tmp_path, context)
    }
    assert splits == {"photo 0.png": "train", "photo -1.png": "train", "scan.png": "val"}


def test_an_empty_page_says_nothing_is_there(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("JPEGImages/a.png")
    page(tmp_path, "")
    (record,) = read(tmp_path, context)
    assert record.annotations == (Annotation("<OD>", Boxes([], [], (100, 80))),)


@pytest.mark.parametrize(
    ("filename", "on_disk"),
    [
        ("a", "JPEGImages/a.png"),
        ("C:\\photos\\a.png", "JPEGImages/a.png"),
        ("other/a.png", "images/a.png"),
        ("renamed.png", "JPEGImages/a.png"),
        (" a.png ", "a.png"),
        ("A.PNG", "JPEGImages/a.png"),
    ],
)
def test_images_by_the_names_that_tools_write(
    tmp_path: Path, draw: Draw, context: ImportContext, filename: str, on_disk: str
) -> None:
    draw(on_disk)
    path = page(tmp_path, GOOD)
    path.write_text(path.read_text().replace("a.png", filename))
    (record,) = read(tmp_path, context)
    assert record.id == on_disk


@pytest.mark.parametrize("size", ["", "<width>0</width><height>0</height>", "<width>x</width>"])
def test_a_size_that_says_nothing(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], size: str
) -> None:
    draw("JPEGImages/a.png")
    path = page(tmp_path, GOOD)
    path.write_text(path.read_text().replace("<width>100</width><height>80</height>", size))
    assert len(read(tmp_path, context)) == 1
    assert problems == []


def test_a_polygon_stands_in_for_a_box_and_parts_are_no_objects(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("JPEGImages/a.png")
    corners = [(11, 21), (41, 21), (41, 61)]
    numbered = enumerate(corners, start=1)
    polygon = "".join(f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in numbered)
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in corners)
    part = f"<part><name>hull</name>{BOX.format(1, 9)}</part>"
    page(
        tmp_path,
        f"<object><name>boat</name><polygon>{polygon}</polygon>{part}</object>"
        f"<object><name>boat</name><polygon>{points}</polygon></object>",
    )
    (record,) = read(tmp_path, context)
    box = [10, 20, 40, 60]
    assert record.annotations[0].answer == Boxes([box, box], ["boat", "boat"], (100, 80))
    assert problems == []


def test_labels_of_a_photo_that_is_stored_turned(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    exif = Image.Exif()
    exif[274] = 8
    draw("JPEGImages/a.png", (100, 80), exif=exif)
    page(tmp_path, GOOD)
    (record,) = read(tmp_path, context)
    assert record.annotations[0].answer == Boxes([[20, 60, 60, 90]], ["boat"], (80, 100))


def test_a_set_in_fractions_is_read_and_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("JPEGImages/a.png")
    fractions = "<xmin>0.25</xmin><ymin>0.5</ymin><xmax>0.75</xmax><ymax>1</ymax>"
    page(tmp_path, f"<object><name>boat</name><bndbox>{fractions}</bndbox></object>")
    (record,) = read(tmp_path, context)
    assert record.annotations[0].answer == Boxes([[25, 40, 75, 80]], ["boat"], (100, 80))
    assert [problem.kind for problem in problems] == ["fractions"]


def test_lists_of_names_with_spaces_flags_and_other_line_ends(tmp_path: Path, draw: Draw) -> None:
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name in ("my photo 1", "b"):
        page(tmp_path, GOOD, name)
    (lists / "val.txt").write_bytes(b"\xef\xbb\xbfmy photo 1  -1\r\nb\r\n")
    assert [file.stem for file in find_voc(tmp_path, "val")] == ["my photo 1", "b"]
    (lists / "val.txt").write_text("../../../etc/passwd")
    with pytest.raises(ValueError, match="not a file name"):
        find_voc(tmp_path, "val")
