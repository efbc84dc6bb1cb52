"""The command line with the bundled model: no stand-in, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from florence2.cli import app
from florence2.results.tasks import TASKS


def florence2(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_run_answers_pictures_and_tells_the_broken_one(pictures: Path, tmp_path: Path) -> None:
    (pictures / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    arguments = (
        "run", pictures, "-t", "caption", "-t", "od", "--beams", 1, "--max-new-tokens", 12,
        "--out", tmp_path / "out", "--draw", "--sidecars", "--device", "cpu",
    )  # fmt: skip
    result = florence2(*arguments)
    assert result.exit_code == 1, result.stderr
    assert f"failed: {pictures / 'torn.jpg'}" in result.stderr
    text = (tmp_path / "out/answers.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 12
    assert sum("error" in line for line in lines) == 2
    assert all(line["image_size"] == [4, 3] for line in lines if "error" not in line)
    assert len(list((tmp_path / "out/pictures").rglob("*.jpg"))) == 10
    (pictures / "torn.jpg").unlink()
    assert florence2(*arguments, "--resume").exit_code == 0


def test_several_pictures_at_once_are_answered_as_one_by_one(pictures: Path) -> None:
    arguments = ("run", pictures, "-t", "caption", "-t", "ocr", "--max-new-tokens", 8)
    together = florence2(*arguments, "--batch-size", 7, "--device", "cpu")
    alone = florence2(*arguments, "--batch-size", 1, "--device", "cpu")
    assert together.exit_code == 0, together.stderr
    answers = [[json.loads(line)["answer"] for line in each.stdout.splitlines()]
               for each in (together, alone)]  # fmt: skip
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "{}"),  # a directory without a checkpoint
        ("--device", "no-such-device"),
        ("--precision", "fp12"),
        ("--adapter", "{}"),
    ],
)
def test_unusable_values_end_with_status_2_and_are_named(
    pictures: Path, option: str, value: str
) -> None:
    value = value.replace("{}", str(pictures))
    result = florence2("run", pictures, "-t", "caption", option, value)
    assert result.exit_code == 2, (result.stderr, result.exception)
    # A value that is no choice is followed by where the choices are listed.
    lines = result.stderr.splitlines()
    assert value in lines[-2 if lines[-1].startswith("Try ") else -1]


def test_doctor_refuses_what_is_no_checkpoint(pictures: Path) -> None:
    result = florence2("doctor", pictures)
    assert result.exit_code in (1, 2), result.stderr
    assert str(pictures) in result.stdout + result.stderr
    assert isinstance(result.exception, SystemExit)


def test_doctor_tells_what_is_found_in_the_bundled_model() -> None:
    result = florence2("doctor", "nano")
    assert "checkpoint nano" in result.stdout or "nano" in result.stderr
    assert isinstance(result.exception, SystemExit | None)


def test_demo_answers_every_task(tmp_path: Path) -> None:
    result = florence2("demo", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert all(task.token in result.stdout for task in TASKS)
    with Image.open(tmp_path / "demo.png") as sheet:
        sheet.load()
