"""``florence2 engine``: a run over a directory, its statistics and its page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from typer.main import get_command

from florence2.cli import app
from florence2.data_engine.self_training import open_round

from .conftest import documented

Command = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    directory = tmp_path / "images"
    directory.mkdir()
    for number in range(3):
        image = Image.new("RGB", (160, 120), (40, 60 + 50 * number, 90))
        ImageDraw.Draw(image).rectangle((20, 20, 80 + 20 * number, 90), fill=(230, 40, 40))
        image.save(directory / f"{number}.png")
        (directory / f"{number}.txt").write_text(f"A red box number {number} on a plain wall.")
    (directory / "x.png").write_text("broken")
    return directory


def test_run_stats_and_view(command: Command, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = command("engine", "run", "--images", str(images), "--out", str(out),
                    "--workers", "0", "-a", "region-proposals", "--chunk-size", "2",
                    "--threshold", "confidence.region-proposals=0.1")  # fmt: skip
    assert first.exit_code == 0, first.stderr
    assert "4 images: 1 broken" in first.stderr and "<REGION_PROPOSAL>" in first.stdout
    records = list(open_round(out))
    assert [record.id for record in records] == ["0.png", "1.png", "2.png"]
    counted = command("engine", "stats", str(out), "--plot", str(tmp_path / "a.png"),
                      "--json", str(tmp_path / "a.json"))  # fmt: skip
    assert counted.exit_code == 0, counted.stderr
    assert "3 images" in counted.stdout and "object complexity" in counted.stdout
    statistics = json.loads((tmp_path / "a.json").read_text())
    assert statistics["texts"]["<CAPTION>"]["texts"] == 3
    assert (tmp_path / "a.png").exists()
    viewed = command("engine", "view", str(out / "round-00" / "shards"), "--out",
                     str(tmp_path / "page.html"), "--count", "2")  # fmt: skip
    assert viewed.exit_code == 0, viewed.stderr
    page = (tmp_path / "page.html").read_text()
    assert page.count("<article>") == 2 and "A red box number 0" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-a", "magic"], "unknown annotator 'magic'; available: rapidocr"),
        (["--threshold", "min_agreement"], "NAME=NUMBER"),
        (["--threshold", "size=3"], "unknown threshold 'size'; available: min_confidence"),
        (["--images", "nowhere"], "nowhere does not exist"),
        (["--student-task", "magic"], "unknown task 'magic'"),
        (["-a", "rapidorc"], "did you mean 'rapidocr'"),
        (["--threshold", "min_agrement=2"], "did you mean 'min_agreement'"),
        (["--threshold", "min_agreement=2"], "needs as many detectors"),
        (["--threshold", "nms_iou=7"], "nms_iou must be from 0 to 1"),
        (["--address", "auto"], "are mutually exclusive"),
    ],
)
def test_bad_arguments_are_refused(
    command: Command, images: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    source = [] if "--images" in arguments else ["--images", str(images)]
    base = ["--out", str(tmp_path / "run"), "--workers", "0", "-a", "region-proposals"]
    result = command("engine", "run", *source, *base, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_run_with_other_settings_is_refused_by_the_name_that_differs(
    command: Command, images: Path, tmp_path: Path
) -> None:
    base = ["engine", "run", "--images", str(images), "--out", str(tmp_path / "run"),
            "--workers", "0", "-a", "region-proposals"]  # fmt: skip
    assert command(*base).exit_code == 0
    other = command(*base, "-a", "student:nano")
    assert other.exit_code == 2 and "annotators.student (none), not student:nano" in other.stderr


def test_old_options_and_names_work_with_a_warning(
    command: Command, images: Path, tmp_path: Path
) -> None:
    base = ["engine", "run", "--images", str(images), "--out", str(tmp_path / "run"),
            "--workers", "0"]  # fmt: skip
    old = command(*base, "--specialist", "colour-regions", "--part-size", "2",
                  "--threshold", "overlap=0.5")  # fmt: skip
    assert old.exit_code == 0, old.stderr
    assert "--specialist is now --annotator" in old.stderr
    assert "--part-size is now --chunk-size" in old.stderr
    assert "annotator 'colour-regions' is now 'region-proposals'" in old.stderr
    assert "threshold 'overlap' is now 'nms_iou'" in old.stderr
    new = command(*base, "--annotator", "region-proposals", "--chunk-size", "2",
                  "--threshold", "nms_iou=0.5")  # fmt: skip
    assert new.exit_code == 0 and "is now" not in new.stderr


def test_students_start_from_the_model_that_annotates(tmp_path: Path) -> None:
    from florence2.cli.engine import _set_start
    from florence2.data_engine.self_training import StudentConfig

    plain = StudentConfig()
    assert _set_start(plain, ["student:a/b"], tmp_path).settings == ("start=a/b",)
    assert _set_start(plain, ["rapidocr", "student"], tmp_path).settings == ("start=nano",)
    assert _set_start(plain, ["rapidocr"], tmp_path) == plain
    chosen = StudentConfig(settings=("start=x",))
    assert _set_start(chosen, ["student"], tmp_path) == chosen


def test_an_interrupted_run_ends_without_an_abort(images: Path, tmp_path: Path) -> None:
    """An annotator is in the middle of native code when Ctrl-C comes."""
    program = """
import os, signal, sys, threading
from florence2.data_engine.annotators.region_proposals import RegionProposals
def slow(self, records):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    import time; time.sleep(30)
RegionProposals.annotate = slow
from florence2.cli import main
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "engine", "run", "--images", str(images), "--out",
         str(tmp_path / "run"), "--workers", "0", "-a", "region-proposals"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "0 of 1 chunk done; run the same command again" in done.stderr
    assert "Traceback" not in done.stderr and "terminate" not in done.stderr


def test_a_directory_without_a_finished_round_is_refused(command: Command, tmp_path: Path) -> None:
    result = command("engine", "stats", str(tmp_path))
    assert result.exit_code == 2 and "no finished round" in result.stderr


@pytest.mark.parametrize("verb", ["run", "stats", "view"])
def test_every_option_is_documented(verb: str) -> None:
    verbs: Any = get_command(app)
    there = {
        name
        for parameter in verbs.commands["engine"].commands[verb].params
        for name in parameter.opts
        if name.startswith("--")
    }
    assert there == documented(f"engine {verb}")
