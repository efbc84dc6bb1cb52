from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from florence2.evaluation.benchmark import PaperResult, Table
from florence2.evaluation.report import Report, read_report
from florence2.evaluation.report_page import report_markdown
from florence2.evaluation.runner import evaluate


@pytest.fixture
def report(stand_in: Any, model: Any, data: Path, tmp_path: Path) -> Report:
    made = evaluate(stand_in.BENCHMARK, model, data, tmp_path / "out")
    assert made is not None
    return made


def test_json_returns_as_it_was(report: Report) -> None:
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert {"florence2", "numpy", "python"} <= set(report.versions)


def test_the_page_lays_metrics_beside_the_papers(report: Report, tmp_path: Path) -> None:
    page = (tmp_path / "out/report.md").read_text()
    assert page == report_markdown(report)
    (metric,) = report.metrics
    assert page.startswith("# Colors, val: stand-in\n")
    interval = f"{metric.low:.1f} to {metric.high:.1f}"
    assert f"| accuracy | 82.5 | {interval} | 50.0 | 60.0 | - | 80.5 |" in page
    assert "| examples | 40 of 20 images |" in page
    assert "| options | max\\_new" not in page and "max_new_tokens=8" in page
    assert "Two questions an image." in page
    assert "| shape? | 7 |" in page
    assert "- `official/results.json`" in page
    assert "4 outputs reached the maximum length" in page
    for word in ("random weights", "Only a part", "hidden", "requests failed", "no results"):
        assert word not in page


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"trained": False}, "The model has random weights"),
        ({"split": "other"}, "The paper has no results for other, only for val."),
        ({"paper_splits": ()}, "The paper has no results for this benchmark."),
        ({"metrics": ()}, "Ground truth of this split is hidden"),
        ({"failures": (("a", "gone"),)}, "1 of 40 requests failed and count as wrong"),
    ],
)
def test_what_limits_the_metrics_is_said(report: Report, changes: Any, note: str) -> None:
    assert f"> **Note.** {note}" in report_markdown(replace(report, **changes))


def test_a_part_is_called_a_part(stand_in: Any, model: Any, data: Path, tmp_path: Path) -> None:
    evaluate(stand_in.BENCHMARK, model, data, tmp_path / "part", limit=4)
    assert (
        "Only a part of val was evaluated: 4 of 20 images, 8 of 40 examples"
        in (tmp_path / "part/report.md").read_text()
    )


def test_columns_of_the_paper_are_there_where_it_has_metrics(report: Report) -> None:
    alone = replace(report, metrics=(replace(report.metrics[0], paper=PaperResult()),))
    page = report_markdown(alone)
    assert "| metric | this model | 95% interval |\n" in page and "base-ft" not in page


def test_failures_are_listed_and_long_tables_cut(report: Report) -> None:
    failures = tuple((f"example-{number}", "line | one\nline two") for number in range(30))
    rows = tuple((f"class {number}", number) for number in range(80))
    page = report_markdown(
        replace(report, failures=failures, tables=(Table("By class", ("class", "n"), rows),))
    )
    assert "| example-0 | line \\| one |" in page and "line two" not in page
    assert "10 more are in `report.json`" in page
    assert "| class 39 | 39 |" in page and "| class 40 |" not in page
    assert "40 more rows are in `report.json`" in page


def test_a_run_without_report_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the run is not complete"):
        read_report(tmp_path)
