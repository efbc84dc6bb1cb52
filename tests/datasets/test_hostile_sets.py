"""Hostile datasets: nothing blocks, starts, leaves the directory or takes unchecked memory."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.importers.coco import find_coco, read_coco
from florence2.datasets.importers.csv import read_csv_prompts
from florence2.datasets.importers.image_files import find_images, load_record
from florence2.datasets.importers.json_files import parse_json_object, read_json_object
from florence2.datasets.importers.jsonl import read_jsonl
from florence2.datasets.importers.problems import MAX_TEXT_LENGTH, LabelError
from florence2.datasets.importers.sidecars import read_sidecars
from florence2.datasets.importers.voc import find_voc, read_voc
from florence2.datasets.importers.xml_nodes import read_xml
from florence2.results.tasks import Task
from florence2.results.types import Answer, ImageSize

Draw = Callable[..., Path]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\nshowpage\n%%EOF\n"


def test_an_eps_under_another_name_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("a.jpg", "a.png", "a.tif"):
        (tmp_path / name).write_bytes(EPS)
        with pytest.raises(LabelError) as caught:
            load_record(tmp_path / name, name)
        assert caught.value.kind == "broken-image"
    assert not (tmp_path / "started").exists()


def test_a_damaged_avif_is_one_problem(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem]
) -> None:
    content = draw("whole.avif").read_bytes()
    for number, cut in enumerate((40, len(content) // 2, len(content) - 4)):
        (tmp_path / f"{number}.avif").write_bytes(content[:cut])
        flipped = bytearray(content)
        flipped[cut] ^= 0xFF
        (tmp_path / f"{number}f.avif").write_bytes(flipped)
    for path in find_images(tmp_path):
        with context.collect_errors(path):
            load_record(path, path.name)
    assert {problem.kind for problem in problems} <= {"broken-image"}


@pytest.mark.parametrize("kind", ["fifo", "zero", "folder"])
def test_only_regular_files_are_read(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], kind: str
) -> None:
    def make_hostile(name: str) -> Path:
        path = tmp_path / name
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "zero":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        return path

    draw("a.png")
    make_hostile("a.txt")
    make_hostile("b.png")
    (record,) = read_sidecars(tmp_path, context)
    assert record.annotations == ()
    rows = [{"image": "b.png", "prefix": "<CAPTION>", "suffix": "x"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert list(read_jsonl(tmp_path / "rows.jsonl", tmp_path, context)) == []
    for read in (read_xml, read_json_object):
        with pytest.raises(LabelError):
            read(make_hostile(f"{read.__name__}.x"))
    for reader in (read_jsonl, read_csv_prompts):
        with pytest.raises((ValueError, OSError)):
            list(reader(make_hostile(f"{reader.__name__}.x"), tmp_path, context))
    assert len(problems) == 2


def test_a_vast_text_is_refused_before_it_is_tokenized(
    tmp_path: Path, draw: Draw, problems: list[ImportProblem]
) -> None:
    def tokenize(text: str, task: Task, size: ImageSize) -> Answer:
        raise AssertionError(f"{len(text)} characters reached the tokenizer")

    context = ImportContext(problems.append, read_suffix=tokenize)
    draw("a.png")
    draw("b.png")
    (tmp_path / "a.txt").write_text("x" * (MAX_TEXT_LENGTH + 1))
    (tmp_path / "b.txt").write_text("x " * 3 * MAX_TEXT_LENGTH)
    assert [record.annotations for record in read_sidecars(tmp_path, context)] == [(), ()]
    row = {"image": "a.png", "prefix": "<CAPTION>", "suffix": "x" * (MAX_TEXT_LENGTH + 1)}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    assert list(read_jsonl(tmp_path / "rows.jsonl", tmp_path, context)) == []
    assert [problem.kind for problem in problems] == ["too-long", "malformed", "too-long"]
    assert max(len(problem.message) for problem in problems) < 1000


def test_labels_that_check_too_long_are_not_tokenized(
    tmp_path: Path, draw: Draw, problems: list[ImportProblem]
) -> None:
    checked = []
    context = ImportContext(problems.append, lambda annotation, size: checked.append(annotation))
    draw("a.png")
    name = "x" * (MAX_TEXT_LENGTH // 2 + 1)
    labels = [
        {"id": n, "image_id": 7, "category_id": 3, "bbox": [1, 1, 5 + n, 5]} for n in range(2)
    ]
    images = [{"id": 7, "file_name": "a.png"}]
    values = {"images": images, "categories": [{"id": 3, "name": name}], "annotations": labels}
    (tmp_path / "labels.json").write_text(json.dumps(values))
    (record,) = read_coco(find_coco(tmp_path / "labels.json"), tmp_path, context, ("od",))
    assert record.annotations == ()
    assert checked == []
    assert [problem.kind for problem in problems] == ["too-long"]


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, '{"a": ' + "9" * 9999]
)
def test_json_that_is_deep_or_has_endless_numbers(tmp_path: Path, content: str) -> None:
    with pytest.raises(LabelError, match="not JSON"):
        parse_json_object(content.encode())
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(LabelError, match="not JSON"):
        read_json_object(tmp_path / "a.json")


@pytest.mark.parametrize(
    "content",
    [
        "<a>" * 5000,
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        '<!DOCTYPE a [<!ENTITY % b "x">%b;]><a/>',
        "<a>\x01</a>",
        "",
    ],
)
def test_xml_that_is_deep_or_declares_entities(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(LabelError):
        read_xml(tmp_path / "a.xml")


@pytest.mark.parametrize("name", ["../../secret.png", "/secret.png", "..\\..\\secret.png"])
def test_names_in_labels_do_not_leave_the_set(
    tmp_path: Path, draw: Draw, context: ImportContext, problems: list[ImportProblem], name: str
) -> None:
    secret = draw("secret.png")
    directory = tmp_path / "one" / "set"
    (directory / "Annotations").mkdir(parents=True)
    name = str(secret) if name.startswith("/") else name
    (directory / "Annotations" / "a.xml").write_text(
        f"<annotation><filename>{name}</filename></annotation>"
    )
    (directory / "rows.jsonl").write_text(
        json.dumps({"image": name, "prefix": "<CAPTION>", "suffix": "x"})
    )
    values = {"images": [{"id": 1, "file_name": name}], "categories": [], "annotations": []}
    (directory / "labels.json").write_text(json.dumps(values))
    records = [
        *read_voc(find_voc(directory), directory, context),
        *read_jsonl(directory / "rows.jsonl", directory, context),
        *read_coco(find_coco(directory / "labels.json"), directory, context),
    ]
    assert records == []
    assert [problem.kind for problem in problems] == ["missing-file"] * 3


def test_a_problem_can_always_be_written(
    tmp_path: Path, context: ImportContext, problems: list[ImportProblem]
) -> None:
    with context.collect_errors(Path(os.fsdecode(b"caf\xe9.txt"))):
        raise LabelError("malformed", "\ud800" + "x" * 100_000)
    json.dumps(str(problems[0]), ensure_ascii=False).encode()
    assert len(str(problems[0])) < 1000


def test_a_file_name_that_is_not_utf_8_is_one_problem(tmp_path: Path, draw: Draw) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    draw("a.png").rename(path)
    with pytest.raises(LabelError, match="rename the file"):
        load_record(path, path.name)
