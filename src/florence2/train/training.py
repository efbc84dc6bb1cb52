"""``train``: a recipe and records in, checkpoints out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from ..durable import replace_json
from ..model import Florence2Config, Florence2Model
from ..predictor import Florence2
from ..processor import Processor
from ..records import Record
from ..runtime import TorchRuntime
from .adapters import save_adapter
from .batches import PROBLEMS_FILE, BatchStream, PairSource
from .checkpoints import Progress, load_newest_state
from .dense import WithDenseTask
from .distributed import Strategy, World, joined_world, spread
from .endless import EndlessPairs, EndlessRecords
from .examples import Example, ExampleReader, OrderedPairs, Records, list_examples
from .loop import run_steps
from .memory import keep_freed_memory
from .optimizers import make_optimizers
from .parameters import prepare_trainable
from .readers import Readers, process_readers, thread_readers
from .recipe import Augmentation, Recipe, completed, to_dict
from .reporting import RunReport
from .samples import save_samples
from .schedule import total_steps
from .starting import starting_model
from .step import FIRST_LOSS_SCALE
from .validation_loss import validation_loss
from .whole import gathered_model, has_adapters, merged_model

CHECKPOINTS = "checkpoints"
RECIPE_FILE = "recipe.json"
LAST, BEST, ADAPTER = "last", "best", "adapter"
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
    unreadable_pairs: int


def train(
    recipe: Recipe,
    records: Records | EndlessRecords,
    out: str | Path,
    *,
    held_out: Records | None = None,
    judge: Judge | None = None,
    device: str | None = None,
    strategy: Strategy = "ddp",
    workers: int = 2,
    worker_processes: bool = False,
    quiet: bool = False,
) -> TrainingOutcome:
    """Run a recipe on records; the outcome, with checkpoints that ``florence2.load`` takes.

    Records without a length are endless: they are made as they are asked for, and the schedule
    says how many; ``worker_processes`` make them beside the steps, get the records sent, and need
    a script's usual ``if __name__ == "__main__"``. ``out`` holds ``last`` and ``best`` (loadable),
    ``adapter`` (with LoRA), ``checkpoints`` (the state to resume from), ``log.jsonl``,
    ``samples``. An evaluation has the ``loss`` on the ``held_out`` records and the figures of
    ``judge``; it is due once an epoch where ``recipe.reporting`` does not say, and ``best``
    follows the figure it names. A folder with checkpoints is resumed, on any number of processes;
    the recipe must be the one it was started with. Under ``torchrun`` every process calls this.
    Raises ``ValueError`` for unusable recipes or data, ``TrainingError`` when training diverges.
    """
    out = Path(out)
    with joined_world(device) as world:
        if world.device.type == "cpu":
            keep_freed_memory()
        if world.is_main:
            out.mkdir(parents=True, exist_ok=True)
            _keep_recipe(out / RECIPE_FILE, recipe)
        world.barrier()
        model, processor = starting_model(recipe)
        # Fresh adapters and heads must be the same on every process and in every run.
        torch.manual_seed(recipe.seed)
        prepare_trainable(model, recipe.trainable, recipe.lora)
        model.to(world.device).set_gradient_checkpointing(recipe.gradient_checkpointing)
        run = _Run(recipe, processor, world, out, held_out, judge)
        source = _pair_source(records, processor, recipe, model.config)
        first_location = processor.tokenizer.first_location
        trained = _with_aids(model, recipe, strategy, world, first_location)
        trained = spread(trained, world, strategy)
        return run.train(trained, source, records, workers, worker_processes, quiet)


def _pair_source(
    records: Records | EndlessRecords,
    processor: Processor,
    recipe: Recipe,
    config: Florence2Config,
) -> PairSource:
    shape = config.text.positions, config.vision.stride
    if not hasattr(records, "__len__"):
        return EndlessPairs(records, processor, recipe, *shape)
    if recipe.aids.questions_per_picture > 1:
        raise ValueError("questions_per_picture is for endless sources; these records have an end")
    finite = cast(Records, records)
    reader = ExampleReader(finite, processor, recipe, *shape)
    return OrderedPairs(reader, list_examples(finite), recipe)


def _readers(
    source: PairSource, workers: int, in_processes: bool
) -> Callable[[], AbstractContextManager[Readers]]:
    if not in_processes:
        return partial(thread_readers, workers)
    if not isinstance(source, EndlessPairs):
        raise ValueError("worker_processes are for endless records; these have an end")
    return partial(process_readers, source, workers)


def _with_aids(
    model: Florence2Model, recipe: Recipe, strategy: Strategy, world: World, first_location: int
) -> nn.Module:
    """The model, with the heads of the dense task where the recipe has that.

    Raises ``ValueError`` when the recipe's settings of that task do not go together.
    """
    aids = recipe.aids
    if not aids.dense_weight:
        for name in ("dense_only", "reading_weight", "looking_weight", "encoder_weight"):
            if getattr(aids, name):
                raise ValueError(f"aids.{name} needs aids.dense_weight above 0")
        return model
    if aids.encoder_weight and aids.dense_only:
        raise ValueError("aids.encoder_weight needs answers: aids.dense_only off")
    if aids.looking_weight and (aids.questions_per_picture < 2 or aids.dense_only):
        raise ValueError("aids.looking_weight needs answers: aids.questions_per_picture above 1, "
                         "aids.dense_only off")  # fmt: skip
    if aids.looking_weight and recipe.gradient_checkpointing:
        raise ValueError("aids.looking_weight needs gradient_checkpointing off")
    if not aids.dense_categories:
        raise ValueError("aids.dense_weight needs aids.dense_categories: the names to tell apart")
    if recipe.augmentation != Augmentation():
        raise ValueError("the dense task takes pictures as they are: leave augmentation off")
    if strategy == "fsdp" and world.size > 1:
        raise ValueError("the dense task is for small models: use strategy ddp")
    reading = aids.reading_weight > 0
    asked = first_location if aids.encoder_weight else None
    dense = WithDenseTask(model, len(aids.dense_categories), aids.dense_only, reading, asked)
    dense.load_head(Path(recipe.start))
    return dense.to(world.device)


def _shown(records: Records | EndlessRecords) -> list[tuple[Record, Example]]:
    """Examples at even distances, or of an endless source the first of the first pictures."""
    if not hasattr(records, "__len__"):
        firsts = [records[number] for number in range(SAMPLES)]
        return [
            (each, Example(number, 0, each.annotations[0].task))
            for number, each in enumerate(firsts)
        ]
    examples = list_examples(cast(Records, records))
    chosen = [examples[len(examples) * place // SAMPLES] for place in range(SAMPLES)]
    return [(records[each.record], each) for each in dict.fromkeys(chosen)]


class _Run:
    """One process's part in a run: what the loop calls back for."""

    def __init__(
        self,
        recipe: Recipe,
        processor: Processor,
        world: World,
        out: Path,
        held_out: Records | None,
        judge: Judge | None,
    ) -> None:
        self.recipe, self.processor, self.world, self.out = recipe, processor, world, out
        self.held_out, self.judge = held_out, judge
        scale = FIRST_LOSS_SCALE if recipe.precision == "fp16" else 1.0
        self.progress = Progress(loss_scale=scale)

    def train(
        self,
        model: nn.Module,
        source: PairSource,
        records: Records | EndlessRecords,
        workers: int,
        in_processes: bool,
        quiet: bool,
    ) -> TrainingOutcome:
        recipe, world = self.recipe, self.world
        optimizer = make_optimizers(model, recipe.optimizer, recipe.precision)
        found = load_newest_state(self.out / CHECKPOINTS, model, optimizer, world)
        if found is not None:
            self.progress = found[1]
        readers = _readers(source, workers, in_processes)
        stream = BatchStream(source, recipe, world, self.out / PROBLEMS_FILE, readers)
        steps = total_steps(recipe, source.epoch_length)
        report = RunReport(self.out, steps, self.progress.step, quiet) if world.is_main else None
        try:
            run_steps(
                model,
                optimizer,
                stream.steps(self.progress.step),
                self.progress,
                steps,
                _with_evaluations(recipe, source.epoch_length),
                world,
                self.out / CHECKPOINTS,
                report,
                evaluate=lambda step: self._evaluate(model, step),
                draw_samples=lambda step: self._draw(model, step, records),
                first_location=self.processor.tokenizer.first_location,
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
            self.progress.skipped,
            stream.count,
        )

    def _evaluate(self, model: nn.Module, step: int) -> dict[str, float]:
        """Figures on held-out records; the model is kept as ``best`` when the watched improved."""
        figures: dict[str, float] = {}
        if self.held_out is None and self.judge is None:
            return figures
        gathered = gathered_model(model, self.world, self.recipe)
        if gathered is not None:
            whole = merged_model(gathered)
            if self.held_out is not None:
                loss = validation_loss(whole, self.held_out, self.processor, self.recipe)
                figures["loss"] = loss
            if self.judge is not None:
                figures |= self.judge(self._answering(whole))
            watched = figures.get(self.recipe.reporting.metric)
            if watched is not None and self._improves(watched):
                self.progress.best = watched
                self._write(whole, BEST)
        self.world.barrier()
        return figures

    def _draw(self, model: nn.Module, step: int, records: Records | EndlessRecords) -> None:
        gathered = gathered_model(model, self.world, self.recipe)
        if gathered is not None:
            path = self.out / "samples" / f"step-{step:08d}.png"
            answering = self._answering(merged_model(gathered))
            save_samples(answering, _shown(records), path, SAMPLE_TOKENS)
        self.world.barrier()

    def _save(self, model: nn.Module, name: str) -> None:
        gathered = gathered_model(model, self.world, self.recipe)
        if gathered is not None:
            self._write(merged_model(gathered), name)
            dense = getattr(model, "module", model)
            if isinstance(dense, WithDenseTask):
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
        if best is None:
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


def _keep_recipe(path: Path, recipe: Recipe) -> None:
    """Write the recipe of a new run; refuse to go on with another one."""
    values = json.loads(json.dumps(to_dict(recipe)))
    if path.exists():
        before = completed(json.loads(path.read_text(encoding="utf-8")))
        changed = sorted(name for name in values if values[name] != before.get(name))
        if changed:
            raise ValueError(
                f"{path.parent} holds a run with another recipe ({', '.join(changed)} differ): "
                "choose another folder, or the recipe it was started with"
            )
        return
    replace_json(path, values)
