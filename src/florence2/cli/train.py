"""``florence2 train``: run a recipe on records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as option
from .command_line import complete
from .conversion import FORMATS, check_format
from .errors import SOME_FAILED, mendable_errors
from .scene_data import SCENES, SceneData
from .training_data import TrainingData

if TYPE_CHECKING:
    from ..scenes.stream import SceneRecords
    from ..shards import ShardDataset
    from ..train import Recipe, TrainingOutcome

METRIC = "reporting.metric"


class Strategy(StrEnum):
    """How a model is spread over processes."""

    ddp = "ddp"
    fsdp = "fsdp"


RecipeName = Annotated[
    str, typer.Argument(help="A preset, or a file: recipe.py, recipe.py:function.")
]
Data = Annotated[
    Path,
    typer.Option(
        "--data", help="Shards, with --format any data set, or scenes: made while it learns."
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")]
Validation = Annotated[
    Path | None, typer.Option("--validation", help="Held-out records, as --data.")
]
ValidationSplit = Annotated[
    str | None, typer.Option(help="The held-out part of --validation, or else of --data.")
]
ValidationLimit = Annotated[
    int, typer.Option(min=1, max=1_000_000_000, help="Most pictures answered at an evaluation.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        callback=check_format,
        autocompletion=complete(*FORMATS),
        help=f"One of {', '.join(FORMATS)}.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a field: batch.size=16. Repeatable."),
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=option.MAX_SEED, help="Short for --set seed=SEED.")
]
Spreading = Annotated[
    Strategy, typer.Option(help="Under torchrun: replicate the model, or shard it.")
]
Art = Annotated[
    Path | None,
    typer.Option(help="With --data scenes: folder of the fetched art. [default: the cache folder]"),
]
Workers = Annotated[
    int,
    typer.Option(min=1, max=1024, help="Threads that prepare batches; processes that make scenes."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live line.")]


def train(
    recipe: RecipeName,
    data: Data,
    out: Out,
    validation: Validation = None,
    validation_split: ValidationSplit = None,
    validation_limit: ValidationLimit = 200,
    format: Format = None,
    split: option.Split = None,
    task: option.DatasetTasks = None,
    prompt: option.DatasetPrompt = None,
    art: Art = None,
    set_: Settings = None,
    seed: Seed = None,
    device: option.Device = None,
    strategy: Spreading = Strategy.ddp,
    workers: Workers = 2,
    quiet: Quiet = False,
) -> None:
    """Run a recipe on records.

    A run in --out that was stopped or killed goes on from its last checkpoint when it is called
    again in the same words. Under torchrun every process calls this.
    """
    settings = [*(set_ or ()), *([] if seed is None else [f"seed={seed}"])]
    with mendable_errors():
        asked = format, split, validation_split, tuple(task or ()), prompt
        source: TrainingData | SceneData
        if data == SCENES:
            _refuse_beside_scenes(*asked)
            source = SceneData(validation, art)
        elif art is not None:
            raise ValueError("--art is for --data scenes")
        else:
            source = TrainingData(data, validation, *asked)
        from ..train import TrainingError, override
        from ..train.presets import load_recipe

        chosen = override(load_recipe(recipe), settings)
        running = {"device": device, "strategy": strategy.value, "workers": workers,
                   "worker_processes": data == SCENES, "quiet": quiet}  # fmt: skip
        try:
            _run(chosen, settings, source, out, validation_limit, running)
        except TrainingError as error:
            typer.echo(f"florence2: {error}", err=True)
            raise typer.Exit(SOME_FAILED) from None


def _refuse_beside_scenes(
    format: str | None,
    split: str | None,
    validation_split: str | None,
    tasks: Sequence[str],
    prompt: str | None,
) -> None:
    given = {"--format": format, "--split": split, "--validation-split": validation_split,
             "--task": tasks, "--prompt": prompt}  # fmt: skip
    useless = [name for name, value in given.items() if value]
    if useless:
        raise ValueError(
            f"{useless[0]} has no meaning with --data scenes: the recipe's task_weights and "
            "aids.curriculum say what is made"
        )


def _run(
    recipe: Recipe,
    settings: Sequence[str],
    source: TrainingData | SceneData,
    out: Path,
    validation_limit: int,
    running: Mapping[str, Any],
) -> None:
    """This process's part of the run, with words about it from the main one."""
    from ..evaluate.records import judge_records
    from ..train import train as run_recipe
    from ..train.distributed import joined_world

    with joined_world(running["device"]) as world:
        recipe = source.complete(recipe)
        records, held_out = source.open(out, recipe, world)
        judge = None
        if held_out is not None:
            recipe = _with_metric(recipe, held_out, settings)
            longest = recipe.max_target_tokens
            judge = judge_records(held_out, limit=validation_limit, max_new_tokens=longest)
        if world.is_main:
            _print_start(recipe, records, held_out, out)
        outcome = run_recipe(recipe, records, out, held_out=held_out, judge=judge, **running)
        if world.is_main:
            _print_outcome(outcome, records, out)


def _with_metric(recipe: Recipe, held_out: ShardDataset, settings: Sequence[str]) -> Recipe:
    """The recipe that chooses its best checkpoint by a figure of the task, unless it names one."""
    from ..evaluate.records import watched_figure

    asked = any(setting.partition("=")[0].strip() == METRIC for setting in settings)
    if asked or recipe.reporting.metric != "loss":
        return recipe
    figure, higher = watched_figure(held_out.annotations())
    reporting = replace(recipe.reporting, metric=figure, higher_is_better=higher)
    return replace(recipe, reporting=reporting)


def _print_start(
    recipe: Recipe, records: ShardDataset | SceneRecords, held_out: ShardDataset | None, out: Path
) -> None:
    from ..train.checkpoints import find_checkpoints
    from ..train.training import CHECKPOINTS

    number = f"{len(records):,} pictures" if isinstance(records, Sized) else "pictures as made"
    typer.echo(f"{recipe.name}: from {recipe.start}, on {number}")
    if held_out is not None:
        figure = recipe.reporting.metric
        typer.echo(f"{len(held_out):,} pictures are held out; the best is chosen by {figure}")
    found = find_checkpoints(out / CHECKPOINTS)
    if found:
        typer.echo(f"going on from {found[-1]}")


def _print_outcome(
    outcome: TrainingOutcome, records: ShardDataset | SceneRecords, out: Path
) -> None:
    from ..train.batches import PROBLEMS_FILE
    from ..train.reporting import LOG_FILE
    from ..train.training import ADAPTER

    typer.echo(f"done: {outcome.steps:,} steps, {outcome.skipped_steps:,} of them skipped")
    if outcome.unreadable_pairs:
        typer.echo(f"{outcome.unreadable_pairs:,} pairs were left out: {out / PROBLEMS_FILE}")
    places = {"last": outcome.last, "best": outcome.best, "adapter": out / ADAPTER,
              "log": out / LOG_FILE}  # fmt: skip
    for name, path in places.items():
        if path is not None and path.exists():
            typer.echo(f"  {name:<8} {path}")
    task = _commonest_task(records)
    model = outcome.best or outcome.last
    typer.echo(f"next: florence2 run PICTURES --task '{task}' --model {model}")


def _commonest_task(records: ShardDataset | SceneRecords) -> str:
    if not isinstance(records, Sized):
        return "<OD>"
    tasks = records.manifest.counts.task
    return max(tasks, key=tasks.__getitem__)
