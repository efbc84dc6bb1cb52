"""The training loop: one function, from the first step to the last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from .batches import PROBLEMS_FILE, MicroBatch
from .checkpoints import TrainState, save_state
from .distributed import DistributedContext
from .interruption import PhaseInterrupted, StopRequest, TrainingInterrupted
from .logger import TrainingLogger
from .recipe import Reporting
from .schedule import learning_rate_factor
from .step import StepMetrics, TrainSetup, train_step

# Called on every process with the number of finished steps; the main process returns metrics.
Evaluate = Callable[[int], Mapping[str, float]]
Sample = Callable[[int], None]
# The max number of consecutive steps without a readable example.
_MAX_UNREADABLE = 1000


@dataclass(frozen=True)
class RunHooks:
    """Callbacks between the steps.

    Attributes:
        checkpoints: directory of the checkpoints.
        logger: the log; None on other processes than the main one.
        evaluate: evaluates the model.
        draw_samples: writes a grid of samples.
        epoch_steps: steps of an epoch; None for endless sources.
    """

    checkpoints: Path
    logger: TrainingLogger | None
    evaluate: Evaluate
    draw_samples: Sample
    epoch_steps: int | None = None

    def show(self, activity: str) -> AbstractContextManager[None]:
        """A block during which the live display shows ``activity``."""
        return nullcontext() if self.logger is None else self.logger.busy(activity)


def train_loop(setup: TrainSetup, batches: Iterator[Sequence[MicroBatch]], hooks: RunHooks) -> None:
    """Train from ``setup.state.step`` to ``setup.steps``; ``batches`` starts at that step.

    A checkpoint, evaluation or sample grid that is due at a step follows that step. Ctrl-C and
    SIGTERM end the current step or evaluation, save the state and raise ``TrainingInterrupted``.
    Raises ``ValueError`` when no example can be read.
    """
    state, steps, recipe = setup.state, setup.steps, setup.recipe
    reporting, logger = recipe.reporting, hooks.logger
    clock = _CheckpointClock(reporting)
    with StopRequest(alone=setup.world.size == 1) as stop:

        def save() -> Path:
            clock.restart()
            return save_state(
                hooks.checkpoints,
                setup.model,
                setup.optimizer,
                state,
                setup.world,
                reporting.keep_checkpoints,
            )

        if state.evaluation_pending:
            _evaluate(hooks, state, stop)
        while state.step < steps and not state.evaluation_pending:
            factor = learning_rate_factor(state.step, steps, recipe.schedule)
            learning_rate = recipe.optimizer.learning_rate * factor
            setup.optimizer.set_rate(learning_rate)
            setup.model.train()
            metrics = train_step(setup, next(batches))
            step, is_last = state.step, state.step == steps
            _check_readable(state, steps, hooks)
            if logger is not None:
                logger.step(step, metrics.loss, metrics.examples)
                if should_run(step, reporting.log_every) or is_last or metrics.skipped:
                    logger.write("step", step, _log_line(metrics, learning_rate, setup))
            if should_run(step, reporting.evaluate_every) or is_last:
                _evaluate(hooks, state, stop)
            if should_run(step, reporting.sample_every) and not state.evaluation_pending:
                _draw_samples(hooks, step, stop)
            stopped, is_time = _agree(setup.world, stop, clock)
            if stopped:
                break
            if should_run(step, reporting.checkpoint_every) or is_last or is_time:
                save()
        if state.step < steps or state.evaluation_pending:
            raise TrainingInterrupted(stop.signal_number or 0, state.step, steps, save())


def should_run(step: int, every: int | None) -> bool:
    """Whether something that is due ``every`` so many steps is due after ``step``; 0 is never."""
    return every is not None and every > 0 and step % every == 0


def _log_line(metrics: StepMetrics, learning_rate: float, setup: TrainSetup) -> dict[str, float]:
    return {
        "loss": metrics.loss,
        "learning_rate": learning_rate,
        "gradient_norm": metrics.gradient_norm,
        "tokens": metrics.tokens,
        "examples": metrics.examples,
        "samples_seen": setup.state.step * setup.recipe.batch.size,
        "skipped": metrics.skipped,
        "skipped_so_far": setup.state.skipped,
        **metrics.auxiliary,
    }


def _evaluate(hooks: RunHooks, state: TrainState, stop: StopRequest) -> None:
    """Evaluate; an interrupted evaluation stays pending and runs again after a resume."""
    state.evaluation_pending = True
    try:
        with stop.phase(), hooks.show("evaluating"):
            metrics = hooks.evaluate(state.step)
    except PhaseInterrupted:
        return
    state.evaluation_pending = False
    if hooks.logger is not None and metrics:
        hooks.logger.write("evaluation", state.step, metrics)


def _draw_samples(hooks: RunHooks, step: int, stop: StopRequest) -> None:
    try:
        with stop.phase(), hooks.show("drawing samples"):
            hooks.draw_samples(step)
    except PhaseInterrupted:
        return


def _check_readable(state: TrainState, steps: int, hooks: RunHooks) -> None:
    """End a run without a readable example in two epochs of steps, or in all of a short run.

    Two, because examples are shuffled again in every epoch.
    """
    limit = _MAX_UNREADABLE if hooks.epoch_steps is None else 2 * hooks.epoch_steps
    in_a_row = state.unreadable_in_a_row
    if in_a_row > min(limit, _MAX_UNREADABLE) or state.unreadable == steps:
        raise ValueError(
            f"no example could be read in {in_a_row:,} steps in a row, up to step "
            f"{state.step:,}: the reasons are in {hooks.checkpoints.parent / PROBLEMS_FILE}"
        )


class _CheckpointClock:
    """Reports when a checkpoint is due by time."""

    def __init__(self, reporting: Reporting) -> None:
        self._seconds = 60 * reporting.checkpoint_minutes or math.inf
        self.restart()

    def restart(self) -> None:
        self._begin = time.monotonic()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._begin >= self._seconds


def _agree(
    world: DistributedContext, stop: StopRequest, clock: _CheckpointClock
) -> tuple[bool, bool]:
    """Whether to stop, and whether a checkpoint is due: the same on all processes."""
    stopped, due = stop.signal_number is not None, clock.due
    if world.size == 1:
        return stopped, due
    flags = torch.tensor([float(stopped), float(due and world.is_main)], device=world.device)
    any_stopped, main_due = world.total(flags).tolist()
    return any_stopped > 0, main_due > 0
