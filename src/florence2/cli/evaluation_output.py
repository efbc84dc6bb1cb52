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
    from ..evaluation.paper_table import Row
    from ..evaluation.report import Report

_MOST_FAILURES = 10


def print_report(report: Report, folder: Path) -> None:
    """The figures beside the paper's, what limits them, and where the rest is."""
    from ..evaluation.markdown import figure_table, notes

    typer.echo(f"{report.title}, {report.split}: {report.settings['model']}")
    if report.figures:
        print_table(*figure_table(report))
    for note in notes(report):
        typer.echo(f"note: {note}")
    typer.echo(f"written: {folder / 'report.md'}, report.json, pictures.html")
    for path in report.official:
        typer.echo(f"for the official scorer: {folder / path}")
    _print_failures(report)


def print_rows(rows: Sequence[Row], folder: Path) -> None:
    """All rows of the paper's tables, and why some were not run."""
    from ..evaluation.markdown import shorten
    from ..evaluation.paper_table import COLUMNS, figure_rows

    print_table(COLUMNS, figure_rows(rows))
    for row in rows:
        if row.report is None:
            reason = shorten(row.reason)
            typer.echo(f"not run: {row.benchmark.name} {row.split}: {reason}", err=True)
        else:
            _print_failures(row.report)
    typer.echo(f"written: {folder / 'report.md'}, report.json")


def print_comparison(comparison: Comparison) -> None:
    """The figures of two runs and their differences."""
    from ..evaluation.compare import METRIC_COLUMNS, figure_cells

    typer.echo(f"{comparison.title}, {comparison.split}: {comparison.cases:,} cases")
    for name, model, folder in zip("AB", comparison.models, comparison.folders, strict=True):
        typer.echo(f"{name}: {model} ({folder})")
    print_table(METRIC_COLUMNS, map(figure_cells, comparison.figures))


def print_benchmarks() -> None:
    """The names of all benchmarks, with their splits."""
    from ..evaluation.benchmarks import BENCHMARKS, find_benchmark

    found = map(find_benchmark, BENCHMARKS)
    rows = [(each.name, each.title, ", ".join(each.splits)) for each in found]
    print_table(("benchmark", "title", "splits"), rows)
    typer.echo("florence2 evaluate BENCHMARK --list tells which files it needs and how it scores")


def print_benchmark(benchmark: Benchmark) -> None:
    """Which files a benchmark needs, and how it is scored."""
    typer.echo(f"{benchmark.title} ({benchmark.name}); splits: {', '.join(benchmark.splits)}\n")
    typer.echo(f"Files below --data\n\n{benchmark.source.strip()}\n")
    typer.echo(f"How it is scored\n\n{benchmark.protocol.strip()}")


def _print_failures(report: Report) -> None:
    for case, reason in report.failures[:_MOST_FAILURES]:
        typer.echo(f"failed: {report.benchmark} {case}: {reason}", err=True)
    more = len(report.failures) - _MOST_FAILURES
    if more > 0:
        typer.echo(f"failed: {more:,} more, in report.json", err=True)
