"""``florence2 evaluate``: a benchmark asked of a model, or two runs compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as option
from .errors import EXIT_PARTIAL, user_errors
from .evaluation import Evaluation, parse_shard

if TYPE_CHECKING:
    from ..evaluation.report import Report

Benchmark = Annotated[
    str | None, typer.Argument(help="What to evaluate on; --list tells what there is.")
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the official files.")]
Split = Annotated[str | None, typer.Option(help="Part of the benchmark. [default: the usual one]")]
Limit = Annotated[
    int | None, typer.Option(min=1, max=1_000_000_000, help="Ask about so many pictures only.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the run. [default: runs/evaluate/BENCHMARK-SPLIT-MODEL]",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Ask the I-th of N parts, from 0; the last to be done scores them all."
    ),
]
Processes = Annotated[
    int, typer.Option(min=1, max=1024, help="Processes that share the work here.")
]
Prompt = Annotated[str | None, typer.Option(help="Asked in place of the benchmark's own prompt.")]
Everything = Annotated[bool, typer.Option("--all", help="All rows of the paper's tables.")]
Compare = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="A B", help="Compare the runs in two folders: B minus A."),
]
Listing = Annotated[
    bool, typer.Option("--list", help="Tell the benchmarks, or all about BENCHMARK, and end.")
]


def evaluate(
    benchmark: Benchmark = None,
    model: option.Model = "nano",
    data: Data = None,
    split: Split = None,
    limit: Limit = None,
    out: Out = None,
    prompt: Prompt = None,
    beams: option.Beams = None,
    max_new_tokens: option.MaxNewTokens = None,
    batch_size: option.BatchSize = None,
    revision: option.Revision = None,
    adapter: option.Adapter = None,
    device: option.Device = None,
    precision: option.Precision = None,
    runtime: option.Runtime = None,
    shard: Shard = None,
    processes: Processes = 1,
    everything: Everything = False,
    compare: Compare = None,
    listing: Listing = False,
) -> None:
    """Measure a model by the official rules, beside the paper's figures.

    A run that was stopped or killed goes on when it is called again in the same words.
    """
    with user_errors():
        if listing:
            _list(benchmark)
            return
        if compare is not None:
            _compare(compare, data, out)
            return
        _check_names(benchmark, split, everything)
        if data is None:
            raise ValueError("--data is missing: the folder of the official files")
        evaluation = Evaluation(
            model,
            data,
            limit,
            prompt,
            beams,
            max_new_tokens,
            batch_size,
            revision,
            adapter,
            device,
            precision,
            runtime,
            parse_shard(shard),
            processes,
        )
        if everything:
            reports = _everything(evaluation, out)
        else:
            reports = _one(evaluation, benchmark, split, out)
    if any(report is not None and report.failures for report in reports):
        raise typer.Exit(EXIT_PARTIAL)


def _check_names(name: str | None, split: str | None, everything: bool) -> None:
    """Raise ``ValueError`` for a benchmark or split that is not one, whatever else is given."""
    from ..evaluation.benchmarks import find_benchmark
    from ..evaluation.subset import check_split

    if everything:
        if name is not None or split is not None:
            raise ValueError(
                "--all takes no benchmark and no --split: it runs all the paper's rows"
            )
    elif name is None:
        raise ValueError("name a benchmark, or --all; --list tells what there is")
    else:
        check_split(find_benchmark(name), split)


def _one(
    evaluation: Evaluation, name: str | None, split: str | None, out: Path | None
) -> Sequence[Report | None]:
    from ..evaluation.benchmarks import find_benchmark
    from ..evaluation.paper_table import row_folder
    from ..evaluation.subset import check_split
    from .evaluation_output import print_report

    assert name is not None
    benchmark = find_benchmark(name)
    split = check_split(benchmark, split)
    folder = out or evaluation.default_folder(row_folder(benchmark, split))
    report = evaluation.run(benchmark, split, evaluation.data, folder)
    if report is None:
        typer.echo("this part is answered; the process that answers the last one scores them all")
    else:
        print_report(report, folder)
    return [report]


def _everything(evaluation: Evaluation, out: Path | None) -> Sequence[Report | None]:
    """The reports of all rows; status 1 when there are rows that could not be run."""
    from ..evaluation.paper_table import evaluate_everything
    from .evaluation_output import print_rows

    folder = out or evaluation.default_folder("all")
    rows = evaluate_everything(evaluation.data, folder, evaluation.run)
    print_rows(rows, folder)
    if any(row.report is None for row in rows):
        raise typer.Exit(EXIT_PARTIAL)
    return [row.report for row in rows]


def _compare(folders: tuple[Path, Path], data: Path | None, out: Path | None) -> None:
    from ..evaluation.compare import compare
    from ..io.atomic import atomic_replace, replace_json
    from .evaluation_output import print_comparison

    comparison = compare(*folders, data=data)
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
