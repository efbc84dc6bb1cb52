"""The Markdown page of a report."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..io.tables import format_fixed, markdown_table
from .benchmark import PaperResult, Table
from .report import Report, ReportedMetric

PAPER_COLUMNS = ("paper: base", "large", "base-ft", "large-ft")
_METRIC_COLUMNS = ("metric", "this model", "95% interval", *PAPER_COLUMNS)
_MAX_ROWS = 40
_MAX_FAILURES = 20
_REASON_LENGTH = 160
# Settings that the page shows elsewhere or that only identify the run.
_HIDDEN_SETTINGS = frozenset(
    {
        "benchmark",
        "split",
        "limit",
        "prompt",
        "model",
        "weights",
        "options",
        "shards",
        "examples",
        "digest",
        "data",
    }
)


def report_markdown(report: Report) -> str:
    """The whole page."""
    parts = [
        f"# {report.title}, {report.split}: {report.settings['model']}",
        *(f"> **Note.** {note}" for note in list_notes(report)),
        *_metrics_section(report),
        *_run_section(report),
        f"## How it is scored\n\n{report.protocol.strip()}",
        *(_table_section(table) for table in report.tables),
        *_failures_section(report),
    ]
    return "\n\n".join(parts) + "\n"


def list_notes(report: Report) -> Iterator[str]:
    """What limits the comparison of the metrics with the paper's."""
    coverage = report.coverage
    if not report.trained:
        yield "The model has random weights: its outputs and these metrics are meaningless."
    if not coverage.is_whole:
        yield (
            f"Only a part of {report.split} was evaluated: {coverage.images:,} of "
            f"{coverage.split_images:,} images, {coverage.examples:,} of "
            f"{coverage.split_examples:,} examples. Metrics of the whole split may differ."
        )
    if report.paper_splits and report.split not in report.paper_splits:
        splits = ", ".join(report.paper_splits)
        yield f"The paper has no results for {report.split}, only for {splits}."
    if not report.paper_splits:
        yield "The paper has no results for this benchmark."
    if report.settings.get("prompt") is not None:
        yield f"The prompt is `{report.settings['prompt']}` instead of the benchmark's own."
    if not report.metrics:
        yield "Ground truth of this split is hidden: a server scores the files listed below."
    if report.failures:
        yield (
            f"{len(report.failures):,} of {coverage.examples:,} requests failed and count as "
            "wrong; they are listed at the end."
        )
    if report.truncated:
        yield f"{report.truncated:,} outputs reached the maximum length and were cut off."
    if report.metrics and coverage.images == 1:
        yield "Intervals resample images: those of a single image have no width."
    yield from report.remarks


def shorten_reason(text: str) -> str:
    """The first line of an error without its list of files, short enough for a table."""
    line = (text.partition("; what is needed")[0].strip().splitlines() or [""])[0]
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def metric_table(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of the metrics; without the paper's columns where all are empty."""
    rows = [metric_cells(metric) for metric in report.metrics]
    if all(metric.paper == PaperResult() for metric in report.metrics):
        own = len(_METRIC_COLUMNS) - len(PAPER_COLUMNS)
        return _METRIC_COLUMNS[:own], [row[:own] for row in rows]
    return _METRIC_COLUMNS, rows


def metric_cells(metric: ReportedMetric) -> tuple[str, ...]:
    """A metric as the row of a table: name, value, interval, and the paper's four results."""
    name = metric.name if metric.higher_is_better else f"{metric.name} (lower is better)"
    if not metric.defined:
        return (name, "undefined", "-", *paper_cells(metric.paper))
    interval = f"{format_fixed(metric.low, 1)} to {format_fixed(metric.high, 1)}"
    return (name, format_fixed(metric.value, 1), interval, *paper_cells(metric.paper))


def paper_cells(paper: PaperResult) -> tuple[str, ...]:
    """The paper's results of the four released models, a dash without a value."""
    values = (paper.base, paper.large, paper.base_ft, paper.large_ft)
    return tuple("-" if value is None else f"{value:.1f}" for value in values)


def _metrics_section(report: Report) -> Iterator[str]:
    if report.metrics:
        columns, rows = metric_table(report)
        yield f"## Metrics\n\n{markdown_table(columns, rows)}"
        legend = (
            "In percent; CIDEr times 100. Intervals are bootstrap percentiles; images are "
            "resampled."
        )
        if columns == _METRIC_COLUMNS:
            legend += (
                " base and large are the paper's zero-shot results, base-ft and large-ft its "
                "fine-tuned ones."
            )
        yield legend
    yield "[The best, the worst and some random examples](examples.html) as images."
    if report.official:
        files = "\n".join(f"- `{path}`" for path in report.official)
        yield f"## Files for the official scorer\n\n{files}"


def _run_section(report: Report) -> Iterator[str]:
    settings, coverage = report.settings, report.coverage
    weights = settings.get("weights")
    others = {
        name: value
        for name, value in settings.items()
        if name not in _HIDDEN_SETTINGS and value is not None
    }
    rows = {
        "model": settings["model"],
        "weights": f"SHA-256 {weights[:16]}…" if weights else "no weight files",
        "data": settings["data"],
        "examples": f"{coverage.examples:,} of {coverage.images:,} images",
        "options": _describe_options(settings["options"]),
        **others,
        "date": report.date,
        "machine": report.machine,
        "time": _describe_time(report),
        "versions": ", ".join(f"{name} {number}" for name, number in report.versions.items()),
    }
    yield f"## Run\n\n{markdown_table(('', ''), rows.items())}"


def _describe_options(options: dict[str, object]) -> str:
    given = ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())
    return given or "the defaults of the model's call"


def _describe_time(report: Report) -> str:
    if not report.predicted:
        return "all predictions were there already"
    time = f"{report.predicted:,} examples in {report.seconds:,.1f} s"
    if report.seconds >= 1:
        time += f" ({report.predicted / report.seconds:.2f} per second)"
    rest = report.coverage.examples - report.predicted
    return f"{time}; the other {rest:,} earlier or in other processes" if rest else time


def _table_section(table: Table) -> str:
    shown = markdown_table(table.columns, table.rows[:_MAX_ROWS])
    more = len(table.rows) - _MAX_ROWS
    rest = f"\n\n{more:,} more rows are in `report.json`." if more > 0 else ""
    return f"## {table.title}\n\n{shown if table.rows else 'None.'}{rest}"


def _failures_section(report: Report) -> Iterator[str]:
    if report.failures:
        shown = ((id, shorten_reason(why)) for id, why in report.failures[:_MAX_FAILURES])
        table = markdown_table(("example", "reason"), shown)
        more = len(report.failures) - _MAX_FAILURES
        rest = f"\n\n{more:,} more are in `report.json`." if more > 0 else ""
        yield f"## Failed requests\n\n{table}{rest}"
