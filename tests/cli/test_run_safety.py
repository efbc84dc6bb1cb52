"""Hostile names, changed files, shared directories: nothing leaves --out, and no run ends."""

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

from florence2.io.run_lock import lock_run_dir
from florence2.workflows.labeling.output_names import name_outputs
from florence2.workflows.labeling.sources import Source, list_sources

Command = Callable[..., Any]


def read_lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize(
    "url",
    [
        "http://host/a/../../../../x.jpg",
        "http://host/%2e%2e/%2e%2e/%2e%2e/x.jpg",
        "http://host/..%2f..%2f..%2fx.jpg",
        "http://host/..\\..\\..\\x.jpg",
        "http://host/a%00b.jpg",
        "http://..:80/x.jpg",
        "http://host/" + "n" * 5000 + ".jpg",
        "http://host/" + "n/" * 2000 + "x.jpg",
    ],
)
def test_names_of_urls_stay_below_the_output(tmp_path: Path, url: str) -> None:
    sources = list_sources([url], allow_urls=True)
    (name,) = name_outputs(sources, {}).values()
    path = tmp_path / "out" / "pictures" / f"{name}.more-detailed-caption.jpg"
    assert path.resolve().is_relative_to((tmp_path / "out/pictures").resolve())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")  # the file system takes it


@pytest.mark.parametrize("name", ["../../x", "/x", "a/../../../x", "", "a\0b", 7, None])
def test_a_name_in_earlier_answers_stays_below_the_output(
    command: Command, pictures: Path, tmp_path: Path, name: object
) -> None:
    out = tmp_path / "run" / "out"
    out.mkdir(parents=True)
    image = str(pictures / "a.png")
    line = {"image": image, "task": "<OD>", "image_size": [4, 3], "answer": "x", "name": name}
    (out / "answers.jsonl").write_text(json.dumps(line) + "\n")
    before = sorted(tmp_path.rglob("*"))
    result = command(
        "run", image, "-t", "caption", "--out", out, "--draw", "--sidecars", "--resume"
    )
    assert result.exit_code == 2 and "answers.jsonl" in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_second_run_in_one_directory_is_refused(
    command: Command, pictures: Path, tmp_path: Path, stand_in_script: Path
) -> None:
    out = tmp_path / "out"
    with lock_run_dir(out):
        done = subprocess.run(
            [sys.executable, stand_in_script, "run", pictures, "-t", "caption", "--out", out,
             "--resume"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 2 and f"process {os.getpid()}" in done.stderr
    assert command("run", pictures, "-t", "caption", "--out", out).exit_code == 0


def test_lines_that_came_twice_are_removed_on_resume(
    command: Command, model: Any, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("run", pictures, "-t", "caption", "--out", tmp_path / "out", "--resume")
    assert command(*arguments).exit_code == 0
    answers = tmp_path / "out/answers.jsonl"
    content = answers.read_bytes()
    answers.write_bytes(content * 2)
    model.requests.clear()
    result = command(*arguments)
    assert result.exit_code == 0 and "5 lines" in result.stderr
    assert answers.read_bytes() == content and not model.requests


def test_an_image_that_changed_is_asked_about_again(
    command: Command, model: Any, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("run", pictures, "-t", "caption", "--out", tmp_path / "out", "--resume")
    assert command(*arguments).exit_code == 0
    model.requests.clear()
    Image.new("RGB", (9, 9)).save(pictures / "c.bmp")
    result = command(*arguments)
    assert result.exit_code == 0 and "c.bmp" in result.stderr and "1 image" in result.stderr
    assert [Path(request[0]).name for request in model.requests] == ["c.bmp"]
    names = [Path(each["image"]).name for each in read_lines(tmp_path / "out")]
    assert sorted(names) == ["a.png", "a.png", "b.jpg", "b.png", "c.bmp"]


def test_answers_of_earlier_releases_are_resumed(
    command: Command, model: Any, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text('{"model": "nano", "draw": false, "sidecars": false}')
    line = {"image": str(pictures / "a.png"), "task": "<CAPTION>", "image_size": [4, 3],
            "answer": "old", "truncated": False}  # fmt: skip
    (out / "answers.jsonl").write_text(json.dumps(line) + "\n")
    assert command("run", pictures, "-t", "caption", "--out", out, "--resume").exit_code == 0
    assert read_lines(out)[0]["answer"] == "old" and len(read_lines(out)) == 5


def test_other_weights_under_the_same_name_are_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch, pictures: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"one")
    arguments = ("run", pictures, "--out", tmp_path / "out", "--resume")
    assert command(*arguments, "-t", "caption", "-m", weights).exit_code == 0
    other = tmp_path / "elsewhere"
    weights.rename(other)
    assert command(*arguments, "-t", "caption", "-t", "od", "-m", other).exit_code == 0
    (other / "model.safetensors").write_bytes(b"two")
    result = command(*arguments, "-t", "caption", "-t", "ocr", "-m", other)
    assert result.exit_code == 2 and "other weights" in result.stderr


def test_a_failed_start_leaves_nothing(command: Command, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    assert command("run", pictures, "-t", "od", "--out", out, "-m", "no-such/model").exit_code == 2
    assert not (tmp_path / "new").exists()


def test_a_drawing_that_cannot_be_written_ends_nothing(
    command: Command, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    # A directory is where the drawing of one image belongs.
    (out / "pictures" / "c.caption.jpg").mkdir(parents=True)
    result = command("run", pictures, "-t", "caption", "--out", out, "--draw", "--sidecars")
    assert result.exit_code == 1 and "c.bmp" in result.stderr and "c.caption.jpg" in result.stderr
    assert len(read_lines(out)) == 5
    assert len([each for each in (out / "pictures").rglob("*.jpg") if each.is_file()]) == 4
    assert command("run", pictures, "-t", "caption", "--out", out, "--draw", "--sidecars",
                   "--resume").exit_code == 0  # fmt: skip


def test_a_drawing_wider_than_jpeg_allows_is_made_smaller(
    command: Command, model: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = type(model).answer

    def wide(self: Any, *request: Any) -> Any:
        prediction = answer(self, *request)
        object.__setattr__(prediction, "image_size", (70_000, 3))
        return prediction

    monkeypatch.setattr(type(model), "answer", wide)
    out = tmp_path / "out"
    assert (
        command("run", pictures / "a.png", "-t", "caption", "--out", out, "--draw").exit_code == 0
    )
    with Image.open(out / "pictures/a.caption.jpg") as drawn:
        assert drawn.width == 65_500


def test_a_source_that_vanishes_while_it_is_drawn(
    command: Command, model: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(self: Any) -> Image.Image:
        if "c.bmp" in self.source:
            raise FileNotFoundError(f"there is no picture {self.source}")
        return Image.new("RGB", (4, 3))

    prediction = type(model.answer(str(pictures / "a.png"), "caption"))
    monkeypatch.setattr(prediction, "draw", draw)
    result = command("run", pictures, "-t", "caption", "--out", tmp_path / "out", "--draw")
    assert result.exit_code == 1 and "c.bmp" in result.stderr
    assert len(read_lines(tmp_path / "out")) == 5


def test_names_that_are_as_long_as_a_file_system_allows(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [f"{'ä' * 120}{number}.png" for number in range(3)]
    for name in names:
        Image.new("RGB", (4, 3)).save(folder / name)
    result = command("run", folder, "-t", "more-detailed-caption", "--out", tmp_path / "out",
                     "--draw", "--sidecars")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "out/pictures").glob("*.jpg"))) == 3


def test_pipes_and_devices_fail_by_themselves(command: Command, pictures: Path) -> None:
    os.mkfifo(pictures / "x.mp4")
    os.mkfifo(pictures / "x.gif")
    os.symlink("/dev/zero", pictures / "x.pdf")
    result = command("run", pictures, "-t", "caption")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum("error" in each for each in lines) == 3 and len(lines) == 8


def test_naming_takes_linear_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import PurePosixPath

    from florence2.workflows.labeling import output_names as names

    calls = 0

    class Counting(PurePosixPath):
        def with_suffix(self, suffix: str) -> PurePosixPath:
            nonlocal calls
            calls += 1
            return PurePosixPath(self).with_suffix(suffix)

    monkeypatch.setattr(names, "PurePosixPath", Counting)
    spent = []
    for count in (500, 1000):
        calls = 0
        sources = [Source(f"{n}/img.png", PurePosixPath(f"{n}/img.png")) for n in range(count)]
        sources += [Source(f"{n}.png", PurePosixPath("same.png")) for n in range(count)]
        assert len(set(name_outputs(sources, {}).values())) == 2 * count
        spent.append(calls)
    assert spent[1] == 2 * spent[0]
