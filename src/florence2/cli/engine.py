"""``florence2 engine``: annotate images, filter, self-train; count and view the annotations."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data_engine.engine_config import EngineConfig, StudentConfig, Thresholds
from ..io.messages import format_count
from ..io.options import option
from ..io.tables import print_table
from .command_line import CommandLine
from .errors import (
    VERBOSE,
    end_interrupted,
    interruption_note,
    print_message,
    print_warnings,
    user_errors,
)
from .signature import expand_options

if TYPE_CHECKING:
    from ..data_engine.annotators import AnnotatorSpec
    from ..data_engine.chunk_workers import ChunkResult
    from ..data_engine.executor import Executor
    from ..datasets.shards import ShardDataset

_RESUME = "run the same command again to resume"
app = CommandLine(help="Annotate images, filter the annotations, and self-train on them.")
Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Directory of an engine run, or shards.")
]
Round = Annotated[
    int | None, typer.Option(min=0, max=1_000_000, help="Round of a run. [default: last]")
]


@dataclass(frozen=True, kw_only=True)
class AnnotatorOptions:
    """The annotators of a run, where they run, and the thresholds of the filters."""

    annotator: tuple[str, ...] = option(
        (),
        flags=("--annotator", "-a"),
        old_flags=("--specialist", "-s"),
        shown_default="all that need no network",
        help="KIND or KIND:MODEL. Repeatable.",
    )
    threshold: tuple[str, ...] = option(
        (),
        metavar="NAME=VALUE",
        help="Filter threshold; confidence.NAME for one annotator. Repeatable.",
    )
    workers: int = option(
        1, min=0, max=10_000, help="Ray workers per annotator; 0: this process, without Ray."
    )
    address: str | None = option(None, help="Address of a Ray cluster. [default: this machine]")
    gpus: float = option(0, min=0, max=1024, help="GPUs per worker that runs a network.")

    def __post_init__(self) -> None:
        if self.workers == 0 and self.address is not None:
            raise ValueError(
                "--address and --workers 0 are mutually exclusive: --workers 0 uses no cluster"
            )

    def make_executor(self) -> Executor:
        """The executor for this number of workers."""
        from ..data_engine.executor import LocalExecutor, RayExecutor

        return RayExecutor(self.address, verbose=VERBOSE.get()) if self.workers else LocalExecutor()

    def make_specs(self, names: Sequence[str], thresholds: Thresholds) -> list[AnnotatorSpec]:
        """The specifications of the annotators ``names``, which are checked."""
        from ..data_engine.annotators.annotator_registry import (
            check_annotators,
            make_annotator_specs,
        )

        specs = make_annotator_specs(names, workers=max(self.workers, 1), gpus=self.gpus)
        check_annotators(specs, thresholds)
        return specs


@app.command("run")
@expand_options
def run(
    images: Annotated[
        str,
        typer.Option("--images", help="Directory, tar or Parquet file of images, or its URL."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the run.")],
    annotators: AnnotatorOptions,
    engine: EngineConfig,
    student: StudentConfig,
) -> None:
    """Annotate images, filter the annotations, and refine them in self-training rounds.

    The same command resumes a run that was stopped or killed.
    """
    with user_errors():
        from ..data_engine.annotators.annotator_registry import offline_ensemble
        from ..data_engine.self_training import StudentError, run_engine

        names = annotators.annotator or offline_ensemble()
        with print_warnings():
            thresholds = Thresholds.from_settings(annotators.threshold)
            specs = annotators.make_specs(names, thresholds)
        workers = max(annotators.workers, 1)
        student = replace(student, workers=workers, gpus=annotators.gpus)
        if engine.rounds:
            student = _set_start(student, names, out)
        if "student" in names and not any(each.startswith("start=") for each in student.settings):
            from ..inference.predictor import NANO_NOTICE

            print_message(NANO_NOTICE.replace("--model ", "--annotator student:"))
        config = replace(engine, student=student, thresholds=thresholds, workers=workers)
        executor = annotators.make_executor()
        progress = _Progress(out)
        try:
            with interruption_note(progress.describe):
                result = run_engine(
                    images, out, specs, executor, config, log=_log, on_chunk=progress.add
                )
        except StudentError as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt as interrupt:
            _exit_during_call(interrupt)
            raise
        last = result.reports[-1]
        print_table(
            ("task", "kept", "dropped"),
            [(name, str(c["kept"]), str(c["dropped"])) for name, c in last.kinds.items()],
        )
        typer.echo(f"written: {out}/round-{last.round:02d}/shards, report.md, report.json")


@app.command("stats")
def stats(
    directory: Directory,
    round: Round = None,
    plot: Annotated[Path | None, typer.Option(help="Write histograms to this image.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the tables as JSON.")] = None,
) -> None:
    """Print the paper's Tables 2 and 3 for an engine run or any shards."""
    with user_errors():
        from ..data_engine.statistics import compute_statistics, draw_statistics
        from ..io.atomic import replace_json

        statistics = compute_statistics(_open_shards(directory, round).annotations())
        typer.echo(format_count(statistics.images, "image"))
        for header, *rows in statistics.rows():
            if rows and len(header) > 1:
                print_table(header, rows)
        if plot is not None:
            draw_statistics(statistics, plot)
        if json_ is not None:
            replace_json(json_, statistics.to_dict())


@app.command("view")
def view(
    directory: Directory,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML page to write.")] = Path(
        "annotations.html"
    ),
    count: Annotated[int, typer.Option(min=1, max=100_000, help="Number of images.")] = 24,
    round: Round = None,
) -> None:
    """Write an HTML page of images with their annotations and the reasons of dropped ones."""
    with user_errors():
        from ..data_engine.annotation_page import make_annotation_page
        from ..io.atomic import atomic_replace

        records = _open_shards(directory, round)
        indices = list(range(0, len(records), max(1, len(records) // count)))[:count]
        title = f"{directory}: {format_count(len(records), 'image')}"
        atomic_replace(out, make_annotation_page(title, [records[index] for index in indices]))
        typer.echo(f"written: {out}")


def _open_shards(directory: Path, round: int | None) -> ShardDataset:
    """The shards of a run's round, or ``directory`` itself if it has shards."""
    from ..data_engine.self_training import open_round
    from ..datasets.shards import ShardDataset

    if (directory / "manifest.json").exists():
        return ShardDataset(directory)
    return open_round(directory, round)


def _set_start(student: StudentConfig, names: Sequence[str], out: Path) -> StudentConfig:
    """The config with the annotating model as the one that students start from.

    A start that was set stays, and so does the start of a run of an earlier version, which did not
    store it.
    """
    is_trained = (out / "round-01" / "student" / "recipe.json").exists()
    stored = out / "run.json"
    if is_trained and stored.exists() and "student" not in json.loads(stored.read_text("utf-8")):
        return student
    if any(each.startswith("start=") for each in student.settings):
        return student
    models = [name.partition(":")[2] or "nano" for name in names if name.startswith("student")]
    if not models:
        _log("students start from the recipe's model; --set start=MODEL changes it")
        return student
    _log(f"students start from {models[0]}, the annotating model; --set start=MODEL changes it")
    return replace(student, settings=(f"start={models[0]}", *student.settings))


def _exit_during_call(interrupt: KeyboardInterrupt) -> None:
    """Exit at once if an annotator is running in a thread of this process.

    The thread is in native code, which aborts when the interpreter shuts down.
    """
    from ..data_engine.chunk_workers import calls_in_progress

    if calls_in_progress():
        status = end_interrupted(interrupt).exit_code
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _log(line: str) -> None:
    typer.echo(line, err=True)


class _Progress:
    """The progress of each annotator: printed on standard error, and when interrupted."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._totals: dict[str, tuple[int, int, float, int]] = {}

    def add(self, name: str, result: ChunkResult) -> None:
        """Count a chunk, and print the first and every tenth."""
        images, failures, seconds, chunks = self._totals.get(name, (0, 0, 0.0, 0))
        images, failures = images + result.images, failures + result.failures
        seconds, chunks = seconds + result.seconds, chunks + 1
        self._totals[name] = (images, failures, seconds, chunks)
        if chunks % 10 == 1:
            rate = images / seconds if seconds else 0.0
            counts = f"{format_count(images, 'image')}, {format_count(failures, 'failure')}"
            _log(f"{name}: {counts}, {rate:.1f} images/s per worker")

    def describe(self) -> str:
        """What is done, and how to resume."""
        from ..data_engine.chunk_files import EngineFiles

        chunks = EngineFiles(self._out).num_chunks()
        if not chunks:
            return f"interrupted while the images were listed; {_RESUME}"
        rounds = sorted(self._out.glob("round-*"))
        annotators = sorted(rounds[-1].glob("annotators/*")) if rounds else []
        if not annotators:
            return f"0 of {format_count(chunks, 'chunk')} done; {_RESUME}"
        done = (
            f"{path.name}: {len(list(path.glob('part-*.parquet')))} of "
            f"{format_count(chunks, 'chunk')}"
            for path in annotators
        )
        return f"{rounds[-1].name}: {', '.join(done)} done; {_RESUME}"
