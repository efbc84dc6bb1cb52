"""``train``: a recipe and records in, checkpoints out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ..inference.predictor import Florence2
from ..io.atomic import naming_full_disk
from ..model import Florence2Config, Florence2Model
from ..processing.processor import Processor
from ..results.records import Record
from ..runtime import TorchRuntime
from .auxiliary.dense import DenseHeadModel
from .batches import PROBLEMS_FILE, BatchStream, PairSource, micro_size
from .checkpoints import TrainState, load_newest_state
from .distributed import DistributedContext, Strategy, init_distributed, spread
from .examples import Example, ExampleReader, OrderedPairs, Records, list_examples
from .gather import gather_full_state, has_adapters, merged_model
from .logger import TrainingLogger
from .loop import RunHooks, train_loop
from .lora import save_adapter
from .memory import keep_freed_memory
from .model_init import build_model
from .optimizers import make_optimizers
from .param_groups import prepare_trainable
from .recipe import Recipe
from .recipe_fields import check_recipe
from .run_checks import check_auxiliary, check_layout, warn_of_shared_images
from .run_directory import (
    ADAPTER,
    BEST,
    CHECKPOINTS,
    LAST,
    check_same_inputs,
    check_same_recipe,
    keep_run,
    locked_run_dir,
)
from .run_inputs import describe_inputs
from .sample_grid import save_samples
from .schedule import total_steps
from .step import FIRST_LOSS_SCALE
from .streaming import IterablePairs, IterableRecords
from .validation_loss import UnreadableValidationError, check_validation, validation_loss
from .worker_pool import WorkerPool, process_readers, thread_readers

# The pairs of a sample sheet, and the longest answer drawn on it.
SAMPLES = 6
SAMPLE_TOKENS = 256

# Judges a model; figures by name.
Judge = Callable[[Florence2], Mapping[str, float]]


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run came to: the loadable ``last`` checkpoint, steps, steps skipped, problems."""

    last: Path
    best: Path | None
    steps: int
    skipped_steps: int
    skipped_examples: int


@dataclass(frozen=True)
class RunOptions:
    """How a run is run, which changes nothing of what it learns: see ``train``."""

    strategy: Strategy = "ddp"
    workers: int = 2
    worker_processes: bool = False
    quiet: bool = False
    allow_data_change: bool = False


def train(
    recipe: Recipe,
    records: Records | IterableRecords,
    out: str | Path,
    *,
    held_out: Records | None = None,
    judge: Judge | None = None,
    device: str | None = None,
    strategy: Strategy = "ddp",
    workers: int = 2,
    worker_processes: bool = False,
    quiet: bool = False,
    allow_data_change: bool = False,
) -> TrainingOutcome:
    """Run a recipe on records; the outcome, with checkpoints that ``florence2.load`` takes.

    Records without a length are endless: they are made as they are asked for, and the schedule
    says how many; ``worker_processes`` make them beside the steps, get the records sent, and need
    a script's usual ``if __name__ == "__main__"``. ``out`` holds ``last`` and ``best`` (loadable),
    ``adapter`` (with LoRA), ``checkpoints`` (the state to resume from), ``log.jsonl``,
    ``samples``. An evaluation has the ``loss`` on the ``held_out`` records and the figures of
    ``judge``; it is due once an epoch where ``recipe.reporting`` does not say, and ``best``
    follows the figure it names. A folder with checkpoints is resumed, on any number of processes;
    the recipe, the data and the start model must be those it was started with, but for
    ``allow_data_change``. Under ``torchrun`` every process calls this.

    Raises ``ValueError`` for unusable recipes or data, ``RunLockedError`` when another process
    trains in ``out``, ``TrainingError`` when training diverges, ``DiskFullError`` when the disk is
    full, and ``TrainingInterrupted``, a ``KeyboardInterrupt``, when Ctrl-C or SIGTERM ended it.
    """
    out = Path(out)
    options = RunOptions(strategy, workers, worker_processes, quiet, allow_data_change)
    check_recipe(recipe)
    with init_distributed(device) as world, locked_run_dir(out, world):
        return run_training(recipe, records, out, world, options, held_out, judge)


def run_training(
    recipe: Recipe,
    records: Records | IterableRecords,
    out: Path,
    world: DistributedContext,
    options: RunOptions = RunOptions(),
    held_out: Records | None = None,
    judge: Judge | None = None,
) -> TrainingOutcome:
    """What ``train`` does, for a process that has joined ``world`` and holds ``out`` already."""
    if world.device.type == "cpu":
        keep_freed_memory()
    check_recipe(recipe)
    micro_size(recipe, world.size)
    check_auxiliary(recipe, options.strategy, world.size)
    check_same_recipe(out, recipe)
    model, processor = build_model(recipe)
    check_layout(model, recipe.layout)
    # Fresh adapters and heads must be the same on every process and in every run.
    torch.manual_seed(recipe.seed)
    prepare_trainable(model, recipe.trainable, recipe.lora)
    model.to(world.device).set_gradient_checkpointing(recipe.gradient_checkpointing)
    source = _pair_source(records, processor, recipe, model.config)
    total_steps(recipe, source.epoch_length)
    _readers(source, options.workers, options.worker_processes)
    first_location = processor.tokenizer.first_location
    trained = _with_aids(model, recipe, world, first_location)
    if world.is_main:
        if held_out is not None:
            check_validation(held_out, processor, recipe, model.config.text.max_position_embeddings)
            warn_of_shared_images(records, held_out)
        inputs = describe_inputs(recipe, records, held_out)
        check_same_inputs(out, inputs, options.allow_data_change)
        keep_run(out, recipe, inputs)
    world.barrier()
    trained = spread(trained, world, options.strategy)
    run = _Run(recipe, processor, world, out, held_out, judge)
    with naming_full_disk(out, "The last checkpoint is kept."):
        return run.train(trained, source, records, options)


def _pair_source(
    records: Records | IterableRecords,
    processor: Processor,
    recipe: Recipe,
    config: Florence2Config,
) -> PairSource:
    shape = config.text.max_position_embeddings, config.vision.stride
    if not hasattr(records, "__len__"):
        return IterablePairs(records, processor, recipe, *shape)
    if recipe.auxiliary.prompts_per_image > 1:
        raise ValueError("prompts_per_image is for endless sources; these records have an end")
    finite = cast(Records, records)
    reader = ExampleReader(finite, processor, recipe, *shape)
    return OrderedPairs(reader, list_examples(finite), recipe)


def _readers(
    source: PairSource, workers: int, in_processes: bool
) -> Callable[[], AbstractContextManager[WorkerPool]]:
    if not in_processes:
        return partial(thread_readers, workers)
    if not isinstance(source, IterablePairs):
        raise ValueError("worker_processes are for endless records; these have an end")
    return partial(process_readers, source, workers)


def _with_aids(
    model: Florence2Model, recipe: Recipe, world: DistributedContext, first_location: int
) -> nn.Module:
    """The model, with the heads of the dense task where the recipe has that."""
    auxiliary = recipe.auxiliary
    if not auxiliary.dense_weight:
        return model
    reading = auxiliary.char_loss_weight > 0
    asked = first_location if auxiliary.encoder_probe_weight else None
    dense = DenseHeadModel(
        model, len(auxiliary.dense_categories), auxiliary.dense_only, reading, asked
    )
    dense.load_head(Path(recipe.start))
    return dense.to(world.device)


def _shown(records: Records | IterableRecords) -> list[tuple[Record, Example]]:
    """Examples at even distances, or of an endless source the first of the first pictures.

    Records that cannot be read are passed over.
    """
    if hasattr(records, "__len__"):
        examples = list_examples(cast(Records, records))
        spread = (examples[len(examples) * place // SAMPLES] for place in range(SAMPLES))
        chosen = list(dict.fromkeys(spread))
    else:
        chosen = [Example(number, 0, "") for number in range(SAMPLES)]
    shown = []
    for example in chosen:
        with suppress(ValueError, OSError):
            shown.append((records[example.record], example))
    return shown


class _Run:
    """One process's part in a run: what the loop calls back for."""

    def __init__(
        self,
        recipe: Recipe,
        processor: Processor,
        world: DistributedContext,
        out: Path,
        held_out: Records | None,
        judge: Judge | None,
    ) -> None:
        self.recipe, self.processor, self.world, self.out = recipe, processor, world, out
        self.held_out, self.judge = held_out, judge
        scale = FIRST_LOSS_SCALE if recipe.precision == "fp16" else 1.0
        self.progress = TrainState(loss_scale=scale)
        self.report: TrainingLogger | None = None

    def train(
        self,
        model: nn.Module,
        source: PairSource,
        records: Records | IterableRecords,
        options: RunOptions,
    ) -> TrainingOutcome:
        recipe, world = self.recipe, self.world
        optimizer = make_optimizers(model, recipe.optimizer, recipe.precision)
        found = load_newest_state(self.out / CHECKPOINTS, model, optimizer, world)
        if found is not None:
            self.progress = found[1]
        readers = _readers(source, options.workers, options.worker_processes)
        steps = total_steps(recipe, source.epoch_length)
        report = None
        if world.is_main:
            report = self.report = TrainingLogger(
                self.out, steps, self.progress.step, options.quiet
            )
            if found is not None:
                report.write("note", self.progress.step, {"text": f"resumed from {found[0].name}"})
        stream = BatchStream(source, recipe, world, self.out / PROBLEMS_FILE, readers, self._notify)
        epoch = source.epoch_length
        hooks = RunHooks(
            self.out / CHECKPOINTS,
            report,
            evaluate=lambda step: self._evaluate(model, step),
            draw_samples=lambda step: self._draw(model, step, records),
            epoch_steps=None if epoch is None else math.ceil(epoch / recipe.batch.size),
        )
        try:
            train_loop(
                model,
                optimizer,
                stream.steps(self.progress.step),
                self.progress,
                steps,
                _with_evaluations(recipe, epoch),
                world,
                hooks,
                self.processor.tokenizer.first_location,
            )
        finally:
            if report is not None:
                report.close()
        self._save(model, LAST)
        best = self.out / BEST
        return TrainingOutcome(
            self.out / LAST,
            best if best.is_dir() else None,
            self.progress.step,
            self.progress.skipped + self.progress.unreadable,
            stream.count,
        )

    def _notify(self, step: int, text: str) -> None:
        if self.report is not None:
            self.report.note(step, text)

    def _evaluate(self, model: nn.Module, step: int) -> dict[str, float]:
        """Figures on held-out records; the model is kept as ``best`` when the watched improved."""
        figures: dict[str, float] = {}
        if self.held_out is None and self.judge is None:
            return figures
        gathered = gather_full_state(model, self.world, self.recipe)
        if gathered is not None:
            whole = merged_model(gathered)
            if self.held_out is not None:
                with suppress(UnreadableValidationError):  # readable when the run began
                    figures["loss"] = validation_loss(
                        whole, self.held_out, self.processor, self.recipe
                    )
            if self.judge is not None:
                figures |= self.judge(self._answering(whole))
            watched = figures.get(self.recipe.reporting.metric)
            if watched is not None and self._improves(watched):
                self.progress.best = watched
                self._write(whole, BEST)
        self.world.barrier()
        return figures

    def _draw(self, model: nn.Module, step: int, records: Records | IterableRecords) -> None:
        gathered = gather_full_state(model, self.world, self.recipe)
        if gathered is not None:
            path = self.out / "samples" / f"step-{step:08d}.png"
            answering = self._answering(merged_model(gathered))
            for problem in save_samples(answering, _shown(records), path, SAMPLE_TOKENS):
                self._notify(step, f"not drawn: {problem}")
        self.world.barrier()

    def _save(self, model: nn.Module, name: str) -> None:
        gathered = gather_full_state(model, self.world, self.recipe)
        if gathered is not None:
            self._write(merged_model(gathered), name)
            dense = getattr(model, "module", model)
            if isinstance(dense, DenseHeadModel):
                dense.save_head(self.out / name)
            if has_adapters(gathered):
                save_adapter(gathered, self.recipe.lora, self.out / ADAPTER)
        self.world.barrier()

    def _write(self, whole: Florence2Model, name: str) -> None:
        self._answering(whole).save(self.out / name, layout=self.recipe.layout)

    def _answering(self, whole: Florence2Model) -> Florence2:
        return Florence2(self.recipe.name, TorchRuntime(whole), self.processor)

    def _improves(self, value: float) -> bool:
        best = self.progress.best
        if not math.isfinite(value):
            return False
        if best is None or not math.isfinite(best):
            return True
        return value > best if self.recipe.reporting.higher_is_better else value < best


def _with_evaluations(recipe: Recipe, epoch_length: int | None) -> Recipe:
    """The recipe with an evaluation once an epoch, where it does not say when.

    An endless source has no epochs: it is evaluated at the end.
    """
    if recipe.reporting.evaluate_every is not None:
        return recipe
    every = 0 if epoch_length is None else math.ceil(epoch_length / recipe.batch.size)
    return replace(recipe, reporting=replace(recipe.reporting, evaluate_every=every))
