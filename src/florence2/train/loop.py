"""The training loop: one function, from the first step to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from torch import nn

from .batches import MicroBatch
from .checkpoints import Progress, save_state
from .distributed import World
from .optimizers import Optimizers
from .recipe import Recipe
from .reporting import RunReport
from .schedule import learning_rate_factor, location_spread
from .step import Blur, take_step

# Called on every process with the number of steps done; the main process returns figures.
Evaluate = Callable[[int], Mapping[str, float]]
Sample = Callable[[int], None]


def run_steps(
    model: nn.Module,
    optimizer: Optimizers,
    batches: Iterator[Sequence[MicroBatch]],
    progress: Progress,
    steps: int,
    recipe: Recipe,
    world: World,
    checkpoints: Path,
    report: RunReport | None,
    evaluate: Evaluate,
    draw_samples: Sample,
    first_location: int,
) -> None:
    """Train from ``progress.step`` to ``steps``; ``batches`` starts at ``progress.step``.

    ``first_location`` is the id of the first location token. Every due checkpoint, evaluation and
    sample comes after the step it is named for.
    """
    reporting = recipe.reporting
    while progress.step < steps:
        rate = recipe.optimizer.learning_rate * learning_rate_factor(
            progress.step, steps, recipe.schedule
        )
        optimizer.set_rate(rate)

        model.train()
        blur = Blur(first_location, location_spread(progress.step, steps, recipe.aids))
        outcome = take_step(model, optimizer, next(batches), recipe, world, progress, blur)
        step, last = progress.step, progress.step == steps

        if report is not None:
            report.step(step, outcome.loss, outcome.examples)
            if _due(step, reporting.log_every) or last or outcome.skipped:
                report.write(
                    "step",
                    step,
                    {
                        "loss": outcome.loss,
                        "learning_rate": rate,
                        "gradient_norm": outcome.gradient_norm,
                        "tokens": outcome.tokens,
                        "examples": outcome.examples,
                        "samples_seen": step * recipe.batch.size,
                        "skipped": outcome.skipped,
                        "skipped_so_far": progress.skipped,
                        **outcome.aids,
                    },
                )
        if _due(step, reporting.evaluate_every) or last:
            figures = evaluate(step)
            if report is not None and figures:
                report.write("evaluation", step, figures)
        if _due(step, reporting.sample_every):
            draw_samples(step)
        if _due(step, reporting.checkpoint_every) or last:
            save_state(checkpoints, model, optimizer, progress, world, reporting.keep_checkpoints)


def _due(step: int, every: int | None) -> bool:
    return every is not None and every > 0 and step % every == 0
