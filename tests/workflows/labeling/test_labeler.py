"""``florence2.label``: what ``florence2 run`` does, called from Python."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import florence2
from florence2 import LabelConfig, label
from florence2.results.tasks import find_task
from florence2.results.types import Failure, Text
from florence2.workflows.labeling.labeler import LabelMonitor, LabelOutcome

QUICK = LabelConfig(max_new_tokens=5, beams=1, runtime="torch")


class FileNames:
    """A model whose captions are the names of the files."""

    def __init__(self, *, broken: str = "?", stop_at: str = "?") -> None:
        self.broken, self.stop_at = broken, stop_at
        self.seen: list[str] = []

    def stream(self, requests: Iterable[tuple[Any, ...]], **options: Any) -> Iterator[Any]:
        for image, token, *_ in requests:
            name = Path(image).name
            if name == self.stop_at:
                raise KeyboardInterrupt
            self.seen.append(name)
            if name == self.broken:
                yield Failure(image, "truncated or corrupt image")
                continue
            task = find_task(token)
            answer = Text(name)
            yield florence2.Prediction(task, "", answer, (4, 3), source=image, image=image)


def run(model: FileNames, sources: Any, out: Any, **options: Any) -> LabelOutcome:
    return label(sources, "caption", out=out, load=lambda config: model, **options)  # type: ignore[arg-type,return-value]


def read(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


def test_a_directory_is_labeled_and_the_outcome_counts(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = LabelConfig(draw=True, sidecars=True, formats=("csv",))
    outcome = run(FileNames(), pictures, out, config=config)
    assert (outcome.done, outcome.skipped, outcome.failed) == (5, 0, {})
    assert outcome.is_complete and outcome.seconds > 0
    assert outcome.paths == (
        out / "answers.jsonl", out / "pictures", out / "sidecars", out / "csv",
    )  # fmt: skip
    assert [each.target for each in outcome.exports] == ["csv"]
    assert [line["answer"] for line in read(out)] == ["a.png", "b.jpg", "b.png", "a.png", "c.bmp"]
    assert (out / "sidecars" / "c.txt").read_text() == "c.bmp\n"


def test_an_interrupted_run_resumes(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(FileNames(stop_at="b.png"), pictures, out)
    assert [line["answer"] for line in read(out)] == ["a.png", "b.jpg"]
    second = FileNames()
    outcome = run(second, pictures, out)
    assert second.seen == ["b.png", "a.png", "c.bmp"]
    assert (outcome.done, outcome.skipped) == (3, 2)
    assert len(read(out)) == 5
    again = run(FileNames(), pictures, out)
    assert (again.done, again.skipped, again.is_complete) == (0, 5, True)


def test_a_killed_run_resumes(pictures: Path, tmp_path: Path, slow_script: str) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", slow_script, pictures, out])
    deadline = time.monotonic() + 60
    lines = out / "answers.jsonl"
    while not (lines.exists() and lines.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = read(out)
    assert 0 < len(before) < 5
    outcome = run(FileNames(), pictures, out)
    assert outcome.skipped == len(before) and outcome.done == 5 - len(before)
    assert len(read(out)) == 5 and read(out)[: len(before)] == before


@pytest.fixture
def slow_script() -> str:
    """A program that labels slowly."""
    return f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_labeler import FileNames, run

class Slow(FileNames):
    def stream(self, requests, **options):
        for each in super().stream(requests, **options):
            time.sleep(0.3)
            yield each

run(Slow(), sys.argv[1], sys.argv[2])
"""


def test_other_settings_are_refused(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(FileNames(), pictures, out, config=LabelConfig(beams=3))
    with pytest.raises(ValueError, match="was started with beams 3, not 1"):
        run(FileNames(), pictures, out, config=LabelConfig(beams=1))
    with pytest.raises(ValueError, match="holds predictions already"):
        run(FileNames(), pictures, out, config=LabelConfig(beams=3), resume=False)
    run(FileNames(), pictures, out, config=LabelConfig(beams=3, batch_size=2))


def test_one_bad_image_does_not_end_the_run(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = run(FileNames(broken="b.jpg"), pictures, out)
    bad = str(pictures / "b.jpg")
    assert outcome.failed == {bad: "truncated or corrupt image"}
    assert (outcome.done, outcome.is_complete) == (4, False)
    assert [line["image"] for line in read(out) if "error" in line] == [bad]
    retried = FileNames()
    assert run(retried, pictures, out).is_complete and retried.seen == ["b.jpg"]


def test_lines_go_to_a_stream(pictures: Path) -> None:
    stream = BytesIO()
    outcome = run(FileNames(), [pictures / "a.png", str(pictures / "b.jpg")], stream)
    assert [json.loads(line)["answer"] for line in stream.getvalue().splitlines()] == [
        "a.png", "b.jpg",
    ]  # fmt: skip
    assert outcome.paths == ()
    with pytest.raises(ValueError, match="draw=True needs a directory"):
        run(FileNames(), pictures, BytesIO(), config=LabelConfig(draw=True))


def test_a_monitor_gets_messages_and_progress(pictures: Path, tmp_path: Path) -> None:
    events: list[Any] = []

    class Recorder(LabelMonitor):
        def notify(self, message: str) -> None:
            events.append(message)

        def start(self, done: int, total: int) -> None:
            events.append((done, total))

        def advance(self) -> None:
            events.append("+")

        def finish(self, outcome: LabelOutcome) -> None:
            events.append(outcome.done)

    (pictures / "x.heic").write_bytes(b"x")
    for _ in range(2):
        run(FileNames(), pictures, tmp_path / "out", monitor=Recorder())
    skipped = "1 file skipped: .heic (1); convert them to PNG or JPEG first"
    assert events == [skipped, (0, 5), *"+++++", 5, skipped, "nothing to do", 0]


def test_the_bundled_model_labels(pictures: Path, tmp_path: Path) -> None:
    outcome = label(pictures / "a.png", ["od", "caption"], out=tmp_path / "out", config=QUICK)
    assert outcome.is_complete
    assert {line["task"] for line in read(tmp_path / "out")} == {"<OD>", "<CAPTION>"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beams must be a whole number from 1 to 100, got 0"),
        ({"precision": "fp23"}, "did you mean 'fp32'"),
        ({"formats": ("yollo",)}, "did you mean 'yolo'"),
        ({"caption": "od"}, "is not a caption task"),
        ({"link_images": True, "copy_images": False}, "mutually exclusive"),
        ({"min_score": 2.0}, "min_score must be a number from 0 to 1"),
    ],
)
def test_unusable_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelConfig(**options)
