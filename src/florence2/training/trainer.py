"""``train``: a recipe and records in, checkpoints out."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from ..io.atomic import explain_full_disk
from ..io.deprecation import renamed_arguments
from ..model import Florence2Model
from ..processing.processor import Processor
from .auxiliary.objective import AuxiliaryObjective, add_heads, check_auxiliary
from .batches import PROBLEMS_FILE, BatchStream, ExampleSource, micro_size
from .checkpoints import TrainState, load_newest_state
from .distributed import DistributedContext, init_distributed, keep_freed_memory, parallelize
from .examples import ExampleReader, FiniteSource, TrainingRecords, list_examples
from .logger import TrainingLogger
from .loop import RunHooks, train_loop
from .model_init import build_model, check_layout, prepare_trainable
from .optimizers import make_optimizers
from .recipe import Recipe
from .recipe_fields import check_recipe
from .run_directory import (
    BEST,
    CHECKPOINTS,
    LAST,
    check_same_inputs,
    check_same_recipe,
    locked_run_dir,
    store_run,
)
from .run_inputs import describe_inputs, warn_of_shared_images
from .run_outputs import Evaluator, RunOutputs
from .schedule import total_steps
from .step import INITIAL_LOSS_SCALE, TrainSetup
from .streaming import EndlessSource, IterableRecords
from .train_config import TrainConfig
from .validation_loss import check_validation
from .worker_pool import WorkerPool, process_workers, thread_workers


@dataclass(frozen=True)
class TrainingOutcome:
    """The result of a run: loadable checkpoints, and counts of steps and skipped examples."""

    last: Path
    best: Path | None
    steps: int
    skipped_steps: int
    skipped_examples: int


@renamed_arguments(held_out="validation", judge="evaluator")
def train(
    recipe: Recipe,
    records: TrainingRecords | IterableRecords,
    out: str | Path,
    *,
    validation: TrainingRecords | None = None,
    evaluator: Evaluator | None = None,
    config: TrainConfig | None = None,
    world: DistributedContext | None = None,
    **options: Any,
) -> TrainingOutcome:
    """Train by a recipe on records. Under ``torchrun`` every process calls this.

    Args:
        recipe: what is trained, and how.
        records: training records. Records without a length are endless: they are made on demand,
            and ``recipe.schedule.samples`` sets the length of the run.
        out: directory of the run. It gets ``last`` and ``best`` (checkpoints for
            ``florence2.load``), ``adapter`` (with LoRA), ``checkpoints`` (the state to resume
            from), ``log.jsonl`` and ``samples``. If it has checkpoints the run resumes, on any
            number of processes; recipe, data and start model must be the same.
        validation: records for the validation loss.
        evaluator: computes further metrics of the model. Evaluations run once an epoch unless
            ``recipe.reporting`` sets another; its ``metric`` selects ``best``.
        config: device, workers and the like.
        world: the process group, from a caller that has joined it and locked ``out``.
        options: fields of ``config`` by name, such as ``device="cuda"``.

    Raises:
        ValueError: the recipe or the data cannot be used.
        RunLockedError: another process trains in ``out``.
        TrainingError: training diverges.
        DiskFullError: the disk is full.
        TrainingInterrupted: Ctrl-C or SIGTERM; a ``KeyboardInterrupt``.
    """
    config, out = replace(config or TrainConfig(), **options), Path(out)
    check_recipe(recipe)
    with ExitStack() as stack:
        if world is None:
            world = stack.enter_context(init_distributed(config.device))
            stack.enter_context(locked_run_dir(out, world))
        stack.enter_context(explain_full_disk(out, "The last checkpoint is kept."))
        run = _Run(recipe, records, out, validation, evaluator, config, world)
        try:
            train_loop(run.setup, run.stream.steps(run.setup.state.step), run.hooks)
        finally:
            run.close()
        return run.finish()


class _Run:
    """A run that is ready to train or to resume, on one of its processes.

    All checks come first, so that nothing fails after work was done.
    """

    def __init__(
        self,
        recipe: Recipe,
        records: TrainingRecords | IterableRecords,
        out: Path,
        validation: TrainingRecords | None,
        evaluator: Evaluator | None,
        config: TrainConfig,
        world: DistributedContext,
    ) -> None:
        model, processor = _make_model(recipe, out, config, world)
        source = _make_source(records, processor, recipe, model)
        steps = total_steps(recipe, source.epoch_length)
        make_workers = _make_workers(source, config)
        first_location = processor.tokenizer.first_location
        network = add_heads(model, recipe, first_location).to(world.device)
        if world.is_main:
            if validation is not None:
                positions = model.config.text.max_position_embeddings
                check_validation(validation, processor, recipe, positions)
                warn_of_shared_images(records, validation)
            inputs = describe_inputs(recipe, records, validation)
            check_same_inputs(out, inputs, config.allow_data_change)
            store_run(out, recipe, inputs)
        world.barrier()
        network = parallelize(network, world, config.strategy)
        optimizer = make_optimizers(network, recipe.optimizer, recipe.precision)
        resumed = load_newest_state(out / CHECKPOINTS, network, optimizer, world)
        state = resumed[1] if resumed else TrainState(loss_scale=_initial_loss_scale(recipe))
        self.out = out
        self.setup = TrainSetup(
            network,
            optimizer,
            recipe,
            world,
            state,
            steps,
            AuxiliaryObjective(recipe.auxiliary, first_location),
        )
        self.outputs = RunOutputs(self.setup, processor, out, records, validation, evaluator)
        if world.is_main:
            self.outputs.logger = TrainingLogger(out, steps, state.step, config.quiet)
            if resumed:
                text = f"resumed from {resumed[0].name}"
                self.outputs.logger.write("note", state.step, {"text": text})
        self.stream = BatchStream(
            source, recipe, world, out / PROBLEMS_FILE, make_workers, self.outputs.notify
        )
        self.hooks = RunHooks(
            out / CHECKPOINTS,
            self.outputs.logger,
            self.outputs.evaluate,
            self.outputs.draw_samples,
            epoch_steps=source.epoch_length and math.ceil(source.epoch_length / recipe.batch.size),
        )

    def close(self) -> None:
        """Close the log."""
        if self.outputs.logger is not None:
            self.outputs.logger.close()

    def finish(self) -> TrainingOutcome:
        """Save ``last``, and return the outcome."""
        self.outputs.save(LAST)
        state, best = self.setup.state, self.out / BEST
        return TrainingOutcome(
            self.out / LAST,
            best if best.is_dir() else None,
            state.step,
            state.skipped + state.unreadable,
            self.stream.skipped_examples,
        )


def _make_model(
    recipe: Recipe, out: Path, config: TrainConfig, world: DistributedContext
) -> tuple[Florence2Model, Processor]:
    """The start model on the device of this process, with its frozen parts and adapters."""
    if world.device.type == "cpu":
        keep_freed_memory()
    micro_size(recipe, world.size)
    check_auxiliary(recipe, config.strategy, world.size)
    check_same_recipe(out, recipe)
    model, processor = build_model(recipe)
    check_layout(model, recipe.layout)
    # Initial adapters and heads must be the same on every process and in every run.
    torch.manual_seed(recipe.seed)
    prepare_trainable(model, recipe.trainable, recipe.lora)
    model.to(world.device).set_gradient_checkpointing(recipe.gradient_checkpointing)
    return model, processor


def _make_source(
    records: TrainingRecords | IterableRecords,
    processor: Processor,
    recipe: Recipe,
    model: Florence2Model,
) -> ExampleSource:
    shape = model.config.text.max_position_embeddings, model.config.vision.stride
    if not hasattr(records, "__len__"):
        return EndlessSource(records, processor, recipe, *shape)
    if recipe.auxiliary.prompts_per_image > 1:
        raise ValueError("auxiliary.prompts_per_image is for endless records; these have a length")
    finite = cast(TrainingRecords, records)
    return FiniteSource(
        ExampleReader(finite, processor, recipe, *shape), list_examples(finite), recipe
    )


def _make_workers(
    source: ExampleSource, config: TrainConfig
) -> Callable[[], AbstractContextManager[WorkerPool]]:
    if not config.worker_processes:
        return partial(thread_workers, config.workers)
    if not isinstance(source, EndlessSource):
        raise ValueError("worker_processes are for endless records; these have a length")
    return partial(process_workers, source, config.workers)


def _initial_loss_scale(recipe: Recipe) -> float:
    return INITIAL_LOSS_SCALE if recipe.precision == "fp16" else 1.0
