"""The training loop: one function, from the first step to the last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .batches import PROBLEMS_FILE, MicroBatch
from .checkpoints import TrainState, save_state
from .distributed import DistributedContext
from .interruption import PhaseInterrupted, StopRequest, TrainingInterrupted
from .logger import TrainingLogger
from .optimizers import Optimizers
from .recipe import Recipe, Reporting
from .schedule import learning_rate_factor, location_spread
from .step import LocationSmoothing, StepMetrics, train_step

# Called on every process with the number of steps done; the main process returns figures.
Evaluate = Callable[[int], Mapping[str, float]]
Sample = Callable[[int], None]
# With every example unreadable, no more steps than this are tried.
_MOST_UNREADABLE = 1000


@dataclass(frozen=True)
class RunHooks:
    """What happens beside the steps: reports (on the main process), evaluations, samples.

    ``checkpoints`` is where states go. ``epoch_steps`` are the steps of an epoch, where there is
    one.
    """

    checkpoints: Path
    report: TrainingLogger | None
    evaluate: Evaluate
    draw_samples: Sample
    epoch_steps: int | None = None


def train_loop(
    model: nn.Module,
    optimizer: Optimizers,
    batches: Iterator[Sequence[MicroBatch]],
    progress: TrainState,
    steps: int,
    recipe: Recipe,
    world: DistributedContext,
    hooks: RunHooks,
    first_location: int,
) -> None:
    """Train from ``progress.step`` to ``steps``; ``batches`` starts at ``progress.step``.

    ``first_location`` is the id of the first location token. Every due checkpoint, evaluation and
    sample comes after the step it is named for. Ctrl-C and SIGTERM end a step, or an evaluation in
    the middle, then save the state and raise ``TrainingInterrupted``. Raises ``ValueError`` when
    no example can be read.
    """
    reporting, report = recipe.reporting, hooks.report
    clock = _CheckpointClock(reporting)
    with StopRequest(alone=world.size == 1) as stop:

        def save() -> Path:
            clock.restart()
            kept = reporting.keep_checkpoints
            return save_state(hooks.checkpoints, model, optimizer, progress, world, kept)

        if progress.evaluation_pending:
            _evaluate(hooks, progress, stop)
        while progress.step < steps and not progress.evaluation_pending:
            rate = recipe.optimizer.learning_rate * learning_rate_factor(
                progress.step, steps, recipe.schedule
            )
            optimizer.set_rate(rate)

            model.train()
            blur = LocationSmoothing(
                first_location, location_spread(progress.step, steps, recipe.auxiliary)
            )
            outcome = train_step(model, optimizer, next(batches), recipe, world, progress, blur)
            step, last = progress.step, progress.step == steps
            _check_readable(progress, steps, hooks)

            if report is not None:
                report.step(step, outcome.loss, outcome.examples)
                if _due(step, reporting.log_every) or last or outcome.skipped:
                    report.write("step", step, _figures(outcome, rate, progress, recipe))
            if _due(step, reporting.evaluate_every) or last:
                _evaluate(hooks, progress, stop)
            if _due(step, reporting.sample_every) and not progress.evaluation_pending:
                _draw(hooks, step, stop)
            stopped, timely = _agreed(world, stop, clock)
            if stopped:
                break
            if _due(step, reporting.checkpoint_every) or last or timely:
                save()
        if progress.step < steps or progress.evaluation_pending:
            number = stop.signal_number or 0
            raise TrainingInterrupted(number, progress.step, steps, save())


def _figures(
    outcome: StepMetrics, rate: float, progress: TrainState, recipe: Recipe
) -> dict[str, float]:
    return {
        "loss": outcome.loss,
        "learning_rate": rate,
        "gradient_norm": outcome.gradient_norm,
        "tokens": outcome.tokens,
        "examples": outcome.examples,
        "samples_seen": progress.step * recipe.batch.size,
        "skipped": outcome.skipped,
        "skipped_so_far": progress.skipped,
        **outcome.auxiliary,
    }


def _evaluate(hooks: RunHooks, progress: TrainState, stop: StopRequest) -> None:
    """Evaluate; one that is interrupted is left pending, for when the run resumes."""
    report = hooks.report
    progress.evaluation_pending = True
    try:
        with stop.phase(), nullcontext() if report is None else report.busy("evaluating"):
            figures = hooks.evaluate(progress.step)
    except PhaseInterrupted:
        return
    progress.evaluation_pending = False
    if report is not None and figures:
        report.write("evaluation", progress.step, figures)


def _draw(hooks: RunHooks, step: int, stop: StopRequest) -> None:
    report = hooks.report
    try:
        with stop.phase(), nullcontext() if report is None else report.busy("drawing samples"):
            hooks.draw_samples(step)
    except PhaseInterrupted:
        return


def _check_readable(progress: TrainState, steps: int, hooks: RunHooks) -> None:
    """End a run that reads nothing: two epochs of steps without an example, or all of a short run.

    Two, because examples are shuffled again in every epoch.
    """
    most = _MOST_UNREADABLE if hooks.epoch_steps is None else 2 * hooks.epoch_steps
    in_a_row = progress.unreadable_in_a_row
    if in_a_row > min(most, _MOST_UNREADABLE) or progress.unreadable == steps:
        raise ValueError(
            f"no example could be read in {in_a_row:,} steps in a row, up to step "
            f"{progress.step:,}: the reasons are in {hooks.checkpoints.parent / PROBLEMS_FILE}"
        )


class _CheckpointClock:
    """Tells when a checkpoint is due by time."""

    def __init__(self, reporting: Reporting) -> None:
        self._seconds = 60 * reporting.checkpoint_minutes or math.inf
        self.restart()

    def restart(self) -> None:
        self._begin = time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._begin >= self._seconds


def _agreed(
    world: DistributedContext, stop: StopRequest, clock: _CheckpointClock
) -> tuple[bool, bool]:
    """Whether to stop, and whether a checkpoint is due: the same on all processes."""
    stopped, due = stop.signal_number is not None, clock.due
    if world.size == 1:
        return stopped, due
    flags = torch.tensor([float(stopped), float(due and world.is_main)], device=world.device)
    asked, timely = world.total(flags).tolist()
    return asked > 0, timely > 0


def _due(step: int, every: int | None) -> bool:
    return every is not None and every > 0 and step % every == 0
