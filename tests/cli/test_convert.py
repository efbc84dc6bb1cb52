from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from florence2.cli import app
from florence2.datasets.shards import ShardDataset

BOX = "<loc_100><loc_100><loc_500><loc_500>"


def convert(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Two good lines and two bad ones."""
    directory = tmp_path / "source"
    directory.mkdir()
    Image.new("RGB", (40, 30)).save(directory / "a.png")
    rows = [
        {"image": "a.png", "prefix": "<OD>", "suffix": f"dog{BOX}"},
        {"image": "a.png", "prefix": "<CAPTION>", "suffix": "a dog"},
        {"image": "a.png", "prefix": "<OD>", "suffix": "dog<loc_1><loc_2><loc_3>"},
        {"image": "gone.png", "prefix": "<CAPTION>", "suffix": "a cat"},
    ]
    file = directory / "annotations.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_counts_and_problems_are_printed_with_file_and_line(lines: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    result = convert(lines, "--to", "shards", "--out", out, "--format", "jsonl")
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert words[words.index("<OD>") + 1] == words[words.index("<CAPTION>") + 1] == "1"
    assert f"{lines}:3: unreadable-suffix" in result.stdout
    assert f"{lines}:4: missing-file" in result.stdout
    assert words[words.index("missing-file") + 1] == "1"
    assert str(out / "problems.jsonl") in result.stdout
    assert len((out / "problems.jsonl").read_text().splitlines()) == 2
    assert len(ShardDataset(out)) == 1


def test_strict_turns_problems_into_status_1_and_overwrite_makes_anew(
    lines: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    arguments = (lines, "--out", out, "--format", "jsonl", "--strict")
    assert convert(*arguments).exit_code == 1
    lines.write_text(lines.read_text().splitlines()[0])
    assert convert(*arguments).exit_code == 2
    result = convert(*arguments, "--overwrite")
    assert result.exit_code == 0
    assert "no problems" in result.stdout


def test_columns_of_csv_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    file = tmp_path / "rows.csv"
    file.write_text("photo,question,said\na.png,Where?,at home\n")
    arguments = (file, "--out", tmp_path / "out", "--format", "csv", "--prompt", "<Ask>")
    result = convert(*arguments, "--column", "image=photo", "--column", "answer=said")
    assert result.exit_code == 0, result.output
    annotation = ShardDataset(tmp_path / "out")[0].annotations[0]
    assert (annotation.task, annotation.text) == ("<Ask>", "Where?")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "tfrecord"), "is not one of coco, yolo"),
        (("--format", "coco", "--column", "a=b"), "are for csv and huggingface"),
        (("--format", "csv", "--column", "picture=b"), "unknown column 'picture'"),
        (("--format", "csv", "--column", "picture"), "is written NAME=VALUE"),
        (("--format", "huggingface"), "the meaning of the columns is missing"),
        (("--format", "jsonl", "--model", "./nowhere"), "./nowhere"),
    ],
)
def test_unusable_arguments_end_with_status_2_and_one_line(
    lines: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = convert(lines, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = convert(tmp_path / "gone", "--out", tmp_path / "out", "--format", "coco")
    assert result.exit_code == 2
    assert "gone does not exist" in result.stderr


def test_the_formats_of_the_command_are_those_of_the_importers() -> None:
    from florence2.datasets.conversion import FORMATS as CONVERTED
    from florence2.datasets.import_config import FORMATS, SHARDS
    from florence2.datasets.importers.importer_registry import IMPORTERS

    assert FORMATS == CONVERTED
    assert (*FORMATS, SHARDS) == tuple(IMPORTERS)
