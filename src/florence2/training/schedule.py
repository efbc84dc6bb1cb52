"""The learning rate of a step, and the number of steps of a run. Pure functions."""

from __future__ import annotations

import math

from .recipe import AuxiliaryConfig, Recipe, Schedule


def total_steps(recipe: Recipe, examples: int | None) -> int:
    """Optimiser steps of the whole run over ``examples`` image-annotation pairs an epoch.

    Raises ``ValueError`` when an endless source (``None``) meets a schedule without ``samples``.
    """
    samples = recipe.schedule.samples
    if samples is None:
        if examples is None:
            raise ValueError("an endless source has no epochs: set schedule.samples")
        samples = round(recipe.schedule.epochs * examples)
    return max(1, math.ceil(samples / recipe.batch.size))


def learning_rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """The fraction of the peak rate at ``step`` (0 is the first) of ``steps``.

    Warm-up takes at most half of the run, so that a short one reaches its rate too.
    """
    warmup = min(schedule.warmup_steps, steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.shape == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * progress)) / 2


def location_spread(step: int, steps: int, auxiliary: AuxiliaryConfig) -> float:
    """The deviation in bins of soft location targets at ``step`` of ``steps``; 0 for hard ones."""
    if auxiliary.final_location_smoothing_sigma is None:
        return auxiliary.location_smoothing_sigma
    progress = min(1.0, step / max(1, steps - 1))
    return auxiliary.location_smoothing_sigma + progress * (
        auxiliary.final_location_smoothing_sigma - auxiliary.location_smoothing_sigma
    )
