"""All rows of the paper's tables in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_replace, replace_json
from ..io.tables import markdown_table
from .benchmark import Benchmark
from .benchmarks import BENCHMARKS, find_benchmark
from .report import REPORT, Report
from .report_page import PAPER_COLUMNS, list_notes, metric_cells, paper_cells, shorten_reason

REPORT_PAGE = "report.md"
COLUMNS = ("benchmark", "split", "metric", "this model", "95% interval", *PAPER_COLUMNS)
# (benchmark, split, directory of the data, directory of the run) -> report.
RunBenchmark = Callable[[Benchmark, str, Path, Path], Report | None]


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's tables: its report, or the reason why there is none."""

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


def evaluate_paper_table(
    data: str | Path,
    out: str | Path,
    run: RunBenchmark,
    *,
    find: Callable[[str], Benchmark] = find_benchmark,
) -> list[PaperRow]:
    """Evaluate every row of the paper's tables and write one report of them all into ``out``.

    A row that cannot be run gets the reason in place of a report.

    Args:
        data: has the files of each benchmark in a directory of its name, or in itself.
        out: gets the common report, and a directory for each row.
        run: evaluates one split of a benchmark.
        find: looks up a benchmark by name.
    """
    data, out = Path(data), Path(out)
    if not data.is_dir():
        raise FileNotFoundError(
            f"directory {data} does not exist; make it, with a directory for each benchmark: "
            f"{', '.join(BENCHMARKS)}"
        )
    rows = []
    for benchmark, split in paper_rows(find):
        rows.append(_evaluate_row(benchmark, split, data, out, run))
        _write(out, rows)
    return rows


def paper_table_markdown(rows: list[PaperRow]) -> str:
    """One page: the table of metrics, notes on single rows, and what was not run."""
    reports = [row.report for row in rows if row.report is not None]
    model = reports[0].settings["model"] if reports else "no model"
    parts = [f"# The paper's tables: {model}"]
    parts += [f"> **Note.** {note}" for note in _shared_notes(reports)]
    parts.append(markdown_table(COLUMNS, metric_rows(rows)))
    parts.append(
        "In percent; CIDEr times 100. Details, intervals of the other metrics and images are in "
        "the directory of each row."
    )
    own = [(each.title, each.split, note) for each in reports for note in _own_notes(each)]
    if own:
        parts.append(f"## Notes\n\n{markdown_table(('benchmark', 'split', ''), own)}")
    absent = [
        (row.benchmark.title, row.split, shorten_reason(row.reason))
        for row in rows
        if row.report is None
    ]
    if absent:
        table = markdown_table(("benchmark", "split", "reason"), absent)
        hint = "`florence2 evaluate BENCHMARK --list` shows which files a benchmark needs."
        parts.append(f"## Not run\n\n{table}\n\n{hint}")
    return "\n\n".join(parts) + "\n"


def row_directory(benchmark: Benchmark, split: str) -> str:
    """The name of the directory of a row below the common one."""
    return f"{benchmark.name}-{split}"


def metric_rows(rows: Sequence[PaperRow]) -> Iterator[tuple[str, ...]]:
    """Every metric that the paper has for the rows; dashes for rows without a report."""
    for row in rows:
        metrics = {each.name: each for each in (row.report.metrics if row.report else ())}
        for name, paper in row.benchmark.reported[row.split].items():
            start = (row.benchmark.title, row.split)
            if name in metrics:
                yield (*start, *metric_cells(metrics[name]))
            else:
                yield (*start, name, "-", "-", *paper_cells(paper))


def _evaluate_row(
    benchmark: Benchmark, split: str, data: Path, out: Path, run: RunBenchmark
) -> PaperRow:
    reasons = []
    for directory in (data / benchmark.name, data):
        if not directory.is_dir():
            continue
        try:
            report = run(benchmark, split, directory, out / row_directory(benchmark, split))
        except FileNotFoundError as error:
            reasons.append(str(error))
        except (ValueError, OSError, ImportError) as error:
            return PaperRow(benchmark, split, reason=str(error))
        else:
            reason = "" if report else "other processes have examples without predictions"
            return PaperRow(benchmark, split, report, reason)
    return PaperRow(benchmark, split, reason=reasons[0])


def _write(out: Path, rows: list[PaperRow]) -> None:
    atomic_replace(out / REPORT_PAGE, paper_table_markdown(rows))
    replace_json(out / REPORT, {"rows": [_row_json(row) for row in rows]})


def _row_json(row: PaperRow) -> Mapping[str, Any]:
    report = None if row.report is None else row.report.to_json()
    return {
        "benchmark": row.benchmark.name,
        "split": row.split,
        "reason": row.reason,
        "report": report,
    }


def _shared_notes(reports: list[Report]) -> list[str]:
    untrained = next((each for each in reports if not each.trained), None)
    return [] if untrained is None else [next(list_notes(untrained))]


def _own_notes(report: Report) -> Iterator[str]:
    shared = _shared_notes([report])
    return (note for note in list_notes(report) if note not in shared)
