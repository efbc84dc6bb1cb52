"""One optimiser step: forward and backward over micro-batches, then a clipped update.

The loss of a step is the mean over all target tokens of all its micro-batches and processes, so
neither accumulation nor the number of processes changes what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .batches import MicroBatch
from .checkpoints import Progress
from .distributed import World, gradients_kept_local
from .loss import IGNORED, token_loss_sum
from .recipe import Precision, Recipe

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# The loss scale of fp16: where it starts, and how many good steps double it.
FIRST_LOSS_SCALE = 2.0**10
GROWTH_INTERVAL = 1000


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what to change."""


@dataclass(frozen=True)
class StepOutcome:
    """What a step saw: mean loss per target token, counts over all processes, gradient norm."""

    loss: float
    tokens: int
    examples: int
    gradient_norm: float
    skipped: bool


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    micro_batches: Sequence[MicroBatch],
    recipe: Recipe,
    world: World,
    progress: Progress,
) -> StepOutcome:
    """Learn from this process's micro-batches of one step, and count it in ``progress``.

    Gradients that are not finite skip the update; more than ``recipe.max_skipped_steps`` such
    steps in a row raise ``TrainingError``.
    """
    optimizer.zero_grad(set_to_none=True)
    totals = torch.zeros(3, dtype=torch.float64, device=world.device)
    for index, batch in enumerate(micro_batches):
        last = index + 1 == len(micro_batches)
        with gradients_kept_local(model, local=not last):
            loss_sum = micro_batch_loss(model, batch, recipe.precision)
            (loss_sum * progress.loss_scale).backward()  # type: ignore[no-untyped-call]
        totals += torch.tensor([loss_sum.item(), batch.tokens, len(batch)], device=world.device)
    loss_sum_, tokens, examples = world.total(totals).tolist()

    # Backward passes summed over tokens and averaged over processes.
    factor = world.size / (tokens * progress.loss_scale)
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    norm = _norm(gradients) * factor
    finite = math.isfinite(norm) and math.isfinite(loss_sum_)
    if finite:
        clip = recipe.optimizer.clip_norm
        if clip > 0 and norm > clip:
            factor *= clip / norm
        for gradient in gradients:
            gradient.mul_(factor)
        optimizer.step()
    _count(progress, finite, recipe)
    return StepOutcome(loss_sum_ / tokens, int(tokens), int(examples), norm, not finite)


def micro_batch_loss(model: nn.Module, batch: MicroBatch, precision: Precision) -> Tensor:
    """The summed loss of a micro-batch over its target tokens, a scalar to go backward from."""
    # Dropout is drawn per micro-batch, whoever computes it.
    torch.manual_seed(batch.seed)
    device_type = batch.pixels_BCHW.device.type
    wanted_BT = batch.labels_BT != IGNORED
    with torch.autocast(device_type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST):
        logits_MV = model(
            batch.pixels_BCHW,
            batch.prompt_BP,
            batch.decoder_BT,
            batch.padding_BP,
            wanted_BT=wanted_BT,
        )
    return token_loss_sum(logits_MV, batch.labels_BT[wanted_BT])


def _norm(gradients: Sequence[Tensor]) -> float:
    total = torch.nn.utils.get_total_norm(list(gradients))
    # Sharded gradients give a norm that is itself spread over the processes.
    full = getattr(total, "full_tensor", None)
    return float(full() if full is not None else total)


def _count(progress: Progress, finite: bool, recipe: Recipe) -> None:
    """Note how the step went, and move the loss scale of fp16."""
    progress.step += 1
    if finite:
        progress.skipped_in_a_row = 0
        progress.good_steps += 1
        if recipe.precision == "fp16" and progress.good_steps % GROWTH_INTERVAL == 0:
            progress.loss_scale *= 2
        return
    progress.skipped += 1
    progress.skipped_in_a_row += 1
    progress.good_steps = 0
    if recipe.precision == "fp16":
        progress.loss_scale = max(progress.loss_scale / 2, 1.0)
    if progress.skipped_in_a_row > recipe.max_skipped_steps:
        raise TrainingError(
            f"gradients were not finite for {progress.skipped_in_a_row} steps in a row, up to step "
            f"{progress.step}: lower optimizer.learning_rate or use precision fp32 or bf16"
        )
