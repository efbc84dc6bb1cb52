"""The formats whose answers are written text: JSON lines, CSV, sidecars."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from florence2.datasets import ImportContext, ImportProblem, LabelError
from florence2.datasets.importers.csv import CsvColumns, read_csv_prompts
from florence2.datasets.importers.jsonl import find_jsonl, read_jsonl
from florence2.datasets.importers.prompts import split_prefix
from florence2.datasets.importers.sidecars import read_sidecars
from florence2.results.records import Annotation
from florence2.results.types import Boxes, Text

Draw = Callable[..., Path]
SIZE = (100, 80)


@pytest.mark.parametrize(
    ("prefix", "token", "text"),
    [
        ("<OD>", "<OD>", ""),
        ("<CAPTION_TO_PHRASE_GROUNDING> a dog", "<CAPTION_TO_PHRASE_GROUNDING>", "a dog"),
        ("<VQA>What?", "<VQA>", "What?"),
        ("<VQA> What?", "<VQA> ", "What?"),
        ("<MY_TASK> ", "<MY_TASK>", ""),
        ("What is it?", "", "What is it?"),
        ("<loc_5> is what?", "", "<loc_5> is what?"),
    ],
)
def test_prompts_are_split_and_stay_as_written(prefix: str, token: str, text: str) -> None:
    task, rest, region = split_prefix(prefix, SIZE)
    assert (task.token, rest, region) == (token, text, None)


def test_the_region_of_a_prompt_is_a_box_in_pixels() -> None:
    prefix = "<REGION_TO_CATEGORY><loc_0><loc_0><loc_499><loc_999>"
    task, text, region = split_prefix(prefix, SIZE)
    assert (task.token, text) == ("<REGION_TO_CATEGORY>", "")
    assert region == pytest.approx((0.05, 0.04, 49.95, 79.96))


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [
        (" ", "empty-text"),
        ("<REGION_TO_OCR>", "unreadable-prompt"),
        ("<REGION_TO_OCR><loc_1><loc_2><loc_3>", "unreadable-prompt"),
        ("<REGION_TO_OCR><loc_1><loc_2><loc_3><loc_1000>", "unreadable-prompt"),
        ("<REGION_TO_OCR>the sign", "unreadable-prompt"),
        ("<REGION_TO_OCR><loc_9><loc_9><loc_3><loc_3>", "degenerate-box"),
    ],
)
def test_prompts_that_ask_nothing(prefix: str, kind: str) -> None:
    with pytest.raises(LabelError) as caught:
        split_prefix(prefix, SIZE)
    assert caught.value.kind == kind


def line(image: str, prefix: str, suffix: str) -> str:
    return json.dumps({"image": image, "prefix": prefix, "suffix": suffix})


def test_lines_about_one_image_are_one_record(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    draw("b.png")
    file = tmp_path / "lines.jsonl"
    rows = [
        line("a.png", "<OD>", "boat"),
        line("b.png", "<CAPTION>", "A bird."),
        "",
        line("a.png", "<VQA>How many?", "one"),
    ]
    file.write_text("\n".join(rows))
    first, second = read_jsonl(file, tmp_path, context)
    assert first.annotations == (
        Annotation("<OD>", Boxes([[0, 0, 100, 80]], ["boat"], SIZE)),
        Annotation("<VQA>", Text("one"), text="How many?"),
    )
    assert second.annotations == (Annotation("<CAPTION>", Text("A bird.")),)
    assert problems == []


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"{", "malformed"),
        (b"[1]", "malformed"),
        (b'{"image": "a.png", "prefix": "<OD>"}', "malformed"),
        (b'{"image": "a.png", "prefix": "<OD>", "suffix": 3}', "malformed"),
        (b'\xff{"image": "a.png"}', "malformed"),
        (line("a.png", "<OD>", "bad").encode(), "unreadable-suffix"),
        (line("a.png", "<OD>very", "boat").encode(), "unreadable-prompt"),
        (line("a.png", "<OPEN_VOCABULARY_DETECTION>", "boat").encode(), "unreadable-prompt"),
        (line("a.png", "", "boat").encode(), "empty-text"),
        (line("a.png", "<CAPTION>", "A boat.").encode(), "duplicate"),
        (line("gone.png", "<CAPTION>", "A boat.").encode(), "missing-file"),
        (line("broken.png", "<CAPTION>", "A boat.").encode(), "broken-image"),
        (line("", "<CAPTION>", "A boat.").encode(), "missing-file"),
    ],
)
def test_a_bad_line_is_listed_with_its_number(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    bad: bytes,
    kind: str,
) -> None:
    draw("a.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    file = tmp_path / "lines.jsonl"
    file.write_bytes(line("a.png", "<CAPTION>", "A boat.").encode() + b"\n" + bad + b"\n")
    (record,) = read_jsonl(file, tmp_path, context)
    assert record.annotations == (Annotation("<CAPTION>", Text("A boat.")),)
    assert [(each.file, each.line, each.kind) for each in problems] == [(str(file), 2, kind)]


def test_line_files_are_found_by_split(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "annotations.jsonl").touch()
    assert len(find_jsonl(tmp_path)) == 2
    assert find_jsonl(tmp_path, "train") == (tmp_path / "train" / "annotations.jsonl",)
    with pytest.raises(FileNotFoundError, match=r"no \*\.jsonl"):
        find_jsonl(tmp_path, "test")


def test_csv_questions_follow_the_prompt(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("a.png")
    file = tmp_path / "questions.csv"
    file.write_text('picture,question,answer\na.png,"How many, here?",two\n')
    columns = CsvColumns(image="picture")
    (record,) = read_csv_prompts(file, tmp_path, context, "<DocVQA>", columns)
    assert record.annotations == (Annotation("<DocVQA>", Text("two"), text="How many, here?"),)
    (captioned,) = read_csv_prompts(
        file, tmp_path, context, "<CAPTION>", CsvColumns("picture", None)
    )
    assert captioned.annotations == (Annotation("<CAPTION>", Text("two")),)
    assert problems == []


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"a.png,Why?", "malformed"),
        (b"a.png,Why?,so,more", "malformed"),
        (b'a.png,"Why"?,so', "malformed"),
        (b"a.png,Wh\xff?,so", "malformed"),
        (b"a.png,,so", "empty-text"),
        (b"a.png,Why?, ", "empty-text"),
        (b"a.png,Why?,bad", "unreadable-suffix"),
        (b"gone.png,Why?,so", "missing-file"),
        (b"a.png,Who?,me", "duplicate"),
    ],
)
def test_a_bad_row_is_listed_with_its_line(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    bad: bytes,
    kind: str,
) -> None:
    draw("a.png")
    file = tmp_path / "questions.csv"
    file.write_bytes(b"image,question,answer\na.png,Who?,me\n" + bad + b"\na.png,When?,now\n")
    (record,) = read_csv_prompts(file, tmp_path, context)
    assert [annotation.text for annotation in record.annotations] == ["Who?", "When?"]
    assert [(each.file, each.line, each.kind) for each in problems] == [(str(file), 3, kind)]


def test_a_missing_column_is_refused(tmp_path: Path, context: ImportContext) -> None:
    file = tmp_path / "questions.csv"
    file.write_text("image,q,answer\n")
    with pytest.raises(ValueError, match="no column 'question'; it has 'image', 'q', 'answer'"):
        list(read_csv_prompts(file, tmp_path, context))


def test_sidecars_answer_the_prompt(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("deep/a.png")
    (tmp_path / "deep" / "a.txt").write_text("A boat.\n")
    (record,) = read_sidecars(tmp_path, context, "<DETAILED_CAPTION>")
    assert record.id == "deep/a.png"
    assert record.annotations == (Annotation("<DETAILED_CAPTION>", Text("A boat.")),)
    assert problems == []


def test_images_and_texts_that_lack_each_other_are_listed(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png", "e.jpg", "e.png"):
        draw(name)
    (tmp_path / "b.txt").write_text(" ")
    (tmp_path / "c.txt").write_bytes(b"\xff\xff")
    (tmp_path / "d.txt").write_text("bad")
    (tmp_path / "e.txt").write_text("A boat.")
    (tmp_path / "orphan.txt").write_text("A boat.")
    records = list(read_sidecars(tmp_path, context))
    assert [len(record.annotations) for record in records] == [0, 0, 0, 0, 1, 0]
    assert [(Path(each.file).name, each.kind) for each in problems] == [
        ("a.txt", "missing-file"),
        ("b.txt", "empty-text"),
        ("c.txt", "malformed"),
        ("d.txt", "unreadable-suffix"),
        ("e.txt", "duplicate"),
        ("orphan.txt", "unknown-image"),
    ]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_as_spreadsheets_write_it(
    tmp_path: Path,
    draw: Draw,
    context: ImportContext,
    problems: list[ImportProblem],
    mark: str,
    encoding: str,
) -> None:
    draw("images/a b.png")
    file = tmp_path / "questions.csv"
    rows = [["Image ", "QUESTION", "answer"], ["images\\a b.png ", '"How, many; here?"', "zwölf"]]
    file.write_text("\r\n".join(mark.join(row) for row in rows), encoding=encoding, newline="")
    (record,) = read_csv_prompts(file, tmp_path, context)
    assert record.annotations == (Annotation("<VQA>", Text("zwölf"), text="How, many; here?"),)
    assert problems == []


def test_a_near_column_is_suggested(tmp_path: Path, context: ImportContext) -> None:
    file = tmp_path / "questions.csv"
    file.write_text("image,questions,answer\n")
    with pytest.raises(ValueError, match="did you mean 'questions'"):
        read_csv_prompts(file, tmp_path, context)
    file.write_text("image,question,answer,Image\na,b,c,d\n")
    assert list(read_csv_prompts(file, tmp_path, context)) == []
    file.write_text("image,question,answer,image\na,b,c,d\n")
    with pytest.raises(ValueError, match="2 columns called 'image'"):
        read_csv_prompts(file, tmp_path, context)


def test_a_split_is_a_column_or_refused(tmp_path: Path, draw: Draw, context: ImportContext) -> None:
    for name in "abc":
        draw(f"{name}.png")
    file = tmp_path / "questions.csv"
    file.write_text("image,question,answer,part\na.png,?,1,train\nb.png,?,2,val\nc.png,?,3,train")
    with pytest.raises(ValueError, match=r"--split.*--column split=COLUMN"):
        read_csv_prompts(file, tmp_path, context, split="val")
    columns = CsvColumns(split="Part")
    records = list(read_csv_prompts(file, tmp_path, context, columns=columns))
    assert {record.id: record.split for record in records} == {
        "a.png": "train",
        "b.png": "val",
        "c.png": "train",
    }
    (record,) = read_csv_prompts(file, tmp_path, context, columns=columns, split="validation")
    assert record.id == "b.png"
    with pytest.raises(ValueError, match="it has train, val"):
        read_csv_prompts(file, tmp_path, context, columns=columns, split="test")


def test_lines_as_other_tools_write_them(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("images/a.png")
    file = tmp_path / "lines.jsonl"
    rows = ["", line("a.png", "<CAPTION>", "One."), "  ", line(".\\images\\a.png", "<OD>", "boat")]
    for encoding in ("utf-8-sig", "utf-16"):
        file.write_text("\r\n".join(rows), encoding=encoding, newline="")
        (record,) = read_jsonl(file, tmp_path, context)
        assert [each.task for each in record.annotations] == ["<CAPTION>", "<OD>"]
    assert problems == []
    file.write_text(rows[1] + ",\n")
    assert list(read_jsonl(file, tmp_path, context)) == []
    assert (problems[0].line, "ends in a comma" in problems[0].message) == (1, True)


def test_an_array_is_refused_with_its_place(tmp_path: Path, context: ImportContext) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text("\n[\n" + line("a.png", "<OD>", "x") + "\n]")
    with pytest.raises(ValueError, match=r"lines\.jsonl:2: .* JSON array"):
        read_jsonl(file, tmp_path, context)


def test_a_file_of_a_split_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("train.jsonl", "val.jsonl", "._val.jsonl"):
        (tmp_path / name).touch()
    assert find_jsonl(tmp_path, "valid") == (tmp_path / "val.jsonl",)
    assert find_jsonl(tmp_path / "val.jsonl", "val") == (tmp_path / "val.jsonl",)
    with pytest.raises(ValueError, match="no split 'val'"):
        find_jsonl(tmp_path / "train.jsonl", "val")


def test_sidecars_whatever_the_case_and_hidden_files(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    draw("A.PNG")
    draw(".ipynb_checkpoints/A-checkpoint.png")
    draw("__MACOSX/a.png")
    (tmp_path / "a.TXT").write_text("A boat.\r\n", encoding="utf-16")
    (tmp_path / "._a.txt").write_bytes(b"\0\5\x16\7")
    (tmp_path / "b.tga").write_bytes(b"x")
    (record,) = read_sidecars(tmp_path, context)
    assert record.annotations == (Annotation("<CAPTION>", Text("A boat.")),)
    assert [problem.kind for problem in problems] == ["passed-over"]


def test_texts_are_matched_in_linear_time(
    tmp_path: Path, draw: Draw, context: ImportContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[object] = []
    for name in ("scandir", "listdir"):
        listed = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, f=listed: listings.append(a) or f(*a))
    counts = []
    for size in (5, 20):
        directory = tmp_path / str(size)
        for number in range(size):
            draw(f"{size}/{number}.png")
            (directory / f"{number}.txt").write_text("A boat.")
        listings.clear()
        assert len(list(read_sidecars(directory, context))) == size
        counts.append(len(listings))
    assert counts[0] == counts[1]
