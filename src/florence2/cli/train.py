"""``florence2 train``: run a recipe on records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..datasets.import_config import FORMATS
from ..io.atomic import DiskFullError
from ..io.messages import format_count, suggest
from . import options as option
from .errors import EXIT_PARTIAL, print_error, print_message, print_warnings, user_errors
from .parameters import choose, complete
from .scene_data import SCENES, SceneData
from .training_data import TrainingData

if TYPE_CHECKING:
    from ..datasets.shards import ShardDataset
    from ..synthetic.scene_records import SceneRecords
    from ..training import Recipe, TrainingOutcome
    from ..training.config import TrainConfig

METRIC, HIGHER = "reporting.metric", "reporting.higher_is_better"
SIGNAL_STATUS = 128  # what shells add to the number of the signal that ended a program


class Strategy(StrEnum):
    """How a model is spread over processes."""

    ddp = "ddp"
    fsdp = "fsdp"


# The names of train.presets, which is not imported for a help text.
PRESETS = (
    "fine-tune",
    "fine-tune-stages-1-2-frozen",
    "fine-tune-vision-frozen",
    "fine-tune-lora",
    "pretrain-base-stage1",
    "pretrain-base-stage2",
    "pretrain-large-stage1",
    "pretrain-large-stage2",
)

RecipeName = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=complete(*PRESETS),
        help=f"A preset ({', '.join(PRESETS)}), or a file: recipe.py, recipe.py:function.",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Shards, with --format any data set, or scenes: made while it learns. [required]",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder of the run. [required]", show_default=False),
]
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
        callback=choose(*FORMATS),
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
AllowDataChange = Annotated[
    bool,
    typer.Option(
        "--allow-data-change", help="Resume although the data or the start model has changed."
    ),
]
ListFields = Annotated[
    bool,
    typer.Option("--list-fields", help="Print the fields for --set, with their values in RECIPE."),
]


def train(
    recipe: RecipeName = None,
    data: Data = None,
    out: Out = None,
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
    allow_data_change: AllowDataChange = False,
    list_fields: ListFields = False,
    quiet: Quiet = False,
) -> None:
    """Run a recipe on records.

    A run in --out that was stopped or killed goes on from its last checkpoint when it is called
    again in the same words. Under torchrun every process calls this.
    """
    settings = [*(set_ or ())]
    with user_errors():
        if seed is not None:
            if any(each.partition("=")[0].strip() == "seed" for each in settings):
                raise ValueError("--seed and --set seed are the same: give one of them")
            settings.append(f"seed={seed}")
        if list_fields:
            _print_fields(recipe, settings, {"--data": data, "--out": out})
            return
        if recipe is None:
            raise ValueError(f"RECIPE is missing: one of {', '.join(PRESETS)}, or a file")
        if data is None or out is None:
            raise ValueError(f"{'--data' if data is None else '--out'} is missing")
        with print_warnings():
            chosen = _choose_recipe(recipe, settings)
        asked = format, split, validation_split, tuple(task or ()), prompt
        source: TrainingData | SceneData
        if data == SCENES:
            _refuse_beside_scenes(*asked)
            source = SceneData(validation, art)
        elif art is not None:
            raise ValueError("--art is for --data scenes")
        else:
            source = TrainingData(data, validation, *asked)
        from ..training import TrainingError, TrainingInterrupted
        from ..training.config import TrainConfig

        config = TrainConfig(
            device=device,
            strategy=strategy.value,
            workers=workers,
            worker_processes=data == SCENES,
            quiet=quiet,
            allow_data_change=allow_data_change,
        )
        try:
            with print_warnings():
                _run(chosen, settings, source, out, validation_limit, config)
        except (TrainingError, DiskFullError) as error:
            print_error(error)
            raise typer.Exit(EXIT_PARTIAL) from None
        except TrainingInterrupted as interrupt:
            print_message(str(interrupt))
            raise typer.Exit(SIGNAL_STATUS + interrupt.signal_number) from None


def _choose_recipe(name: str, settings: Sequence[str]) -> Recipe:
    """The recipe with its settings, every field of it checked."""
    from ..training import override
    from ..training.presets import load_recipe
    from ..training.recipe_fields import check_recipe, find_repeated

    for before, after in find_repeated(settings):
        print_message(f"warning: --set {before} has no effect: --set {after} follows it")
    recipe = override(load_recipe(name), settings)
    check_recipe(recipe)
    return recipe


def _print_fields(name: str | None, settings: Sequence[str], useless: Mapping[str, Any]) -> None:
    """Print every field: its path, value, what it takes, and what it is for."""
    from ..training.recipe_fields import list_fields

    for option_name, value in useless.items():
        if value is not None:
            raise ValueError(f"--list-fields trains nothing: leave out {option_name}")
    chosen = _choose_recipe(name or PRESETS[0], settings)
    fields = list_fields(chosen)
    width = max(len(each.path) for each in fields)
    for each in fields:
        typer.echo(f"{each.path:<{width}}  {_written(each.default)}")
        typer.echo(f"{'':<{width}}  {each.allowed}: {each.rule.help}")


def _written(value: Any) -> str:
    """A value as --set takes it."""
    if isinstance(value, tuple) and value and not isinstance(value[0], tuple):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return repr(dict(value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _refuse_beside_scenes(
    format: str | None,
    split: str | None,
    validation_split: str | None,
    tasks: Sequence[str],
    prompt: str | None,
) -> None:
    given = {
        "--format": format,
        "--split": split,
        "--validation-split": validation_split,
        "--task": tasks,
        "--prompt": prompt,
    }
    useless = [name for name, value in given.items() if value]
    if useless:
        raise ValueError(
            f"{useless[0]} has no meaning with --data scenes: the recipe's task_weights and "
            "auxiliary.curriculum say what is made"
        )


def _run(
    recipe: Recipe,
    settings: Sequence[str],
    source: TrainingData | SceneData,
    out: Path,
    validation_limit: int,
    config: TrainConfig,
) -> None:
    """This process's part of the run, with words about it from the main one."""
    from ..evaluation.record_evaluation import evaluate_records
    from ..training.auxiliary.objective import check_auxiliary
    from ..training.batches import micro_size
    from ..training.distributed import init_distributed
    from ..training.run_directory import locked_run_dir
    from ..training.trainer import train as run_training

    with init_distributed(config.device) as world, locked_run_dir(out, world):
        micro_size(recipe, world.size)
        recipe = source.complete(recipe)
        check_auxiliary(recipe, config.strategy, world.size)
        records, held_out = source.open(out, recipe, world)
        recipe = _with_metric(recipe, held_out, settings)
        judge = None
        if held_out is not None:
            longest = recipe.max_target_tokens
            judge = evaluate_records(held_out, limit=validation_limit, max_new_tokens=longest)
        if world.is_main:
            _print_start(recipe, records, held_out, out)
        outcome = run_training(
            recipe,
            records,
            out,
            validation=held_out,
            evaluator=judge,
            config=config,
            world=world,
        )
        if world.is_main:
            _print_outcome(outcome, records, out)


def _with_metric(recipe: Recipe, held_out: ShardDataset | None, settings: Sequence[str]) -> Recipe:
    """The recipe that chooses its best checkpoint by a figure that there is.

    Without a choice it is a figure of the task; the figure tells whether more of it is better,
    unless a setting does. Raises ``ValueError`` for a figure that no evaluation has.
    """
    from ..evaluation.record_evaluation import list_metrics, selection_metric

    reporting = recipe.reporting
    given = {setting.partition("=")[0].strip() for setting in settings}
    if held_out is None:
        if reporting.metric != "loss":
            raise ValueError(f"{METRIC} is {reporting.metric!r}, which needs --validation")
        return recipe
    figures = {"loss": False, **list_metrics(held_out.annotations())}
    if reporting.metric not in figures:
        near = suggest(reporting.metric, list(figures))
        raise ValueError(
            f"{METRIC} must be one of {', '.join(figures)}, got {reporting.metric!r}{near}"
        )
    if METRIC not in given and reporting.metric == "loss":
        figure, higher = selection_metric(held_out.annotations())
        reporting = replace(reporting, metric=figure, higher_is_better=higher)
    elif METRIC in given and HIGHER not in given:
        reporting = replace(reporting, higher_is_better=figures[reporting.metric])
    return replace(recipe, reporting=reporting)


def _print_start(
    recipe: Recipe, records: ShardDataset | SceneRecords, held_out: ShardDataset | None, out: Path
) -> None:
    from ..training.run_directory import CHECKPOINTS, holds_training

    number = format_count(len(records), "image") if isinstance(records, Sized) else "images as made"
    typer.echo(f"{recipe.name}: from {recipe.start}, on {number}")
    if held_out is not None:
        figure = recipe.reporting.metric
        typer.echo(
            f"{format_count(len(held_out), 'image')} held out; the best is chosen by {figure}"
        )
    if holds_training(out):
        typer.echo(f"going on from {out / CHECKPOINTS}")


def _print_outcome(
    outcome: TrainingOutcome, records: ShardDataset | SceneRecords, out: Path
) -> None:
    from ..training.batches import PROBLEMS_FILE
    from ..training.logger import LOG_FILE
    from ..training.run_directory import ADAPTER

    typer.echo(f"done: {outcome.steps:,} steps, {outcome.skipped_steps:,} of them skipped")
    if outcome.skipped_examples:
        typer.echo(f"{outcome.skipped_examples:,} pairs were left out: {out / PROBLEMS_FILE}")
    places = {
        "last": outcome.last,
        "best": outcome.best,
        "adapter": out / ADAPTER,
        "log": out / LOG_FILE,
    }
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
