from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Command = Callable[..., Any]


def read_lines(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_go_to_standard_output(command: Command, pictures: Path) -> None:
    result = command("run", pictures, "--task", "caption", "-t", "od")
    assert result.exit_code == 0
    lines = read_lines(result.stdout)
    assert [(Path(each["image"]).name, each["task"]) for each in lines[:3]] == [
        ("a.png", "<CAPTION>"),
        ("a.png", "<OD>"),
        ("b.jpg", "<CAPTION>"),
    ]
    assert len(lines) == 10
    assert lines[1]["answer"] == {
        "bboxes": [[1, 2, 20, 21]], "labels": ["a.png"], "scores": [0.75],
    }  # fmt: skip
    assert lines[0] == {
        "image": str(pictures / "a.png"),
        "task": "<CAPTION>",
        "image_size": [40, 30],
        "answer": "a.png",
        "truncated": False,
    }
    assert "nano has no weights; outputs are random" in result.stderr
    assert "5 images, 0 failed" in result.stderr


def test_a_list_on_standard_input(command: Command, pictures: Path) -> None:
    listing = f"{pictures / 'a.png'}\n{pictures / 'gone.png'}\n"
    result = command("run", "-", "-t", "caption", input=listing)
    assert result.exit_code == 1
    good, bad = read_lines(result.stdout)
    assert good["answer"] == "a.png"
    assert bad == {
        "image": str(pictures / "gone.png"),
        "task": "<CAPTION>",
        "error": "cannot be read as an image",
    }
    assert f"failed: {pictures / 'gone.png'}: cannot be read" in result.stderr


def test_options_reach_the_model_by_their_python_names(
    command: Command, model: Any, pictures: Path
) -> None:
    model.trained = True
    result = command(
        "run", pictures / "a.png", "-t", "ovd", "--text", "cat", "--text", "dog",
        "--model", "some/model", "--revision", "abc", "--adapter", "lora", "--device", "cpu",
        "--precision", "fp32", "--beams", 1, "--max-new-tokens", 7, "--min-score", 0,
        "--nms-iou", 0.5, "--batch-size", 2, "--max-kv-memory", 0.5, "--seed", 0, "--clip",
        "--allow-urls",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert model.loaded == {
        "source": "some/model", "revision": "abc", "adapter": "lora", "device": "cpu",
        "precision": "fp32",
    }  # fmt: skip
    assert model.options == {
        "beams": 1, "max_new_tokens": 7, "min_score": 0.0, "nms_iou": 0.5, "batch_size": 2,
        "memory": 2**29, "seed": 0, "clip": True, "allow_urls": True,
    }  # fmt: skip
    assert model.requests == [
        (str(pictures / "a.png"), "<OPEN_VOCABULARY_DETECTION>", ["cat", "dog"])
    ]
    assert "has no weights" not in result.stderr


def test_nothing_is_passed_that_was_not_given(command: Command, model: Any, pictures: Path) -> None:
    command("run", pictures, "-t", "caption")
    assert model.options == {}
    assert model.loaded == {"source": "nano"}


def test_the_folder_holds_lines_pictures_and_sidecars(
    command: Command, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = command(
        "run", pictures, "-t", "caption", "-t", "ocr-with-region", "--out", out, "--draw",
        "--sidecars",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    stems = ["a", "b.jpg", "b.png", "below/a", "c"]
    assert made == sorted(
        ["answers.jsonl", "run.json"]
        + [f"pictures/{stem}.caption.jpg" for stem in stems]
        + [f"pictures/{stem}.ocr-with-region.jpg" for stem in stems]
        + [f"sidecars/{stem}.txt" for stem in stems]
    )
    assert (out / "sidecars/b.png.txt").read_text() == "b.png\nb.png\n"
    with Image.open(out / "pictures/below/a.caption.jpg") as picture:
        assert picture.size == (40, 30)
    lines = read_lines((out / "answers.jsonl").read_bytes())
    assert [each["name"] for each in lines[::2]] == ["a", "b.jpg", "b.png", "below/a", "c"]


def test_answers_are_never_written_over(command: Command, pictures: Path, tmp_path: Path) -> None:
    arguments = ("run", pictures, "-t", "caption", "--out", tmp_path / "out")
    assert command(*arguments).exit_code == 0
    before = (tmp_path / "out/answers.jsonl").read_bytes()
    result = command(*arguments)
    assert result.exit_code == 2
    assert "add --resume" in result.stderr
    assert (tmp_path / "out/answers.jsonl").read_bytes() == before


def test_resume_asks_only_what_is_missing(
    command: Command, model: Any, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("run", pictures, "--out", tmp_path / "out", "--sidecars", "--resume")
    assert command(*arguments, "-t", "caption").exit_code == 0
    model.requests.clear()
    result = command(*arguments, "-t", "caption")
    assert (result.exit_code, model.requests) == (0, [])
    assert "nothing to do" in result.stderr
    # A task more: only it is asked, and the sidecars tell both answers.
    assert command(*arguments, "-t", "caption", "-t", "od").exit_code == 0
    assert {request[1] for request in model.requests} == {"<OD>"}
    assert len(read_lines((tmp_path / "out/answers.jsonl").read_bytes())) == 10
    assert (tmp_path / "out/sidecars/c.txt").read_text() == "c.bmp\nc.bmp\n"


def test_failed_images_are_tried_again(command: Command, pictures: Path, tmp_path: Path) -> None:
    listing = f"{pictures / 'a.png'}\n{pictures / 'late.png'}\n{pictures / 'c.bmp'}\n"
    arguments = ("run", "-", "-t", "caption", "--out", tmp_path / "out", "--resume")
    for _ in range(2):
        assert command(*arguments, input=listing).exit_code == 1
        lines = read_lines((tmp_path / "out/answers.jsonl").read_bytes())
        assert sorted(Path(each["image"]).name for each in lines) == ["a.png", "c.bmp", "late.png"]
    Image.new("RGB", (4, 3)).save(pictures / "late.png")
    assert command(*arguments, input=listing).exit_code == 0
    lines = read_lines((tmp_path / "out/answers.jsonl").read_bytes())
    assert sorted(each["answer"] for each in lines) == ["a.png", "c.bmp", "late.png"]


def test_resume_with_other_settings_is_refused(
    command: Command, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("run", pictures, "-t", "caption", "--out", tmp_path / "out")
    assert command(*arguments, "--beams", 3).exit_code == 0
    result = command(*arguments, "--beams", 1, "--resume")
    assert result.exit_code == 2
    assert "was started with beams 3, not 1" in result.stderr
    assert command(*arguments, "--beams", 3, "--batch-size", 2, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}", "-t", "no-such-task"], "unknown task 'no-such-task'"),
        (["{}", "-t", "grounding"], "needs text; add --text"),
        (["{}", "-t", "caption", "-m", "no-such/model"], "no checkpoint called 'no-such/model'"),
        (["{}/gone", "-t", "caption"], "no such file or directory"),
        (["{}/*.webp", "-t", "caption"], "no image found"),
        (["{}", "-t", "caption", "--draw"], "--draw needs a directory"),
        (["{}", "-t", "caption", "--resume"], "--resume needs a directory"),
        (["{}", "-t", "caption", "--out", "{}/a.png"], "is a file; name a directory"),
        (["{}", "-t", "caption", "--beams", "0"], "--beams"),
        (["{}", "-t", "caption", "--min-score", "2"], "--min-score"),
        (["{}", "-t", "caption", "--format", "xml"], "--format"),
        (["{}"], "--task"),
        (["https://example.org/a.jpg", "-t", "caption"], "--allow-urls"),
    ],
)
def test_unusable_arguments_end_with_status_2(
    command: Command, pictures: Path, arguments: list[str], message: str
) -> None:
    result = command("run", *(each.replace("{}", str(pictures)) for each in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_reader_that_goes_away_ends_the_run_quietly(
    stand_in_script: Path, pictures: Path
) -> None:
    read, write = os.pipe()
    os.close(read)
    finished = subprocess.run(
        [sys.executable, stand_in_script, "run", pictures, "-t", "caption"],
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    os.close(write)
    assert finished.returncode == 141
    assert finished.stderr.splitlines()[1:] == []  # the notice that nano is untrained is all
