"""A run that is killed or interrupted at any moment and then resumed loses and doubles nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

IMAGES = 60


@pytest.fixture
def many_pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    for number in range(IMAGES):
        path = folder / str(number % 3) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path)
    return folder


def start(script: Path, *arguments: object, delay: float = 0.004) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), "run", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STAND_IN_DELAY": str(delay)},
        preexec_fn=hear_interrupts,
    )


def hear_interrupts() -> None:
    """What a shell runs in the background is deaf to interrupts, and so is all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def wait_for_lines(answers: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        if answers.exists() and answers.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.001)


def test_killed_runs_resume_to_each_line_once(
    stand_in_script: Path, many_pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answers = out / "answers.jsonl"
    arguments = (many_pictures, "-t", "caption", "-t", "od", "--out", out, "--draw", "--sidecars")
    moments = random.Random(5)
    for kill in range(1, 5):
        process = start(stand_in_script, *arguments, "--resume")
        wait_for_lines(answers, kill * 20, process)
        time.sleep(moments.random() * 0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        whole = answers.read_bytes().rpartition(b"\n")[0].splitlines()
        for line in map(json.loads, whole):  # what has a line has its files, whole
            with Image.open(out / f"pictures/{line['name']}.caption.jpg") as picture:
                picture.load()
            assert (out / f"sidecars/{line['name']}.txt").read_text().count("\n") == 2
    finished = start(stand_in_script, *arguments, "--resume", delay=0)
    _, messages = finished.communicate(timeout=60)
    assert finished.returncode == 0, messages
    lines = [json.loads(line) for line in answers.read_bytes().splitlines()]
    asked = [(line["image"], line["task"]) for line in lines]
    expected = [
        (str(path), task)
        for path in sorted(many_pictures.rglob("*.png"))
        for task in ("<CAPTION>", "<OD>")
    ]
    assert sorted(asked) == sorted(expected)
    assert len(list((out / "pictures").rglob("*.jpg"))) == 2 * IMAGES
    assert len(list((out / "sidecars").rglob("*.txt"))) == IMAGES
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_with_its_status_a_sentence_and_whole_lines(
    stand_in_script: Path, many_pictures: Path, tmp_path: Path, number: int, status: int
) -> None:
    answers = tmp_path / "out" / "answers.jsonl"
    # Slow enough not to be done before the signal comes.
    process = start(
        stand_in_script, many_pictures, "-t", "caption", "--out", answers.parent, delay=0.1
    )
    wait_for_lines(answers, 5, process)
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in messages
    assert f"of {IMAGES} images done" in messages and "--resume" in messages
    assert answers.read_bytes().endswith(b"\n")
    assert 5 <= len(answers.read_bytes().splitlines()) < IMAGES
