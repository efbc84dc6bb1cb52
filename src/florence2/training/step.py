"""One optimizer step: forward and backward over micro-batches, then a clipped update.

The loss of a step is the mean over all target tokens of all its micro-batches and processes, so
neither gradient accumulation nor the number of processes changes what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .batches import MicroBatch
from .checkpoints import TrainState
from .distributed import DistributedContext, no_sync
from .loss import IGNORE_INDEX, token_loss_sum
from .optimizers import Optimizers
from .recipe import Precision, Recipe

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# The loss scale of fp16: its initial value, and the number of good steps after which it doubles.
INITIAL_LOSS_SCALE = 2.0**10
GROWTH_INTERVAL = 1000

# Scalars by name: losses, each summed over target tokens, and metrics, each a mean over examples.
Losses = tuple[dict[str, Tensor], dict[str, Tensor]]


class TrainingError(RuntimeError):
    """Training diverges; the message has the reason and what to change."""


class Objective(Protocol):
    """Computes losses and metrics from what the model returns for a micro-batch."""

    @property
    def metric_names(self) -> Sequence[str]:
        """The metrics that are logged, in the same order on all processes."""
        ...

    def compute(self, outputs: Any, batch: MicroBatch, progress: float) -> Losses:
        """Losses and metrics; "tokens" is the loss of the language model.

        ``progress`` (0 to 1) is the part of the run that is done.
        """
        ...


class TokenObjective:
    """The language-model loss alone."""

    metric_names: Sequence[str] = ()

    def compute(self, outputs: Tensor, batch: MicroBatch, progress: float) -> Losses:
        """The cross entropy of the target tokens."""
        return {"tokens": token_loss_sum(outputs, batch.target_ids)}, {}


@dataclass(frozen=True)
class TrainSetup:
    """What the steps of a run work with; ``state`` is changed by every step.

    ``model`` is what is called, replicated or sharded; ``steps`` is the length of the run.
    """

    model: nn.Module
    optimizer: Optimizers
    recipe: Recipe
    world: DistributedContext
    state: TrainState
    steps: int
    objective: Objective = field(default_factory=TokenObjective)

    @property
    def progress(self) -> float:
        """The part of the run that is done, from 0 at the first step to 1 at the last."""
        return min(1.0, self.state.step / max(1, self.steps - 1))


@dataclass(frozen=True)
class StepMetrics:
    """Mean loss per target token, counts over all processes, and the norm of the gradient.

    ``auxiliary`` are the metrics of the objective, by name; ``loss`` does not include them.
    """

    loss: float
    tokens: int
    examples: int
    gradient_norm: float
    skipped: bool
    auxiliary: Mapping[str, float] = field(default_factory=dict)


def train_step(setup: TrainSetup, micro_batches: Sequence[MicroBatch]) -> StepMetrics:
    """Train on this process's micro-batches of one step, and count the step in the state.

    Gradients that are not finite skip the update; more than ``recipe.max_skipped_steps``
    consecutive skips raise ``TrainingError``. A step without a readable example changes nothing.
    """
    state, world, recipe = setup.state, setup.world, setup.recipe
    setup.optimizer.zero_grad(set_to_none=True)
    # The same names in the same order on all processes, also if examples of one are unreadable.
    names = ("loss", "tokens", "examples", *setup.objective.metric_names)
    sums = dict.fromkeys(names, 0.0)
    for index, batch in enumerate(micro_batches):
        is_last = index + 1 == len(micro_batches)
        with (
            no_sync(setup.model, active=not is_last),
            _math_attention(world.device, recipe.precision),
        ):
            outputs = forward(setup.model, batch, recipe.precision)
            losses, metrics = setup.objective.compute(outputs, batch, setup.progress)
            total = reduce(add, losses.values())
            (total * state.loss_scale).backward()  # type: ignore[no-untyped-call]
        examples = len(batch) if batch.tokens else 0
        sums["loss"] += losses["tokens"].item()
        sums["tokens"] += batch.tokens
        sums["examples"] += examples
        for name in setup.objective.metric_names:
            sums[name] += metrics[name].item() * examples if examples else 0.0
    all_sums = torch.tensor(list(sums.values()), dtype=torch.float64, device=world.device)
    loss_sum, tokens, examples, *metric_sums = world.total(all_sums).tolist()

    if not tokens:  # no example of this step could be read
        state.step += 1
        state.unreadable += 1
        state.unreadable_in_a_row += 1
        return StepMetrics(math.nan, 0, 0, 0.0, skipped=True)
    # Losses are summed over tokens; backward passes averaged gradients over processes.
    factor = world.size / (tokens * state.loss_scale)
    gradients = [each.grad for each in setup.model.parameters() if each.grad is not None]
    norm = _total_norm(gradients) * factor
    is_finite = math.isfinite(norm) and math.isfinite(loss_sum + sum(metric_sums))
    if is_finite:
        max_norm = recipe.optimizer.clip_norm
        if max_norm > 0 and norm > max_norm:
            factor *= max_norm / norm
        for gradient in gradients:
            gradient.mul_(factor)
        setup.optimizer.step()
    _count_step(state, is_finite, recipe)
    means = [value / examples for value in metric_sums]
    auxiliary = dict(zip(setup.objective.metric_names, means, strict=True))
    return StepMetrics(
        loss_sum / tokens, int(tokens), int(examples), norm, not is_finite, auxiliary
    )


def forward(model: nn.Module, batch: MicroBatch, precision: Precision) -> Any:
    """What the model returns for a micro-batch: logits ``float[M, V]`` at its target tokens.

    A model with auxiliary heads gets the batch's auxiliary targets too and returns more.
    """
    # Dropout depends on the micro-batch, not on the process that computes it.
    torch.manual_seed(batch.seed)
    device_type = batch.pixels_BCHW.device.type
    targets = {"targets": batch.targets} if batch.targets else {}
    with torch.autocast(device_type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST):
        return model(
            batch.pixels_BCHW,
            batch.prompt_BP,
            batch.decoder_BT,
            batch.padding_BP,
            loss_mask_BT=batch.labels_BT != IGNORE_INDEX,
            image_index_B=batch.image_index_B,
            **targets,
        )


@contextmanager
def _math_attention(device: torch.device, precision: Precision) -> Iterator[None]:
    """Attention as plain matmuls in half precision on a CPU, forward and backward.

    There the backward pass of the fused kernel takes longer than all matmuls of a small vision
    encoder. The matmuls stay in half precision; PyTorch's default would compute them in fp32.
    """
    if device.type != "cpu" or precision == "fp32":
        yield
        return
    # Named for CUDA, but used on CPUs too.
    allowed: bool = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


def _total_norm(gradients: Sequence[Tensor]) -> float:
    total = torch.nn.utils.get_total_norm(list(gradients))
    # The norm of sharded gradients is itself spread over the processes.
    full = getattr(total, "full_tensor", None)
    return float(full() if full is not None else total)


def _count_step(state: TrainState, is_finite: bool, recipe: Recipe) -> None:
    """Count a step, and adapt the loss scale of fp16."""
    state.step += 1
    state.unreadable_in_a_row = 0
    if is_finite:
        state.skipped_in_a_row = 0
        state.good_steps += 1
        if recipe.precision == "fp16" and state.good_steps % GROWTH_INTERVAL == 0:
            state.loss_scale *= 2
        return
    state.skipped += 1
    state.skipped_in_a_row += 1
    state.good_steps = 0
    if recipe.precision == "fp16":
        state.loss_scale = max(state.loss_scale / 2, 1.0)
    if state.skipped_in_a_row > recipe.max_skipped_steps:
        raise TrainingError(
            f"gradients were not finite for {state.skipped_in_a_row} steps in a row, up to step "
            f"{state.step}: lower optimizer.learning_rate or use precision fp32 or bf16"
        )
