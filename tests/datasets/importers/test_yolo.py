from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.importers.yolo import find_yolo, label_path, read_yolo
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Polygons

Draw = Callable[..., Path]

YAML = "train: train/images\nnames: [boat, bird]\n"


def label(directory: Path, content: str | None, name: str = "a", yaml: str = YAML) -> Path:
    (directory / "data.yaml").write_text(yaml)
    path = directory / "train" / "labels" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content)
    return path


def test_boxes_and_polygons_become_pixels(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("train/images/a.png")
    label(tmp_path, "1 0.5 0.5 0.2 0.5\n\n0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    tasks = ("od", "region-to-segmentation")
    (record,) = read_yolo(find_yolo(tmp_path), context, tasks)
    assert record.id == "train/images/a.png"
    detection, mask = record.annotations
    assert detection.answer == Boxes(
        [[40, 20, 60, 60], [10, 8, 50, 40]], ["bird", "boat"], (100, 80)
    )
    assert mask.answer == Polygons([[[[10, 8], [50, 8], [50, 40]]]], [""], (100, 80))
    assert mask.region == (10, 8, 50, 40)
    assert problems == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 1.2 0.5", "outside-image"),
        ("0 0.5 0.5 0 0.5", "degenerate-box"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", "empty-polygon"),
        ("2 0.5 0.5 0.2 0.2", "unknown-class"),
        ("boat 0.5 0.5 0.2 0.2", "malformed"),
        ("0 0.5 0.5 0.2", "malformed"),
        ("0 0.5 0.5 0.2 0.2 1.9", "malformed"),
        ("0 0.5,0.5,0.2,0.2", "malformed"),
        ("0 0.5 0.5 0.2 nan", "degenerate-box"),
        ("1.5 0.5 0.5 0.2 0.2", "malformed"),
        ("1_0 0.5 0.5 0.2 0.2", "malformed"),
        ("9" * 5000 + " 0.5 0.5 0.2 0.2", "malformed"),
    ],
)
def test_a_bad_line_is_listed_with_its_number(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    line: str,
    kind: str,
) -> None:
    draw("train/images/a.png")
    path = label(tmp_path, f"0 0.5 0.5 0.2 0.5\n{line}\n")
    (record,) = read_yolo(find_yolo(tmp_path), context)
    assert record.annotations[0].answer == Boxes([[40, 20, 60, 60]], ["boat"], (100, 80))
    assert [(each.file, each.line, each.kind) for each in problems] == [(str(path), 2, kind)]
    path.write_text(line)
    (bad_only,) = read_yolo(find_yolo(tmp_path), context)
    assert bad_only.annotations == ()


def test_an_empty_and_a_missing_label_file_say_that_nothing_is_there(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("train/images/a.png")
    draw("train/images/b.png")
    label(tmp_path, "")
    for record in read_yolo(find_yolo(tmp_path), context):
        assert record.annotations == (Annotation("<OD>", Boxes([], [], (100, 80))),)
        assert record.objects == ()
    assert problems == []


def test_a_set_without_any_label_file_is_listed_once(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    label(tmp_path, "")
    (tmp_path / "train" / "labels" / "a.txt").unlink()
    draw("train/images/b.png")
    draw("train/images/c.png")
    assert [each.annotations for each in read_yolo(find_yolo(tmp_path), context)] == [(), ()]
    assert [problem.kind for problem in problems] == ["missing-file"]
    assert "b.txt" in problems[0].message


def test_broken_and_doubled_images_and_missing_directories_are_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("train/images/a.jpg")
    draw("train/images/a.png")
    (tmp_path / "train" / "images" / "b.png").write_bytes(b"x")
    label(tmp_path, "", yaml=YAML + "val: valid/images\n")
    records = list(read_yolo(find_yolo(tmp_path), context))
    assert [record.id for record in records] == ["train/images/a.jpg"]
    kinds = sorted(problem.kind for problem in problems)
    assert kinds == ["broken-image", "duplicate", "missing-file"]


def test_a_list_of_images_and_named_splits(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("train/images/a.png")
    (tmp_path / "val.txt").write_text("./train/images/a.png\n")
    label(tmp_path, "", yaml="val: val.txt\nnames: {0: boat}\n")
    data = find_yolo(tmp_path / "data.yaml")
    assert [record.id for record in read_yolo(data, context, split="val")] == ["train/images/a.png"]
    with pytest.raises(ValueError, match="no split 'train'; it has val"):
        list(read_yolo(data, context, split="train"))


def test_paths_that_leave_the_directory_as_exporters_write_them(tmp_path: Path, draw: Draw) -> None:
    draw("train/images/a.png")
    label(tmp_path, "", yaml="train: ../train/images\nnames: [boat]\n")
    assert find_yolo(tmp_path).splits["train"] == (tmp_path / "train/images",)


@pytest.mark.parametrize("yaml", ["names: []", "[1]", "names: [", "train: x"])
def test_a_yaml_without_classes_is_refused(tmp_path: Path, yaml: str) -> None:
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises(ValueError, match=r"data\.yaml"):
        find_yolo(tmp_path)


def test_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="names the classes"):
        find_yolo(tmp_path)


def test_the_last_images_directory_becomes_labels() -> None:
    assert label_path(Path("images/x/images/a.jpg")) == Path("images/x/labels/a.txt")
    assert label_path(Path("flat/a.jpg")) == Path("flat/a.txt")


BOX = "0 0.5 0.5 0.4 0.4"


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ("[2, 2]", f"{BOX} 0.45 0.40 0.55 0.60"),
        ("[2, 2]", f"{BOX} 0.45 0.40 0.55 0.60 0.9"),
        ("[2, 3]", f"{BOX} 0.45 0.40 2 0 0 0"),
        ("[1, 2]", f"{BOX} 0.5 0.5"),
        ("[2, 2]", BOX),
    ],
)
def test_keypoints_are_neither_boxes_nor_outlines(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    shape: str,
    line: str,
) -> None:
    draw("train/images/a.png")
    label(tmp_path, line, yaml=f"{YAML}kpt_shape: {shape}\n")
    (record,) = read_yolo(find_yolo(tmp_path), context, ("od", "region-to-segmentation"))
    (detection,) = record.annotations
    assert detection.answer == Boxes([[30, 24, 70, 56]], ["boat"], (100, 80))
    assert [problem.kind for problem in problems] == ["passed-over"] * (line != BOX)


@pytest.mark.parametrize(
    ("yaml", "lines", "message"),
    [
        (YAML, f"{BOX} 0.45 0.40 0.55 0.60", r"2 keypoints .* 'kpt_shape: \[2, 2\]'"),
        (YAML, f"{BOX} 0.45 0.40 2 0.55 0.60 1", r"'kpt_shape: \[2, 3\]'"),
        (f"{YAML}kpt_shape: [17, 3]\n", f"{BOX} 0.45 0.40 0.55 0.60", "means 56 columns"),
        (YAML, "0 50 40 20 10\n1 10 10 20 10", "fractions of the image"),
    ],
)
def test_labels_of_two_readings_are_refused_before_any_work(
    tmp_path: Path, draw: Draw, context: ImportContext, yaml: str, lines: str, message: str
) -> None:
    draw("train/images/a.png")
    label(tmp_path, lines, yaml=yaml)
    with pytest.raises(ValueError, match=message):
        read_yolo(find_yolo(tmp_path), context)


def test_outlines_stay_outlines_where_the_file_says_so(
    tmp_path: Path, draw: Draw, context: ImportContext
) -> None:
    draw("train/images/a.png")
    label(tmp_path, f"{BOX} 0.45 0.40 0.55 0.60", yaml=f"{YAML}task: segment\n")
    (record,) = read_yolo(find_yolo(tmp_path), context, ("region-to-segmentation",))
    assert isinstance(record.annotations[0].answer, Polygons)


@pytest.mark.parametrize(
    "content",
    [
        b"1.0e+00 0.5 0.5 0.4 0.5 0.875\r\n0 .1 .1 .2 .2 .5",
        b"\xef\xbb\xbf# a comment\n1 5e-1 0.5 0.4 0.5 8.75e-01\r\r0 0.1 0.1 0.2 0.2 0.5",
        "1 0.5 0.5 0.4 0.5 0.875\n0\t0.1 0.1 0.2 0.2  0.5".encode("utf-16"),
    ],
)
def test_numbers_and_lines_as_other_tools_write_them(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    content: bytes,
) -> None:
    draw("train/images/a.png")
    label(tmp_path, "").write_bytes(content)
    (record,) = read_yolo(find_yolo(tmp_path), context)
    assert record.annotations[0].answer.labels == ("bird", "boat")
    assert [each.score for each in record.objects or ()] == [0.875, 0.5]
    assert problems == []


def test_outlines_with_a_confidence(tmp_path: Path, draw: Draw, context: ImportContext) -> None:
    draw("train/images/a.png")
    label(tmp_path, "0 0.1 0.1 0.5 0.1 0.5 0.5 0.25\n1 0 0 1 0 1 1 0 1 0.5")
    (record,) = read_yolo(find_yolo(tmp_path), context)
    assert [(len(each.outlines[0]), each.score) for each in record.objects or ()] == [
        (6, 0.25),
        (8, 0.5),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("[a, [b]]", "'names' 1 should be a class name"),
        ("{0: a, x: b}", "'x' where a class number is meant"),
        ("{0: a, 00: b}", "gives class 0 twice"),
        ("[a, b]\nnc: 3", "nc is 3, but 'names' has 2"),
        ("[a]\nkpt_shape: [5]", "kpt_shape should be"),
        ("[a]\ntrain: {x: y}", "'train' should be a directory"),
        ("[a]\ntrain: ../../../etc", "leads out of the dataset"),
    ],
)
def test_a_yaml_that_makes_no_sense_is_refused(tmp_path: Path, names: str, message: str) -> None:
    (tmp_path / "data.yaml").write_text(f"names: {names}\n")
    with pytest.raises(ValueError, match=message):
        find_yolo(tmp_path)


def test_class_numbers_may_have_gaps(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: {0: no, 7: 1.10}\nnc: 8\n")
    assert find_yolo(tmp_path).names == {0: "no", 7: "1.10"}


def test_files_of_other_types_and_labels_without_image_are_named(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("train/images/a.png")
    draw("train/images/.ipynb_checkpoints/a-checkpoint.png")
    (tmp_path / "train/images/._a.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "train/images/b.HEIC").write_bytes(b"x")
    label(tmp_path, "", name="b")
    label(tmp_path, "")
    (record,) = read_yolo(find_yolo(tmp_path), context)
    assert record.id == "train/images/a.png"
    assert [problem.kind for problem in problems] == ["passed-over", "unknown-image"]
    assert "1 .heic (b.HEIC)" in problems[0].message
    assert "b.txt" in problems[1].message


def test_images_elsewhere(tmp_path: Path, draw: Draw, context: ImportContext) -> None:
    draw("photos/A.png")
    label(tmp_path, BOX)
    (record,) = read_yolo(find_yolo(tmp_path), context, images=tmp_path / "photos")
    assert len(record.objects or ()) == 1


def test_classes_of_a_labeling_tool(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("images/a.png")
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbfcat\r\nno\r\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.4 0.4")
    (record,) = read_yolo(find_yolo(tmp_path), context)
    assert record.annotations[0].answer.labels == ("no",)
    assert problems == []


def test_a_file_without_images_is_refused_and_doubled_names_are_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("Images/a.png")
    label(tmp_path, None, yaml="names: [cat, dog, cat]\n")
    with pytest.raises(ValueError, match="names no images"):
        read_yolo(find_yolo(tmp_path), context)
    label(tmp_path, None, yaml="names: [cat, dog, 'cat ']\ntrain: Images\n")
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels" / "a.txt").write_text("2 0.5 0.5 0.4 0.4")
    (record,) = read_yolo(find_yolo(tmp_path), context)
    assert record.annotations[0].answer.labels == ("cat",)
    assert [problem.kind for problem in problems] == ["duplicate"]


def test_a_list_leads_nowhere_else(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    draw("set/one/images/b.png")
    directory = tmp_path / "set" / "one"
    lines = ["../../a.png", "images/b.png", "/dev/zero", "..\\..\\a.png"]
    (directory / "train.txt").write_text("\ufeff" + "\r\n".join(lines))
    (directory / "data.yaml").write_text("train: train.txt\nnames: [boat]\n")
    records = list(read_yolo(find_yolo(directory), context))
    assert [record.id for record in records] == ["images/b.png"]
    assert [problem.line for problem in problems if problem.line] == [1, 3, 4]
