"""All rows of the paper's tables in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_replace, replace_json
from ..io.tables import markdown_table
from .benchmark import Benchmark
from .benchmarks import BENCHMARKS, find_benchmark
from .markdown import PAPER_COLUMNS, figure_cells, notes, paper_cells, shorten
from .report import REPORT, Report

REPORT_PAGE = "report.md"
COLUMNS = ("benchmark", "split", "figure", "this model", "95% interval", *PAPER_COLUMNS)


@dataclass(frozen=True)
class Row:
    """A row of the paper's tables: its report, or why there is none."""

    benchmark: Benchmark
    split: str
    report: Report | None = None
    reason: str = ""


def paper_rows(
    find: Callable[[str], Benchmark] = find_benchmark,
) -> Iterator[tuple[Benchmark, str]]:
    """Each benchmark of the paper's tables with each split that the paper reports."""
    for name in BENCHMARKS:
        benchmark = find(name)
        for split in benchmark.reported:
            yield benchmark, split


def evaluate_everything(
    data: str | Path,
    out: str | Path,
    run: Callable[[Benchmark, str, Path, Path], Report | None],
    *,
    find: Callable[[str], Benchmark] = find_benchmark,
) -> list[Row]:
    """A row for every figure of the paper's tables; ``out`` gets one report of them all.

    ``data`` has the files of each benchmark in a folder of its name, or in itself. ``run``
    evaluates a benchmark's split from such a folder into one below ``out``. What cannot be run has
    its reason in place of a report, and the others go on.
    """
    data, out = Path(data), Path(out)
    if not data.is_dir():
        raise FileNotFoundError(
            f"there is no folder {data}; make it, with a folder for each benchmark: "
            f"{', '.join(BENCHMARKS)}"
        )
    rows = []
    for benchmark, split in paper_rows(find):
        rows.append(_row(benchmark, split, data, out, run))
        _write(out, rows)
    return rows


def everything_markdown(rows: list[Row]) -> str:
    """One page: the table of figures, what concerns single rows, and what was not run."""
    reports = [row.report for row in rows if row.report is not None]
    model = reports[0].settings["model"] if reports else "no model"
    parts = [f"# The paper's tables: {model}"]
    parts += [f"> **Note.** {note}" for note in _shared_notes(reports)]
    parts.append(markdown_table(COLUMNS, figure_rows(rows)))
    parts.append(
        "In percent; CIDEr times 100. Details, intervals of the other figures and pictures are in "
        "the folder of each row."
    )
    own = [(each.title, each.split, note) for each in reports for note in _own_notes(each)]
    if own:
        parts.append(f"## Notes\n\n{markdown_table(('benchmark', 'split', ''), own)}")
    absent = [
        (row.benchmark.title, row.split, shorten(row.reason)) for row in rows if row.report is None
    ]
    if absent:
        table = markdown_table(("benchmark", "split", "reason"), absent)
        hint = "`florence2 evaluate BENCHMARK --list` tells which files a benchmark needs."
        parts.append(f"## Not run\n\n{table}\n\n{hint}")
    return "\n\n".join(parts) + "\n"


def row_folder(benchmark: Benchmark, split: str) -> str:
    """The name of the folder of a row below the common one."""
    return f"{benchmark.name}-{split}"


def _row(
    benchmark: Benchmark,
    split: str,
    data: Path,
    out: Path,
    run: Callable[[Benchmark, str, Path, Path], Report | None],
) -> Row:
    folders = [folder for folder in (data / benchmark.name, data) if folder.is_dir()]
    reasons = []
    for folder in folders:
        try:
            report = run(benchmark, split, folder, out / row_folder(benchmark, split))
        except FileNotFoundError as error:
            reasons.append(str(error))
        except (ValueError, OSError, ImportError) as error:
            return Row(benchmark, split, reason=str(error))
        else:
            reason = "" if report else "parts of other processes are not answered yet"
            return Row(benchmark, split, report, reason)
    return Row(benchmark, split, reason=reasons[0])


def _write(out: Path, rows: list[Row]) -> None:
    atomic_replace(out / REPORT_PAGE, everything_markdown(rows))
    replace_json(out / REPORT, {"rows": [_row_json(row) for row in rows]})


def _row_json(row: Row) -> Mapping[str, Any]:
    report = None if row.report is None else row.report.to_json()
    return {
        "benchmark": row.benchmark.name,
        "split": row.split,
        "reason": row.reason,
        "report": report,
    }


def figure_rows(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """Every figure that the paper has for the rows; dashes for those without a report."""
    for row in rows:
        for name, paper in row.benchmark.reported[row.split].items():
            start = (row.benchmark.title, row.split)
            found = [
                each for each in (row.report.figures if row.report else ()) if each.name == name
            ]
            if found:
                yield (*start, *figure_cells(found[0]))
            else:
                yield (*start, name, "-", "-", *paper_cells(paper))


def _shared_notes(reports: list[Report]) -> list[str]:
    if any(not report.trained for report in reports):
        return ["The model is untrained: its answers are noise, and so are the figures."]
    return []


def _own_notes(report: Report) -> Iterator[str]:
    shared = _shared_notes([report])
    return (note for note in notes(report) if note not in shared)
