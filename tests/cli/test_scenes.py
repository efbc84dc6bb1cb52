"""``florence2 scenes``: shards and sheets of drawn shapes; no art is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.main import get_command

from florence2.cli import app
from florence2.datasets.shards import ShardDataset
from florence2.results.tasks import TASKS

from .conftest import documented

pytest.importorskip("cv2")
Command = Callable[..., Any]


def test_shards_have_every_task_and_a_second_call_resumes(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    first = command("scenes", "make", "3", "--out", str(out), "--shapes", "--size", "128")
    assert first.exit_code == 0, first.stderr
    again = command("scenes", "make", "8", "--out", str(out), "--shapes", "--size", "128")
    assert again.exit_code == 0, again.stderr
    assert "8 scenes" in again.stdout and "5 of them new" in again.stdout
    records = ShardDataset(out)
    assert [records[number].id for number in range(8)] == [
        f"scene-train-{number:06d}" for number in range(8)
    ]
    tasks = {each.task for annotations in records.annotations() for each in annotations}
    assert tasks == {task.token for task in TASKS}
    other = command("scenes", "make", "8", "--out", str(out), "--shapes", "--split", "test")
    assert other.exit_code == 2
    assert str(out) in other.stderr


def test_only_the_requested_tasks_are_labeled(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    made = command("scenes", "make", "2", "-o", str(out), "--shapes", "-t", "od", "--size", "96")
    assert made.exit_code == 0, made.stderr
    records = ShardDataset(out)
    assert {each.task for row in records.annotations() for each in row} == {"<OD>"}


def test_a_sheet_is_drawn(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert command("scenes", "show", "--out", str(path), "--count", "2", "--shapes").exit_code == 0
    with Image.open(path) as sheet:
        assert min(sheet.size) > 256


def test_missing_assets_name_the_fetch_command(command: Command, tmp_path: Path) -> None:
    result = command("scenes", "show", "--art", str(tmp_path), "--out", str(tmp_path / "a.png"))
    assert result.exit_code == 2
    assert "florence2 scenes fetch" in result.stderr


def test_the_licenses_of_all_assets_are_printed(command: Command) -> None:
    printed = command("scenes", "fetch", "--notice").stdout
    assert "Apache-2.0" in printed and "MIT" in printed and "OFL" in printed


@pytest.mark.parametrize("verb", ["make", "show", "fetch"])
def test_every_option_is_documented(verb: str) -> None:
    verbs: Any = get_command(app)
    options = {
        name
        for parameter in verbs.commands["scenes"].commands[verb].params
        for name in parameter.opts
        if name.startswith("--")
    }
    assert options == documented(f"scenes {verb}")


def test_the_difference_is_named_and_a_second_process_is_refused(
    command: Any, tmp_path: Path
) -> None:
    from florence2.io.run_lock import lock_run_dir

    base = ["scenes", "make", "2", "--shapes", "--size", "64", "--out", str(tmp_path / "shards")]
    assert command(*base).exit_code == 0
    other = command(*base, "--seed", "9")
    assert other.exit_code == 2 and "made with seed 0, not 9" in other.stderr
    assert len(other.stderr) < 300
    with lock_run_dir(tmp_path / "shards"):
        second = command(*base)
    assert second.exit_code == 2 and "in use by process" in second.stderr
    both = command(*base, "--art", str(tmp_path))
    assert both.exit_code == 2 and "--shapes" in both.stderr and "--art" in both.stderr


def test_shards_with_the_level_name_of_release_0_1_resume(command: Command, tmp_path: Path) -> None:
    base = ["scenes", "make", "--shapes", "--size", "64", "--out", str(tmp_path)]
    assert command(*base, "1", "--level", "dense").exit_code == 0
    manifest = next(path for path in tmp_path.glob("*.json") if '"dense"' in path.read_text())
    manifest.write_text(manifest.read_text().replace('"dense"', '"crowd"'))
    assert command(*base, "2", "--level", "crowd").exit_code == 0
    assert command(*base, "3", "--level", "dense").exit_code == 0
    refused = command(*base, "4", "--level", "easy")
    assert refused.exit_code == 2 and "crowd" in refused.stderr
