"""``florence2 evaluate``: a benchmark with a model, or two runs compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..evaluation.evaluation_config import EvaluationConfig
from ..inference.call_options import LoadOptions
from ..io.options import option
from .errors import EXIT_PARTIAL, print_message, user_errors
from .evaluation_runs import EvaluationRun, parse_shard
from .signature import expand_options

if TYPE_CHECKING:
    from ..evaluation.report import Report


@dataclass(frozen=True, kw_only=True)
class BenchmarkSelection:
    """What to evaluate on and where the run is kept."""

    benchmark: str | None = option(
        None, argument=True, help="What to evaluate on; --list shows the names."
    )
    data: Path | None = option(None, help="Directory of the official files.")
    out: Path | None = option(
        None,
        flags=("--out", "-o"),
        help="Directory of the run. [default: runs/evaluate/BENCHMARK-SPLIT-MODEL]",
    )


@dataclass(frozen=True, kw_only=True)
class EvaluationMode:
    """How the work is shared, and what is done in place of one benchmark."""

    shard: str | None = option(
        None,
        metavar="I/N",
        help="Evaluate the I-th of N parts, from 0; the process that ends last scores them all.",
    )
    processes: int = option(1, min=1, max=1024, help="Processes that share the work here.")
    everything: bool = option(False, flags=("--all",), help="All rows of the paper's tables.")
    compare: tuple[Path, Path] | None = option(
        None, metavar="A B", help="Compare the runs in two directories: B minus A."
    )
    listing: bool = option(
        False, flags=("--list",), help="Show the benchmarks, or the files and rules of BENCHMARK."
    )


@expand_options
def evaluate(
    selection: BenchmarkSelection,
    load: LoadOptions,
    config: EvaluationConfig,
    mode: EvaluationMode,
) -> None:
    """Measure a model by the official rules and compare it with the paper's results.

    A run that was stopped or killed resumes when it is called again with the same arguments.
    """
    with user_errors():
        benchmark = _current_benchmark(selection.benchmark)
        if mode.listing:
            _list(benchmark)
            return
        if mode.compare is not None:
            _compare(mode.compare, selection.data, selection.out)
            return
        _check_names(benchmark, config.split, mode.everything)
        if selection.data is None:
            raise ValueError("--data is missing: the directory of the official files")
        if mode.shard is not None and mode.processes > 1:
            raise ValueError("--shard and --processes are mutually exclusive")
        config = replace(config, shard=parse_shard(mode.shard))
        run = EvaluationRun(load, config, selection.data, mode.processes)
        if mode.everything:
            reports = _evaluate_all(run, selection.out)
        else:
            reports = _evaluate_one(run, benchmark, selection.out)
    if any(report is not None and report.failures for report in reports):
        raise typer.Exit(EXIT_PARTIAL)


def _current_benchmark(name: str | None) -> str | None:
    """The current name of a benchmark; an old name is accepted with a message."""
    from ..evaluation.benchmarks import current_name

    if name is None:
        return None
    current = current_name(name)
    if current != name:
        print_message(
            f"benchmark {name} is now {current}; the old name will be removed in the next release"
        )
    return current


def _check_names(name: str | None, split: str | None, everything: bool) -> None:
    """Raise ``ValueError`` for an unknown benchmark or split, before other errors."""
    from ..evaluation.benchmarks import find_benchmark
    from ..evaluation.subset import check_split

    if everything:
        if name is not None or split is not None:
            raise ValueError(
                "--all takes no benchmark and no --split: it runs all the paper's rows"
            )
    elif name is None:
        raise ValueError("name a benchmark, or --all; --list shows the names")
    else:
        check_split(find_benchmark(name), split)


def _evaluate_one(
    run: EvaluationRun, name: str | None, out: Path | None
) -> Sequence[Report | None]:
    from ..evaluation.benchmarks import find_benchmark
    from ..evaluation.paper_table import row_directory
    from ..evaluation.subset import check_split
    from .evaluation_output import print_report

    assert name is not None
    benchmark = find_benchmark(name)
    split = check_split(benchmark, run.config.split)
    directory = out or run.default_directory(row_directory(benchmark, split))
    report = run.run(benchmark, split, run.data, directory)
    if report is None:
        typer.echo("this part is complete; the process that ends last scores all parts")
    else:
        print_report(report, directory)
    return [report]


def _evaluate_all(run: EvaluationRun, out: Path | None) -> Sequence[Report | None]:
    """The reports of all rows; status 1 when there are rows that could not be run."""
    from ..evaluation.paper_table import evaluate_paper_table
    from .evaluation_output import print_rows

    directory = out or run.default_directory("all")
    rows = evaluate_paper_table(run.data, directory, run.run)
    print_rows(rows, directory)
    if any(row.report is None for row in rows):
        raise typer.Exit(EXIT_PARTIAL)
    return [row.report for row in rows]


def _compare(directories: tuple[Path, Path], data: Path | None, out: Path | None) -> None:
    from ..evaluation.compare import compare
    from ..io.atomic import atomic_replace, replace_json
    from .evaluation_output import print_comparison

    comparison = compare(*directories, data=data)
    print_comparison(comparison)
    if out is not None:
        replace_json(out / "comparison.json", comparison.to_json())
        atomic_replace(out / "comparison.md", comparison.to_markdown())


def _list(name: str | None) -> None:
    from ..evaluation.benchmarks import find_benchmark
    from .evaluation_output import print_benchmark, print_benchmarks

    if name is None:
        print_benchmarks()
    else:
        print_benchmark(find_benchmark(name))
