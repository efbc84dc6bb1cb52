"""What ``florence2 evaluate`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..io.tables import print_table

if TYPE_CHECKING:
    from ..evaluation.benchmark import Benchmark
    from ..evaluation.compare import Comparison
    from ..evaluation.paper_table import PaperRow
    from ..evaluation.report import Report

_MAX_FAILURES = 10


def print_report(report: Report, directory: Path) -> None:
    """The metrics with the paper's results, notes on them, and the files that were written."""
    from ..evaluation.report_page import list_notes, metric_table

    typer.echo(f"{report.title}, {report.split}: {report.settings['model']}")
    if report.metrics:
        print_table(*metric_table(report))
    for note in list_notes(report):
        typer.echo(f"note: {note}")
    typer.echo(f"written: {directory / 'report.md'}, report.json, examples.html")
    for path in report.official:
        typer.echo(f"for the official scorer: {directory / path}")
    _print_failures(report)


def print_rows(rows: Sequence[PaperRow], directory: Path) -> None:
    """All rows of the paper's tables, and why some were not run."""
    from ..evaluation.paper_table import COLUMNS, metric_rows
    from ..evaluation.report_page import shorten_reason

    print_table(COLUMNS, metric_rows(rows))
    for row in rows:
        if row.report is None:
            reason = shorten_reason(row.reason)
            typer.echo(f"not run: {row.benchmark.name} {row.split}: {reason}", err=True)
        else:
            _print_failures(row.report)
    typer.echo(f"written: {directory / 'report.md'}, report.json")


def print_comparison(comparison: Comparison) -> None:
    """The metrics of two runs and their differences."""
    from ..evaluation.compare import METRIC_COLUMNS, metric_cells

    typer.echo(f"{comparison.title}, {comparison.split}: {comparison.examples:,} examples")
    runs = zip("AB", comparison.models, comparison.directories, strict=True)
    for name, model, directory in runs:
        typer.echo(f"{name}: {model} ({directory})")
    print_table(METRIC_COLUMNS, map(metric_cells, comparison.metrics))


def print_benchmarks() -> None:
    """The names of all benchmarks, with their splits."""
    from ..evaluation.benchmarks import BENCHMARKS, find_benchmark

    found = map(find_benchmark, BENCHMARKS)
    rows = [(each.name, each.title, ", ".join(each.splits)) for each in found]
    print_table(("benchmark", "title", "splits"), rows)
    typer.echo("florence2 evaluate BENCHMARK --list shows its files and how it is scored")


def print_benchmark(benchmark: Benchmark) -> None:
    """The files that a benchmark needs, and how it is scored."""
    typer.echo(f"{benchmark.title} ({benchmark.name}); splits: {', '.join(benchmark.splits)}\n")
    typer.echo(f"Files below --data\n\n{benchmark.source.strip()}\n")
    typer.echo(f"How it is scored\n\n{benchmark.protocol.strip()}")


def _print_failures(report: Report) -> None:
    for example, reason in report.failures[:_MAX_FAILURES]:
        typer.echo(f"failed: {report.benchmark} {example}: {reason}", err=True)
    more = len(report.failures) - _MAX_FAILURES
    if more > 0:
        typer.echo(f"failed: {more:,} more, in report.json", err=True)
