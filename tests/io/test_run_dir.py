"""One run directory: settings, lock, ledger, and files of earlier releases."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from florence2.io.run_dir import RunDir, RunFormat, read_run_settings
from florence2.io.run_lock import RunLockedError

FORMAT = RunFormat("labeling", changeable=frozenset({"directory", "checkpoint"}))

APPEND_FOREVER = """
import sys, time
from pathlib import Path
from florence2.io.run_dir import RunDir, RunFormat
with RunDir.open(Path(sys.argv[1]), {"beams": 3}, RunFormat("labeling")) as run:
    run.save()
    ledger = run.ledger("done.jsonl")
    for number in range(10**9):
        ledger.append(b"%d\\n" % number)
        if number == 100:
            print("held", flush=True)
"""


def start(path: Path, settings: dict[str, Any], format: RunFormat = FORMAT, **options: Any) -> None:
    with RunDir.open(path, settings, format, **options) as run:
        run.save()


def stored(path: Path, name: str = "run.json") -> dict[str, Any]:
    values: dict[str, Any] = json.loads((path / name).read_text())
    return values


def test_the_same_settings_resume(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    start(out, {"tasks": ("<OD>",), "path": Path("x")})
    assert stored(out) == {"kind": "labeling", "tasks": ["<OD>"], "path": "x"}
    with RunDir.open(out, {"tasks": ["<OD>"], "path": "x"}, FORMAT) as run:
        assert run.is_resumed and run.settings["tasks"] == ["<OD>"]
        with pytest.raises(TypeError):
            run.settings["tasks"] = []  # type: ignore[index]
    assert [each.name for each in out.iterdir()] == ["run.json"]


def test_every_setting_that_differs_is_named_with_both_values(tmp_path: Path) -> None:
    start(tmp_path, {"batch": {"size": 8, "micro": 2}, "beams": 3, "old": 1})
    message = (
        r"started with batch\.size 8, not 16; beams 3, not 1; new \(none\), not 2; "
        r"old 1, not \(none\): resume with the same settings, or choose another directory"
    )
    with pytest.raises(ValueError, match=message):
        start(tmp_path, {"batch": {"size": 16, "micro": 2}, "beams": 1, "new": 2})
    assert stored(tmp_path)["beams"] == 3


def test_a_missing_setting_equals_none(tmp_path: Path) -> None:
    start(tmp_path, {"beams": 3})
    start(tmp_path, {"beams": 3, "limit": None})
    assert stored(tmp_path)["limit"] is None


def test_changeable_settings_may_differ_and_are_kept(tmp_path: Path) -> None:
    start(tmp_path, {"beams": 3, "directory": {"path": "a"}})
    with RunDir.open(tmp_path, {"beams": 3, "directory": {"path": "b"}}, FORMAT) as run:
        run.save(checkpoint="abc")
    start(tmp_path, {"beams": 3, "directory": {"path": "c"}})
    assert stored(tmp_path) == {
        "kind": "labeling", "checkpoint": "abc", "beams": 3, "directory": {"path": "c"},
    }  # fmt: skip


def test_partial_settings_may_be_added_later_but_not_changed(tmp_path: Path) -> None:
    partial = replace(FORMAT, partial=True)
    start(tmp_path, {"source": "a", "annotators": {"x": 1}}, partial)
    start(tmp_path, {"source": "a", "student": {"recipe": "r"}}, partial)
    assert stored(tmp_path)["annotators"] == {"x": 1}
    for settings, words in (
        ({"student": {"recipe": "s"}}, r"student\.recipe r, not s"),
        ({"annotators": {"y": 1}}, r"annotators\.y \(none\), not 1; annotators\.x 1, not \(none\)"),
    ):
        with pytest.raises(ValueError, match=words):
            start(tmp_path, settings, partial)


def test_a_run_is_not_resumed_unasked(tmp_path: Path) -> None:
    start(tmp_path, {"beams": 3}, resume=False)
    with pytest.raises(ValueError, match="already holds a run; resume it"):
        start(tmp_path, {"beams": 3}, resume=False)


def test_settings_are_replaced_on_request(tmp_path: Path) -> None:
    start(tmp_path, {"beams": 3})
    start(tmp_path, {"beams": 1}, replace=True, resume=False)
    start(tmp_path, {"beams": 2}, replace=True, lock=False)
    assert stored(tmp_path)["beams"] == 2


def test_settings_without_results_are_replaced(tmp_path: Path) -> None:
    format = replace(FORMAT, has_results=lambda path: (path / "last").exists())
    start(tmp_path, {"beams": 3}, format)
    start(tmp_path, {"beams": 1}, format, resume=False)
    (tmp_path / "last").touch()
    with pytest.raises(ValueError, match="beams 1, not 3"):
        start(tmp_path, {"beams": 3}, format)


def test_other_files_and_other_kinds_of_run_are_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    start(tmp_path / "a", {})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "holiday.jpg").touch()
    with pytest.raises(ValueError, match=r"is not empty and holds no labeling run \(it has holi"):
        start(tmp_path / "b", {})
    start(tmp_path / "b", {}, replace(FORMAT, allow_other_files=True))
    with pytest.raises(ValueError, match="holds a labeling run, not a training run: choose"):
        start(tmp_path / "b", {}, RunFormat("training"), replace=True)
    (tmp_path / "file").touch()
    for lock in (True, False):
        with pytest.raises(ValueError, match="is a file"):
            start(tmp_path / "file", {}, lock=lock)


def test_an_error_before_the_settings_are_saved_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RunDir.open(tmp_path / "out", {"beams": 3}, FORMAT):
        raise KeyError
    with RunDir.open(tmp_path / "out", {"beams": 3}, FORMAT) as run:
        run.save()
        run.discard()
    assert not (tmp_path / "out").exists()


def test_old_keys_and_values_are_read(tmp_path: Path) -> None:
    old = {"specialists": {"ocr": "x"}, "thresholds": {"overlap": 0.6}, "source": "a", "form": 1}
    (tmp_path / "settings.json").write_text(json.dumps(old))

    def upgrade(values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key != "form"}

    names = {"specialists": "annotators", "thresholds.overlap": "nms_iou"}
    format = RunFormat("engine", "settings.json", renamed=names, upgrade=upgrade)
    now = {"annotators": {"ocr": "x"}, "thresholds": {"nms_iou": 0.6}, "source": "a"}
    assert read_run_settings(tmp_path, format) == now
    start(tmp_path, now, format)
    assert stored(tmp_path, "settings.json") == {"kind": "engine", **now}


def test_a_format_without_a_kind_stores_the_settings_alone(tmp_path: Path) -> None:
    start(tmp_path, {"kind": "mine"}, RunFormat(settings_file="recipe.json"))
    assert stored(tmp_path, "recipe.json") == {"kind": "mine"}
    start(tmp_path, {"kind": "mine"}, RunFormat(settings_file="recipe.json"))


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1'])
def test_damaged_settings_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json is damaged .*restore this file, or choose"):
        start(tmp_path, {"a": 1})


def test_a_killed_run_loses_at_most_its_last_line_and_resumes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", APPEND_FOREVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=f"process {holder.pid}"):
            start(tmp_path, {"beams": 3})
        holder.kill()
    with (tmp_path / "done.jsonl").open("ab") as file:
        file.write(b"99999")  # a line that the kill cut short
    with RunDir.open(tmp_path, {"beams": 3}, FORMAT) as run:
        ledger = run.ledger("done.jsonl", keep=lambda line: line != b"7\n")
        lines = (tmp_path / "done.jsonl").read_bytes().split()
        assert lines[:8] == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"8"]
        assert len(lines) >= 100 and int(lines[-1]) == len(lines)
        ledger.append(b"end\n")
    assert (tmp_path / "done.jsonl").read_bytes().endswith(b"\nend\n")


def test_processes_that_share_a_directory_agree_on_settings(tmp_path: Path) -> None:
    with (
        RunDir.open(tmp_path, {"beams": 3}, FORMAT, lock=False) as first,
        RunDir.open(tmp_path, {"beams": 1}, FORMAT, lock=False) as second,
        RunDir.open(tmp_path, {"beams": 3}, FORMAT, lock=False) as third,
    ):
        first.save()
        with pytest.raises(ValueError, match="beams 3, not 1"):
            second.save()
        third.save()
        first.ledger("part-0.jsonl").append(b"1\n")
        third.ledger("part-1.jsonl").append(b"2\n")
        with pytest.raises(RunLockedError, match=r"writes to .*part-0\.jsonl"):
            third.ledger("part-0.jsonl")
