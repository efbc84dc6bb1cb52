"""The number of steps of a run, and the learning rate of a step. Pure functions."""

from __future__ import annotations

import math

from .recipe import Recipe, Schedule


def total_steps(recipe: Recipe, epoch_length: int | None) -> int:
    """Optimizer steps of the whole run over ``epoch_length`` examples an epoch.

    Raises ``ValueError`` for an endless source (``None``) and a schedule without ``samples``.
    """
    samples = recipe.schedule.samples
    if samples is None:
        if epoch_length is None:
            raise ValueError("an endless source has no epochs: set schedule.samples")
        samples = round(recipe.schedule.epochs * epoch_length)
    return max(1, math.ceil(samples / recipe.batch.size))


def learning_rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """The fraction of the peak rate at ``step`` (0 is the first) of ``steps``.

    Warm-up takes at most half of the run, so that a short run reaches its peak rate too.
    """
    warmup = min(schedule.warmup_steps, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.shape == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2
