"""``florence2 bench``: the file, the JSON line, what is left out."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from florence2.cli import app


def test_a_short_run_ends_with_one_json_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["bench", "nano", "--runtime", "torch:fp32", "--runtime", "torch:int3", "--tokens", "4",
         "--tokens", "8", "--rounds", "1", "--batch", "3", "--no-peer", "--out", str(tmp_path)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == found
    stages = {row["stage"] for row in found["rows"]}
    assert {"image", "vision encoder", "encoder", "vision encoder + encoder", "token, 1 beam",
            "token, 3 beams", "4 tokens, 3 beams", "8 tokens, 3 beams"} == stages  # fmt: skip
    assert all(row["seconds"] > 0 for row in found["rows"])
    assert found["batching"]["torch fp32"]["same"] is True
    assert found["cold_start"]["torch fp32"]["bytes"] > 2**20
    assert "int3" in found["missing"]["torch int3"]
    assert "torch int3 is not timed" in result.stderr


def test_nothing_to_measure_is_reported(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", "--runtime", "magic", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "runtime must be one of torch, openvino" in result.stderr


def test_a_length_that_no_answer_has_is_refused(tmp_path: Path) -> None:
    arguments = ["bench", "nano", "--tokens", "1024", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "--tokens 1024 is too long: an output of nano has at most 1,023 tokens" in result.stderr
    assert result.stdout == ""
