from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from florence2.evaluation.benchmarks import BENCHMARKS
from florence2.evaluation.paper_table import evaluate_paper_table
from florence2.evaluation.runner import evaluate


@pytest.fixture
def find(stand_in: Any) -> Any:
    """Every name leads to the stand-in benchmark, but for those that are in no table."""

    def find(name: str) -> Any:
        reported = stand_in.BENCHMARK.reported if name != "docvqa" else {}
        return replace(stand_in.BENCHMARK, name=name, title=name.upper(), reported=reported)

    return find


def test_every_row_is_run_or_has_its_reason(
    model: Any, data: Path, tmp_path: Path, find: Any
) -> None:
    common, out = tmp_path / "common", tmp_path / "out"
    common.mkdir()
    for name in ("nocaps", "refcoco"):
        (common / name).symlink_to(data)
    (common / "vqav2").mkdir()
    (common / "vqav2/val.json").write_text("[]")

    def run(benchmark: Any, split: str, directory: Path, into: Path) -> Any:
        return evaluate(benchmark, model, directory, into, split=split)

    rows = evaluate_paper_table(common, out, run, find=find)
    assert [row.benchmark.name for row in rows] == [name for name in BENCHMARKS if name != "docvqa"]
    done = {row.benchmark.name for row in rows if row.report is not None}
    assert done == {"nocaps", "refcoco"}
    reasons = {row.benchmark.name: row.reason for row in rows}
    assert "val.json" in reasons["textcaps"] and "has no example" in reasons["vqav2"]
    page = (out / "report.md").read_text()
    assert page.startswith("# The paper's tables: stand-in\n")
    assert "| REFCOCO | val | accuracy | 82.5 | " in page
    assert "| TEXTCAPS | val | accuracy | - | - | 50.0 | 60.0 | - | 80.5 |" in page
    assert "## Not run" in page and "| VQAV2 | val |" in page
    written = json.loads((out / "report.json").read_text())["rows"]
    assert len(written) == len(rows)
    assert (out / "nocaps-val/report.md").exists()


def test_one_directory_may_hold_the_files_of_all(
    model: Any, data: Path, tmp_path: Path, find: Any
) -> None:
    (data / "refcoco").mkdir()  # of that benchmark's own files, not a data directory

    def run(benchmark: Any, split: str, directory: Path, into: Path) -> Any:
        return evaluate(benchmark, model, directory, into, split=split)

    rows = evaluate_paper_table(data, tmp_path / "out", run, find=find)
    assert all(row.report is not None for row in rows)


def test_a_directory_that_is_not_there_is_reported(tmp_path: Path, find: Any) -> None:
    with pytest.raises(FileNotFoundError, match="with a directory for each benchmark"):
        evaluate_paper_table(tmp_path / "gone", tmp_path / "out", lambda *_: None, find=find)
