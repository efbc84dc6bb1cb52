"""A report to read, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..io.tables import format_fixed, markdown_table
from .benchmark import Reported, Table
from .report import Report, ReportedFigure

PAPER_COLUMNS = ("paper: base", "large", "base-ft", "large-ft")
_FIGURE_COLUMNS = ("figure", "this model", "95% interval", *PAPER_COLUMNS)
_MOST_ROWS = 40
_MOST_FAILURES = 20
_REASON_LENGTH = 160


def report_markdown(report: Report) -> str:
    """The whole page."""
    parts = [
        f"# {report.title}, {report.split}: {report.settings['model']}",
        *(f"> **Note.** {note}" for note in notes(report)),
        *_figures(report),
        *_run(report),
        f"## How it is scored\n\n{report.protocol.strip()}",
        *(_table_section(table) for table in report.tables),
        *_failures(report),
    ]
    return "\n\n".join(parts) + "\n"


def notes(report: Report) -> Iterator[str]:
    """What keeps the figures from being compared with the paper's as they are, one by one."""
    extent = report.extent
    if not report.trained:
        yield "The model is untrained: its answers are noise, and so are the figures."
    if not extent.is_whole:
        yield (
            f"Only a part of {report.split} was asked: {extent.pictures:,} of "
            f"{extent.split_pictures:,} pictures, {extent.cases:,} of {extent.split_cases:,} "
            "cases. Figures of whole splits may differ."
        )
    if report.paper_splits and report.split not in report.paper_splits:
        splits = ", ".join(report.paper_splits)
        yield f"The paper has no figures of {report.split}; those it has are of {splits}."
    if not report.paper_splits:
        yield "The paper has no figures of this benchmark."
    if report.settings.get("prompt") is not None:
        yield f"Asked by `{report.settings['prompt']}` in place of the benchmark's own prompt."
    if not report.figures:
        yield "The truth of this split is hidden: a server scores the files that are listed below."
    if report.failures:
        yield (
            f"{len(report.failures):,} of {extent.cases:,} cases could not be asked and count as "
            "wrong; they are listed at the end."
        )
    if report.truncated:
        yield f"{report.truncated:,} answers were cut off by the limit on their length."
    if report.figures and extent.pictures == 1:
        yield "Intervals are drawn from the images: of a single image they have no width."
    yield from report.remarks


def shorten(text: str) -> str:
    """What an error says before it lists the files that are needed, as far as a table has room."""
    line = (text.partition("; what is needed")[0].strip().splitlines() or [""])[0]
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def figure_table(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The columns and the rows of the figures; without the paper's where it has none of them."""
    rows = [figure_cells(figure) for figure in report.figures]
    if all(figure.paper == Reported() for figure in report.figures):
        own = len(_FIGURE_COLUMNS) - len(PAPER_COLUMNS)
        return _FIGURE_COLUMNS[:own], [row[:own] for row in rows]
    return _FIGURE_COLUMNS, rows


def figure_cells(figure: ReportedFigure) -> tuple[str, ...]:
    """A figure as the row of a table: name, value, interval, and the paper's four."""
    name = figure.name if figure.higher_is_better else f"{figure.name} (lower is better)"
    if not figure.defined:
        return (name, "undefined", "-", *paper_cells(figure.paper))
    interval = f"{format_fixed(figure.low, 1)} to {format_fixed(figure.high, 1)}"
    return (name, format_fixed(figure.value, 1), interval, *paper_cells(figure.paper))


def paper_cells(paper: Reported) -> tuple[str, ...]:
    """The paper's figures of the four released models, a dash where it has none."""
    values = (paper.base, paper.large, paper.base_ft, paper.large_ft)
    return tuple("-" if value is None else f"{value:.1f}" for value in values)


def _figures(report: Report) -> Iterator[str]:
    if report.figures:
        columns, rows = figure_table(report)
        yield f"## Figures\n\n{markdown_table(columns, rows)}"
        told = (
            " base and large are the paper's zero-shot figures, base-ft and large-ft its fine-tuned"
            " ones."
        )
        yield (
            "In percent; CIDEr times 100. Intervals are bootstrap percentiles over pictures."
            f"{told if columns == _FIGURE_COLUMNS else ''}"
        )
    yield "[The best, the worst and some random cases](pictures.html) in pictures."
    if report.official:
        listed = "\n".join(f"- `{path}`" for path in report.official)
        yield f"## Files for the official scorer\n\n{listed}"


def _run(report: Report) -> Iterator[str]:
    settings, extent = report.settings, report.extent
    weights = settings.get("weights")
    shown = (
        "benchmark",
        "split",
        "limit",
        "prompt",
        "model",
        "weights",
        "options",
        "shards",
        "cases",
        "digest",
        "data",
    )
    others = {name: value for name, value in settings.items() if name not in shown}
    rows = {
        "model": settings["model"],
        "weights": f"SHA-256 {weights[:16]}…" if weights else "no weight files",
        "data": settings["data"],
        "asked": f"{extent.cases:,} cases about {extent.pictures:,} pictures",
        "options": _options(settings["options"]),
        **{name: value for name, value in others.items() if value is not None},
        "date": report.date,
        "machine": report.machine,
        "time": _time(report),
        "versions": ", ".join(f"{name} {number}" for name, number in report.versions.items()),
    }
    table = markdown_table(("", ""), rows.items())
    yield f"## What was run\n\n{table}"


def _options(options: dict[str, object]) -> str:
    given = ", ".join(f"{name}={json.dumps(value)}" for name, value in options.items())
    return given or "the defaults of the model's call"


def _time(report: Report) -> str:
    if not report.asked:
        return "all answers were there already"
    time = f"{report.asked:,} cases in {report.seconds:,.1f} s"
    if report.seconds >= 1:
        time += f" ({report.asked / report.seconds:.2f} a second)"
    rest = report.extent.cases - report.asked
    return f"{time}; the other {rest:,} earlier or in other processes" if rest else time


def _table_section(table: Table) -> str:
    shown = markdown_table(table.columns, table.rows[:_MOST_ROWS])
    more = len(table.rows) - _MOST_ROWS
    rest = f"\n\n{more:,} more rows are in `report.json`." if more > 0 else ""
    return f"## {table.title}\n\n{shown if table.rows else 'None.'}{rest}"


def _failures(report: Report) -> Iterator[str]:
    if report.failures:
        shown = ((case, shorten(why)) for case, why in report.failures[:_MOST_FAILURES])
        table = markdown_table(("case", "reason"), shown)
        more = len(report.failures) - _MOST_FAILURES
        rest = f"\n\n{more:,} more are in `report.json`." if more > 0 else ""
        yield f"## Cases that could not be asked\n\n{table}{rest}"
