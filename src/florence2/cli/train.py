"""``florence2 train``: run a recipe on records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..inference.call_options import MAX_SEED
from ..io.atomic import DiskFullError
from ..io.messages import format_count, suggest
from ..io.options import option
from ..training.train_config import TrainConfig
from .errors import EXIT_PARTIAL, print_error, print_message, print_warnings, user_errors
from .help_format import PRESETS
from .parameters import complete
from .scene_data import SCENES, SceneData
from .signature import expand_options
from .training_data import DataOptions, TrainingData

if TYPE_CHECKING:
    from ..datasets.shards import ShardDataset
    from ..synthetic.scene_records import SceneRecords
    from ..training import Recipe, TrainingOutcome

METRIC, HIGHER = "reporting.metric", "reporting.higher_is_better"
SIGNAL_STATUS = 128  # shells add it to the number of the signal that ended a program

RecipeName = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE",
        autocompletion=complete(*PRESETS),
        help=f"A preset ({', '.join(PRESETS)}), or a file: recipe.py, recipe.py:function.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Directory of the run. [required]", show_default=False),
]


@dataclass(frozen=True)
class RecipeOptions:
    """Changes to the recipe."""

    set: tuple[str, ...] = option(
        (), metavar="NAME=VALUE", help="Change a field: batch.size=16. Repeatable."
    )
    seed: int | None = option(None, min=0, max=MAX_SEED, help="Short for --set seed=SEED.")
    list_fields: bool = option(
        False, help="Print the fields for --set, with their values in RECIPE."
    )

    @property
    def settings(self) -> list[str]:
        """All changes as ``NAME=VALUE``; ``ValueError`` when two of them set the seed."""
        if self.seed is None:
            return [*self.set]
        if any(each.partition("=")[0].strip() == "seed" for each in self.set):
            raise ValueError("--seed and --set seed are the same option; give one of them")
        return [*self.set, f"seed={self.seed}"]


@expand_options
def train(
    *,
    recipe: RecipeName = None,
    out: Out = None,
    data: DataOptions,
    changes: RecipeOptions,
    config: TrainConfig,
) -> None:
    """Train by a recipe on records.

    A run in --out that was stopped or killed resumes from its last checkpoint when the same
    command is run again. Under torchrun every process calls this.
    """
    with user_errors():
        settings = changes.settings
        if changes.list_fields:
            _print_fields(recipe, settings, {"--data": data.data, "--out": out})
            return
        if recipe is None:
            raise ValueError(f"RECIPE is missing: one of {', '.join(PRESETS)}, or a file")
        if data.data is None or out is None:
            raise ValueError(f"{'--data' if data.data is None else '--out'} is missing")
        with print_warnings():
            chosen = _choose_recipe(recipe, settings)
        source = data.make_source()
        config = replace(config, worker_processes=data.data == SCENES)
        from ..training import TrainingError, TrainingInterrupted

        try:
            with print_warnings():
                _run(chosen, settings, source, out, data.validation_limit, config)
        except (TrainingError, DiskFullError) as error:
            print_error(error)
            raise typer.Exit(EXIT_PARTIAL) from None
        except TrainingInterrupted as interrupt:
            print_message(str(interrupt))
            raise typer.Exit(SIGNAL_STATUS + interrupt.signal_number) from None


def _choose_recipe(name: str, settings: Sequence[str]) -> Recipe:
    """The recipe with its settings, with every field checked."""
    from ..training import override
    from ..training.presets import load_recipe
    from ..training.recipe_fields import check_recipe, find_repeated

    for before, after in find_repeated(settings):
        print_message(f"warning: --set {before} has no effect: --set {after} follows it")
    recipe = override(load_recipe(name), settings)
    check_recipe(recipe)
    return recipe


def _print_fields(name: str | None, settings: Sequence[str], unused: Mapping[str, Any]) -> None:
    """Print every field: its path, value, allowed values and meaning."""
    from ..training.recipe_fields import list_fields

    for option_name, value in unused.items():
        if value is not None:
            raise ValueError(f"--list-fields does not train; leave out {option_name}")
    chosen = _choose_recipe(name or PRESETS[0], settings)
    fields = list_fields(chosen)
    width = max(len(each.path) for each in fields)
    for each in fields:
        typer.echo(f"{each.path:<{width}}  {format_value(each.default)}")
        typer.echo(f"{'':<{width}}  {each.allowed}: {each.rule.help}")


def format_value(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, tuple) and value and not isinstance(value[0], tuple):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return repr(dict(value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _run(
    recipe: Recipe,
    settings: Sequence[str],
    source: TrainingData | SceneData,
    out: Path,
    validation_limit: int,
    config: TrainConfig,
) -> None:
    """Run this process's part of the training; the main process prints about it."""
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
        records, validation = source.open(out, recipe, world)
        recipe = _with_metric(recipe, validation, settings)
        evaluator = None
        if validation is not None:
            evaluator = evaluate_records(
                validation, limit=validation_limit, max_new_tokens=recipe.max_target_tokens
            )
        if world.is_main:
            _print_start(recipe, records, validation, out)
        outcome = run_training(
            recipe,
            records,
            out,
            validation=validation,
            evaluator=evaluator,
            config=config,
            world=world,
        )
        if world.is_main:
            _print_outcome(outcome, records, out)


def _with_metric(
    recipe: Recipe, validation: ShardDataset | None, settings: Sequence[str]
) -> Recipe:
    """The recipe with a metric for its best checkpoint that evaluations have.

    Without a choice it is a metric of the task. Whether higher is better follows from the metric
    unless it is set. Raises ``ValueError`` for a metric that no evaluation has.
    """
    from ..evaluation.record_evaluation import list_metrics, selection_metric

    reporting = recipe.reporting
    given = {setting.partition("=")[0].strip() for setting in settings}
    if validation is None:
        if reporting.metric != "loss":
            raise ValueError(f"{METRIC} is {reporting.metric!r}, which needs --validation")
        return recipe
    metrics = {"loss": False, **list_metrics(validation.annotations())}
    if reporting.metric not in metrics:
        near = suggest(reporting.metric, list(metrics))
        raise ValueError(
            f"{METRIC} must be one of {', '.join(metrics)}, got {reporting.metric!r}{near}"
        )
    if METRIC not in given and reporting.metric == "loss":
        metric, higher = selection_metric(validation.annotations())
        reporting = replace(reporting, metric=metric, higher_is_better=higher)
    elif METRIC in given and HIGHER not in given:
        reporting = replace(reporting, higher_is_better=metrics[reporting.metric])
    return replace(recipe, reporting=reporting)


def _print_start(
    recipe: Recipe, records: ShardDataset | SceneRecords, validation: ShardDataset | None, out: Path
) -> None:
    from ..training.run_directory import CHECKPOINTS, holds_training

    images = "synthetic images"
    if isinstance(records, Sized):
        images = format_count(len(records), "image")
    typer.echo(f"{recipe.name}: from {recipe.start}, on {images}")
    if validation is not None:
        count = format_count(len(validation), "validation image")
        typer.echo(f"{count}; the best checkpoint is selected by {recipe.reporting.metric}")
    if holds_training(out):
        typer.echo(f"resuming from {out / CHECKPOINTS}")


def _print_outcome(
    outcome: TrainingOutcome, records: ShardDataset | SceneRecords, out: Path
) -> None:
    from ..training.batches import PROBLEMS_FILE
    from ..training.logger import LOG_FILE
    from ..training.run_directory import ADAPTER

    typer.echo(f"done: {outcome.steps:,} steps, {outcome.skipped_steps:,} of them skipped")
    if outcome.skipped_examples:
        typer.echo(f"{outcome.skipped_examples:,} examples were skipped: {out / PROBLEMS_FILE}")
    paths = {
        "last": outcome.last,
        "best": outcome.best,
        "adapter": out / ADAPTER,
        "log": out / LOG_FILE,
    }
    for name, path in paths.items():
        if path is not None and path.exists():
            typer.echo(f"  {name:<8} {path}")
    task = _most_frequent_task(records)
    model = outcome.best or outcome.last
    typer.echo(f"next: florence2 run IMAGES --task '{task}' --model {model}")


def _most_frequent_task(records: ShardDataset | SceneRecords) -> str:
    if not isinstance(records, Sized):
        return "<OD>"
    tasks = records.manifest.counts.task
    return max(tasks, key=tasks.__getitem__)
