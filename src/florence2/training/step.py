"""One optimiser step: forward and backward over micro-batches, then a clipped update.

The loss of a step is the mean over all target tokens of all its micro-batches and processes, so
neither accumulation nor the number of processes changes what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .auxiliary.dense import NOTHING, DenseLoss, ForwardOutputs, cell_weights, dense_loss
from .auxiliary.encoder_probe import edges_loss
from .batches import MicroBatch
from .checkpoints import TrainState
from .distributed import DistributedContext, gradients_kept_local
from .loss import IGNORE_INDEX, soft_location_loss, token_loss_sum
from .optimizers import Optimizers
from .recipe import AuxiliaryConfig, Precision, Recipe

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# The loss scale of fp16: where it starts, and how many good steps double it.
FIRST_LOSS_SCALE = 2.0**10
GROWTH_INTERVAL = 1000


class TrainingError(RuntimeError):
    """The run cannot go on; the message says why and what to change."""


@dataclass(frozen=True)
class StepMetrics:
    """What a step saw: mean loss per target token, counts over all processes, gradient norm.

    ``auxiliary`` holds the figures of what was learned besides, by name; the loss does not.
    """

    loss: float
    tokens: int
    examples: int
    gradient_norm: float
    skipped: bool
    auxiliary: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LocationSmoothing:
    """Soft targets for location tokens: the first one's id, and the deviation in bins (0: none)."""

    first_location: int = 0
    spread: float = 0.0


def train_step(
    model: nn.Module,
    optimizer: Optimizers,
    micro_batches: Sequence[MicroBatch],
    recipe: Recipe,
    world: DistributedContext,
    progress: TrainState,
    blur: LocationSmoothing = LocationSmoothing(),
) -> StepMetrics:
    """Learn from this process's micro-batches of one step, and count it in ``progress``.

    Gradients that are not finite skip the update; more than ``recipe.max_skipped_steps`` such
    steps in a row raise ``TrainingError``. A step without a readable example changes nothing.
    """
    optimizer.zero_grad(set_to_none=True)
    # The same names in the same order on all processes, whatever each of them sees.
    totals = dict.fromkeys(("loss", "tokens", "examples", *figures_of(recipe.auxiliary)), 0.0)
    for index, batch in enumerate(micro_batches):
        last = index + 1 == len(micro_batches)
        with (
            gradients_kept_local(model, local=not last),
            _attention(world.device, recipe.precision),
        ):
            losses = micro_batch_losses(
                model, batch, recipe.precision, blur, recipe.auxiliary.dense_area_weight_power
            )
            total = losses.total(batch.tokens, recipe.auxiliary)
            (total * progress.loss_scale).backward()  # type: ignore[no-untyped-call]
        totals["loss"] += losses.token_sum.item()
        totals["tokens"] += batch.tokens
        totals["examples"] += len(batch) if batch.tokens else 0
        for name, value in losses.figures().items():
            if name in totals:
                totals[name] += value * len(batch)
    summed = torch.tensor(list(totals.values()), dtype=torch.float64, device=world.device)
    totals = dict(zip(totals, world.total(summed).tolist(), strict=True))
    loss_sum, tokens, examples = (totals.pop(name) for name in ("loss", "tokens", "examples"))

    if not tokens:  # no example of this step could be read: there is nothing to learn from
        progress.step += 1
        progress.unreadable += 1
        progress.unreadable_in_a_row += 1
        return StepMetrics(math.nan, 0, 0, 0.0, skipped=True)
    progress.unreadable_in_a_row = 0

    # Backward passes summed over tokens and averaged over processes.
    factor = world.size / (tokens * progress.loss_scale)
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    norm = _norm(gradients) * factor
    finite = math.isfinite(norm) and math.isfinite(loss_sum + sum(totals.values()))
    if finite:
        clip = recipe.optimizer.clip_norm
        if clip > 0 and norm > clip:
            factor *= clip / norm
        for gradient in gradients:
            gradient.mul_(factor)
        optimizer.step()
    _count(progress, finite, recipe)
    auxiliary = {name: value / examples for name, value in totals.items()}
    return StepMetrics(loss_sum / tokens, int(tokens), int(examples), norm, not finite, auxiliary)


def figures_of(auxiliary: AuxiliaryConfig) -> tuple[str, ...]:
    """The names of the figures that a step tells of what is learned besides answering."""
    weights = {
        "dense_loss": auxiliary.dense_weight,
        "cells_right": auxiliary.dense_weight,
        "reading_loss": auxiliary.char_loss_weight,
        "letters_right": auxiliary.char_loss_weight,
        "looking_loss": auxiliary.attention_loss_weight,
        "encoder_loss": auxiliary.encoder_probe_weight,
        "encoder_cells_right": auxiliary.encoder_probe_weight,
        "encoder_letters_right": auxiliary.encoder_probe_weight * auxiliary.char_loss_weight,
    }
    return tuple(name for name, weight in weights.items() if weight)


@contextmanager
def _attention(device: torch.device, precision: Precision) -> Iterator[None]:
    """Attention as plain products for half precision on a processor, forward and backward.

    There the fused kernel's backward pass takes longer than all products of a small tower. The
    products are taken in half precision as all others are; PyTorch's own default would widen them.
    """
    if device.type != "cpu" or precision == "fp32":
        yield
        return
    # Named for CUDA, heeded on processors too.
    allowed: bool = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


@dataclass(frozen=True)
class EncoderLoss:
    """Of the dense task asked of the encoder: ``cells`` as the tower's, and that of the ``edges``
    of boxes in location tokens."""

    cells: DenseLoss
    edges: Tensor


@dataclass(frozen=True)
class Losses:
    """A micro-batch's loss summed over target tokens, that of the dense task if it is on, that
    of looking, summed over the ``asked`` tokens that are about a place, and what the encoder
    ``told``."""

    token_sum: Tensor
    dense: DenseLoss | None
    looking_sum: Tensor | None = None
    asked: int = 0
    told: EncoderLoss | None = None

    def total(self, tokens: int, auxiliary: AuxiliaryConfig) -> Tensor:
        """What to go backward from: the dense loss counts as much as that of every token."""
        if self.dense is None:
            return self.token_sum
        seen = (
            auxiliary.dense_weight * self.dense.loss
            + auxiliary.char_loss_weight * self.dense.reading.loss
        )
        if self.told is not None:
            cells = self.told.cells
            told = cells.loss + auxiliary.char_loss_weight * cells.reading.loss + self.told.edges
            seen = seen + auxiliary.encoder_probe_weight * told
        total = self.token_sum + tokens * seen
        if self.looking_sum is None:
            return total
        return total + auxiliary.attention_loss_weight * self.looking_sum

    def figures(self) -> dict[str, float]:
        """By the names of ``figures_of``, what there is: the losses of the dense task and of
        reading and the shares of cells and letters right, the loss of looking per token, and of
        the encoder the edges' loss and the shares right."""
        if self.dense is None:
            return {}
        dense, reading = self.dense, self.dense.reading
        figures = {
            "dense_loss": dense.loss,
            "cells_right": dense.right,
            "reading_loss": reading.loss,
            "letters_right": reading.right,
        }
        if self.looking_sum is not None:
            figures["looking_loss"] = self.looking_sum / max(self.asked, 1)
        if self.told is not None:
            cells = self.told.cells
            figures["encoder_loss"] = self.told.edges
            figures["encoder_cells_right"] = cells.right
            figures["encoder_letters_right"] = cells.reading.right
        return {name: value.item() for name, value in figures.items()}


def micro_batch_loss(model: nn.Module, batch: MicroBatch, precision: Precision) -> Tensor:
    """The summed loss of a micro-batch over its target tokens, a scalar to go backward from."""
    return micro_batch_losses(model, batch, precision).token_sum


def micro_batch_losses(
    model: nn.Module,
    batch: MicroBatch,
    precision: Precision,
    blur: LocationSmoothing = LocationSmoothing(),
    evenness: float = 0.0,
) -> Losses:
    """All losses of a micro-batch; ``evenness`` is the dense task's."""
    # Dropout is drawn per micro-batch, whoever computes it.
    torch.manual_seed(batch.seed)
    device_type = batch.pixels_BCHW.device.type
    loss_mask_BT = batch.labels_BT != IGNORE_INDEX
    asked = {} if batch.places_BTC is None else {"places_BTC": batch.places_BTC}
    if batch.classes_PHW is not None:
        asked["on_things_PHW"] = batch.classes_PHW != NOTHING
    with torch.autocast(device_type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST):
        seen = model(
            batch.pixels_BCHW,
            batch.prompt_BP,
            batch.decoder_BT,
            batch.padding_BP,
            loss_mask_BT=loss_mask_BT,
            image_index_B=batch.image_index_B,
            **asked,
        )
    if not isinstance(seen, ForwardOutputs):
        return Losses(_token_sum(seen, batch.labels_BT[loss_mask_BT], blur), None)
    assert batch.classes_PHW is not None and batch.boxes_PHW4 is not None
    targets = batch.classes_PHW, batch.boxes_PHW4, batch.letters_PHWS, evenness
    dense = dense_loss(seen.cells_PHWK, *targets)
    if seen.logits_MV is None:
        return Losses(torch.zeros(()), dense)
    losses = Losses(_token_sum(seen.logits_MV, batch.labels_BT[loss_mask_BT], blur), dense)
    if seen.told is not None:
        on_things_PHW = asked["on_things_PHW"]
        counts_PHW = cell_weights(batch.boxes_PHW4, on_things_PHW, evenness)
        edges = edges_loss(
            seen.told.edges_M4K,
            batch.boxes_PHW4[on_things_PHW],
            counts_PHW[on_things_PHW],
            blur.spread,
        )
        told = EncoderLoss(dense_loss(seen.told.cells_PHWK, *targets), edges)
        losses = replace(losses, told=told)
    if seen.looks is None or batch.places_BTC is None:
        return losses
    return replace(losses, looking_sum=-seen.looks, asked=int(batch.places_BTC.any(dim=-1).sum()))


def _token_sum(logits_MV: Tensor, labels_M: Tensor, blur: LocationSmoothing) -> Tensor:
    if blur.spread:
        return soft_location_loss(logits_MV, labels_M, blur.first_location, blur.spread)
    return token_loss_sum(logits_MV, labels_M)


def _norm(gradients: Sequence[Tensor]) -> float:
    total = torch.nn.utils.get_total_norm(list(gradients))
    # Sharded gradients give a norm that is itself spread over the processes.
    full = getattr(total, "full_tensor", None)
    return float(full() if full is not None else total)


def _count(progress: TrainState, finite: bool, recipe: Recipe) -> None:
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
