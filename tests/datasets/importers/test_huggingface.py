from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.importers.huggingface import Columns, open_huggingface, read_huggingface
from florence2.results.records import Annotation, Record
from florence2.results.types import Boxes, Text

datasets = pytest.importorskip("datasets")

Draw = Callable[..., Path]
SIZE = (100, 80)
SOURCE = Path("photos")


def dataset(images: list[Any], **columns: list[Any]) -> Any:
    made = datasets.Dataset.from_dict({"image": images, **columns})
    return made.cast_column("image", datasets.Image())


def read(made: Any, columns: Columns, context: ImportContext) -> list[Record]:
    return list(read_huggingface(made, SOURCE, columns, context))


def test_prompts_and_captions(
    draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    path = draw("a.png")
    made = dataset([str(path)], name=["x"], ask=["<VQA>Who?"], say=["me"], texts=[["One.", "Two."]])
    columns = Columns(id="name", prefix="ask", suffix="say", answers={"texts": "<CAPTION>"})
    (record,) = read(made, columns, context)
    assert (record.id, record.image) == ("x", path.read_bytes())
    assert record.annotations == (
        Annotation("<VQA>", Text("me"), text="Who?"),
        Annotation("<CAPTION>", Text("One.")),
        Annotation("<CAPTION>", Text("Two.")),
    )
    assert problems == []


def test_questions_stand_behind_the_prompt(draw: Draw, context: ImportContext) -> None:
    made = dataset([str(draw("a.png"))], question=["Who?"], answer=["me"])
    columns = Columns(question="question", answers={"answer": "<VQA>"})
    (record,) = read(made, columns, context)
    assert record.annotations == (Annotation("<VQA>", Text("me"), text="Who?"),)


@pytest.mark.parametrize("nested", ["list of columns", "column of lists"])
def test_boxes_with_class_numbers(draw: Draw, context: ImportContext, nested: str) -> None:
    classes = datasets.ClassLabel(names=["boat", "bird"])
    box = datasets.List(datasets.Value("float32"))
    if nested == "list of columns":
        objects: Any = [[{"bbox": [10, 20, 30, 40], "category": 1}]]
        feature: Any = datasets.List({"bbox": box, "category": classes})
    else:
        objects = [{"bbox": [[10, 20, 30, 40]], "category": [1]}]
        feature = {"bbox": datasets.List(box), "category": datasets.List(classes)}
    features = datasets.Features({"image": datasets.Image(), "objects": feature})
    made = datasets.Dataset.from_dict(
        {"image": [str(draw("a.png"))], "objects": objects}, features=features
    )
    columns = Columns(boxes="objects.bbox", labels="objects.category", box_format="xywh")
    (record,) = read(made, columns, context)
    assert record.annotations == (Annotation("<OD>", Boxes([[10, 20, 40, 60]], ["bird"], SIZE)),)


def test_bad_rows_are_listed_by_their_number(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    size = [0.0, 0.0, 9.0, 9.0]
    good = {"bytes": None, "path": str(draw("a.png"))}
    images = [good, None, {"bytes": b"x", "path": None}, good, good, good, good, good]
    made = dataset(
        images,
        name=["a", "b", "c", "a", "e", "f", "g", "h"],
        boxes=[[size], [size], [size], [size], [[0.0, 0.0, 200.0, 9.0]], [size], [size], []],
        labels=[["boat"], ["boat"], ["boat"], ["boat"], ["boat"], [], [""], []],
        text=["yes", "yes", "yes", "yes", None, "yes", "bad", " "],
    )
    columns = Columns(id="name", boxes="boxes", labels="labels", answers={"text": "<CAPTION>"})
    records = read(made, columns, context)
    assert {record.id: len(record.annotations) for record in records} == {
        "a": 2, "e": 0, "g": 0, "h": 1
    }  # fmt: skip
    assert {(each.file, each.line, each.kind) for each in problems} == {
        ("photos", 2, "missing-file"),
        ("photos", 3, "broken-image"),
        ("photos", 4, "duplicate"),
        ("photos", 5, "outside-image"),
        ("photos", 5, "malformed"),
        ("photos", 6, "malformed"),
        ("photos", 7, "unknown-class"),
        ("photos", 7, "unreadable-suffix"),
        ("photos", 8, "empty-text"),
    }


def test_a_saved_set_opens_by_split(tmp_path: Path, draw: Draw) -> None:
    made = dataset([str(draw("a.png"))], text=["A boat."])
    made.save_to_disk(str(tmp_path / "one"))
    assert len(open_huggingface(tmp_path / "one")) == 1
    splits = datasets.DatasetDict({"train": made, "test": made})
    splits.save_to_disk(str(tmp_path / "two"))
    assert len(open_huggingface(tmp_path / "two", "test")) == 1
    with pytest.raises(ValueError, match="has the splits train, test; choose one, got None"):
        open_huggingface(tmp_path / "two")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name the columns of the answers"),
        ({"prefix": "a"}, "go together"),
        ({"boxes": "a"}, "go together"),
        ({"answers": {"a": "<VQA>"}, "box_format": "cxcywh"}, "'xyxy' or 'xywh', got 'cxcywh'"),
    ],
)
def test_mappings_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Columns(**values)


def test_a_missing_column_is_named(draw: Draw, context: ImportContext) -> None:
    made = dataset([str(draw("a.png"))], text=["A boat."])
    with pytest.raises(ValueError, match="no column 'words'"):
        read(made, Columns(answers={"words": "<CAPTION>"}), context)


def test_a_missing_nested_column_is_named_with_those_there(
    draw: Draw, context: ImportContext
) -> None:
    made = dataset([str(draw("a.png"))], objects=[{"bbox": [[1.0, 2.0, 3.0, 4.0]], "name": ["x"]}])
    columns = Columns(boxes="objects.bbx", labels="objects.name")
    with pytest.raises(ValueError, match=r"'bbox', 'name'\] in 'objects'; did you mean 'objects.b"):
        read(made, columns, context)


def test_boxes_in_fractions_are_refused(draw: Draw, context: ImportContext) -> None:
    boxes = [[[0.1, 0.1, 0.5, 0.5]], [], [[0.0, 0.0, 1.0, 1.0]]]
    made = dataset([str(draw("a.png"))] * 3, boxes=boxes, labels=[["x"], [], ["y"]])
    with pytest.raises(ValueError, match="fractions of the images"):
        read(made, Columns(boxes="boxes", labels="labels"), context)


def test_a_damaged_parquet_file_is_named(tmp_path: Path, draw: Draw) -> None:
    file = tmp_path / "set" / "train.parquet"
    file.parent.mkdir()
    dataset([str(draw("a.png"))], text=["A boat."]).to_parquet(str(file))
    file.write_bytes(file.read_bytes()[:-20])
    for source in (file.parent, file):
        with pytest.raises(ValueError, match=r"train\.parquet is not a whole Parquet file"):
            open_huggingface(source)


def test_images_outside_the_directory_are_not_read(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    root = tmp_path / "set"
    images = [{"bytes": None, "path": str(draw(name))} for name in ("set/a.png", "b.png")]
    made = dataset(images, text=["x", "y"])
    columns = Columns(answers={"text": "<CAPTION>"})
    records = list(read_huggingface(made, SOURCE, columns, context, root=root))
    assert [record.id for record in records] == ["0"]
    assert [(each.line, each.kind) for each in problems] == [(2, "missing-file")]


@pytest.mark.parametrize("name", ["/etc", "../other", "https://host/data"])
def test_a_card_does_not_lead_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files: {name}/a.parquet\n---\n"
    )
    with pytest.raises(ValueError, match="names data outside the directory"):
        open_huggingface(tmp_path)


def test_a_single_file_has_no_splits(tmp_path: Path, draw: Draw) -> None:
    made = dataset([str(draw("a.png"))], text=["A boat."])
    made.save_to_disk(str(tmp_path / "one"))
    with pytest.raises(ValueError, match="--split"):
        open_huggingface(tmp_path / "one", "val")
