"""``florence2 engine``: annotate pictures, filter, refine; count and look at what came out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..io.messages import format_count, suggest
from ..io.tables import print_table
from .command_line import CommandLine
from .errors import VERBOSE, end_interrupted, interruption_note, print_message, user_errors

if TYPE_CHECKING:
    from ..data_engine.chunk_workers import ChunkResult
    from ..data_engine.executor import Executor
    from ..data_engine.filters import Thresholds
    from ..data_engine.self_training import StudentConfig
    from ..datasets.shards import ShardDataset

_RESUME = "run the same command again to resume"
app = CommandLine(help="Annotate pictures with specialists, filter, and refine with a student.")
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or shards.")]
Round = Annotated[
    int | None, typer.Option(min=0, max=1_000_000, help="Of a run: which round. [default: last]")
]


@app.command("run")
def run(
    images: Annotated[
        str, typer.Option("--images", help="Folder, tar, Parquet, or an address of them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    rounds: Annotated[
        int, typer.Option(min=0, max=1000, help="Times that a student is trained.")
    ] = 0,
    specialist: Annotated[
        list[str] | None,
        typer.Option("--specialist", "-s", help="Who annotates, KIND or KIND:MODEL. Repeatable."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0, max=10_000, help="Ray workers of each specialist; 0: this process alone."
        ),
    ] = 1,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster. [default: this machine]")
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, max=1024, help="GPUs of each worker with a network.")
    ] = 0,
    chunk_size: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Pictures done or lost together.")
    ] = 64,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="NAME=VALUE",
            help="A filter's line; confidence.NAME for one annotator. Repeatable.",
        ),
    ] = None,
    recipe: Annotated[str, typer.Option(help="How students are trained.")] = "fine-tune",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a field of it. Repeatable."),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Shards with the truth, to judge students by.")
    ] = None,
    student_task: Annotated[
        list[str] | None, typer.Option(help="What students answer. Repeatable.")
    ] = None,
) -> None:
    """Annotate pictures, judge the annotations, and refine them by training students.

    Called again in the same words it goes on where it was stopped or killed.
    """
    with user_errors():
        from ..data_engine.annotators.annotator_registry import (
            check_annotators,
            make_annotator_specs,
            offline_ensemble,
        )
        from ..data_engine.executor import LocalExecutor, RayExecutor
        from ..data_engine.self_training import StudentConfig, StudentError, run_engine

        if workers == 0 and address is not None:
            raise ValueError("--address names a cluster, and --workers 0 uses none: leave one out")
        names = specialist or offline_ensemble()
        specs = make_annotator_specs(names, workers=max(workers, 1), gpus=gpus)
        thresholds = _thresholds(threshold or ())
        check_annotators(specs, thresholds)
        config = StudentConfig(
            recipe, tuple(set_ or ()), validation, workers=max(workers, 1), gpus=gpus
        )
        if student_task:
            config = _with_tasks(config, student_task)
        if rounds:
            config = _with_start(config, names, out)
        if "student" in names and not any(each.startswith("start=") for each in set_ or ()):
            from ..inference.predictor import NANO_NOTICE

            print_message(NANO_NOTICE.replace("--model ", "--specialist student:"))
        executor: Executor = (
            LocalExecutor() if workers == 0 else RayExecutor(address, verbose=VERBOSE.get())
        )
        done = _Progress(out)
        try:
            with interruption_note(done.describe):
                found = run_engine(
                    images,
                    out,
                    specs,
                    executor,
                    rounds=rounds,
                    student=config,
                    thresholds=thresholds,
                    chunk_size=chunk_size,
                    workers=max(workers, 1),
                    log=_say,
                    on_chunk=done.on_chunk,
                )
        except StudentError as error:
            raise ValueError(str(error)) from error
        except KeyboardInterrupt as interrupt:
            _leave(interrupt)
            raise
        last = found.reports[-1]
        print_table(
            ("task", "kept", "dropped"),
            [(name, str(c["kept"]), str(c["dropped"])) for name, c in last.kinds.items()],
        )
        typer.echo(f"written: {out}/round-{last.round:02d}/shards, report.md, report.json")


@app.command("stats")
def stats(
    folder: Folder,
    round: Round = None,
    plot: Annotated[Path | None, typer.Option(help="Draw histograms to this picture.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    """Print the paper's Tables 2 and 3 for a run's table or any shards."""
    with user_errors():
        from ..data_engine.statistics import compute_statistics, draw_statistics
        from ..io.atomic import replace_json

        found = compute_statistics(_shards(folder, round).annotations())
        typer.echo(format_count(found.pictures, "image"))
        for header, *rows in found.rows():
            if rows and len(header) > 1:
                print_table(header, rows)
        if plot is not None:
            draw_statistics(found, plot)
        if json_ is not None:
            replace_json(json_, found.to_dict())


@app.command("view")
def view(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path(
        "annotations.html"
    ),
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many pictures.")] = 24,
    round: Round = None,
) -> None:
    """Write a page of pictures with their annotations, verdicts and reasons."""
    with user_errors():
        from ..data_engine.annotation_page import make_annotation_page
        from ..io.atomic import atomic_replace

        records = _shards(folder, round)
        chosen = range(0, len(records), max(1, len(records) // count))
        shown = [records[number] for number in list(chosen)[:count]]
        atomic_replace(
            out, make_annotation_page(f"{folder}: {format_count(len(records), 'image')}", shown)
        )
        typer.echo(f"written: {out}")


def _shards(folder: Path, round: int | None) -> ShardDataset:
    """The table of a run's round, or the shards that a folder is."""
    from ..data_engine.self_training import open_round
    from ..datasets.shards import ShardDataset

    if (folder / "manifest.json").exists():
        return ShardDataset(folder)
    return open_round(folder, round)


def _with_tasks(config: StudentConfig, names: list[str]) -> StudentConfig:
    from dataclasses import replace

    from ..results.tasks import find_task

    return replace(config, tasks=tuple(find_task(name).token for name in names))


def _thresholds(settings: list[str] | tuple[str, ...]) -> Thresholds:
    """The thresholds with ``NAME=VALUE`` settings; ``ValueError`` names those there are."""
    from dataclasses import fields, replace

    from ..data_engine.filters import Thresholds

    thresholds = Thresholds()
    names = [each.name for each in fields(Thresholds) if each.name != "confidence"]
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            value = json.loads(text)
            number = float(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"a threshold is written NAME=NUMBER, got {setting!r}") from error
        if name.startswith("confidence."):
            annotator = name.removeprefix("confidence.")
            thresholds = replace(
                thresholds, confidence={**thresholds.confidence, annotator: number}
            )
        elif name in names:
            thresholds = replace(thresholds, **{name: value})
        else:
            raise ValueError(
                f"no threshold {name!r}; there are {', '.join(names)} and confidence.ANNOTATOR"
                f"{suggest(name, names)}"
            )
    return thresholds


def _with_start(config: StudentConfig, names: Sequence[str], out: Path) -> StudentConfig:
    """The plan with the model that annotates as the one that students start from.

    A start that was set, or that an earlier version trained from in this run, stays. Either is
    said.
    """
    from dataclasses import replace

    started = (out / "round-01" / "student" / "recipe.json").exists()
    stated = out / "run.json"
    if started and stated.exists() and "student" not in json.loads(stated.read_text("utf-8")):
        return config
    if any(each.startswith("start=") for each in config.settings):
        return config
    models = [name.partition(":")[2] or "nano" for name in names if name.startswith("student")]
    if not models:
        _say("students start from what the recipe names; --set start=MODEL chooses another")
        return config
    _say(f"students start from {models[0]}, which annotates; --set start=MODEL chooses another")
    return replace(config, settings=(f"start={models[0]}", *config.settings))


def _leave(interrupt: KeyboardInterrupt) -> None:
    """End at once where a call of a specialist is in progress in this process.

    Its thread is in the middle of native code, which aborts when the interpreter is torn down.
    """
    from ..data_engine.chunk_workers import calls_in_progress

    if calls_in_progress():
        status = end_interrupted(interrupt).exit_code
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _say(line: str) -> None:
    typer.echo(line, err=True)


class _Progress:
    """How far each specialist is: told on standard error now and then, and when interrupted."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._totals: dict[str, tuple[int, int, float, int]] = {}

    def on_chunk(self, name: str, part: ChunkResult) -> None:
        """Count a part, and print the first and every tenth."""
        pictures, failures, seconds, parts = self._totals.get(name, (0, 0, 0.0, 0))
        pictures, failures = pictures + part.pictures, failures + part.failures
        seconds, parts = seconds + part.seconds, parts + 1
        self._totals[name] = (pictures, failures, seconds, parts)
        if parts % 10 == 1:
            rate = pictures / seconds if seconds else 0.0
            counted = f"{format_count(pictures, 'image')}, {format_count(failures, 'failure')}"
            _say(f"{name}: {counted}, {rate:.1f} images/s each")

    def describe(self) -> str:
        """What is done so far, and how to resume."""
        from ..data_engine.chunk_files import EngineFiles

        folder = EngineFiles(self._out)
        parts = folder.parts()
        if not parts:
            return f"interrupted while the images were listed; {_RESUME}"
        rounds = sorted(self._out.glob("round-*"))
        annotators = sorted(rounds[-1].glob("annotators/*")) if rounds else []
        if not annotators:
            return f"0 of {parts} parts done; {_RESUME}"
        done = (
            f"{each.name}: {len(list(each.glob('part-*.parquet')))} of {parts} parts"
            for each in annotators
        )
        return f"{rounds[-1].name}: {', '.join(done)} done; {_RESUME}"
