"""The objective of a run: the language-model loss and the auxiliary losses of its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ...model import Florence2Model
from ..batches import MicroBatch
from ..loss import TokenLoss, token_loss_sum
from ..recipe import Augmentation, AuxiliaryConfig, Recipe
from ..step import Losses
from .char_head import char_loss
from .dense import (
    BACKGROUND,
    DenseHeadModel,
    ForwardOutputs,
    cell_weights,
    character_outputs,
    dense_loss,
)
from .encoder_probe import ProbeOutputs, edge_loss
from .location_smoothing import smoothing_sigma, soft_location_loss


def check_auxiliary(recipe: Recipe, strategy: str, processes: int) -> None:
    """Raise ``ValueError`` when the auxiliary objectives of a recipe cannot be combined."""
    config = recipe.auxiliary
    if not config.dense_weight:
        for name in (
            "dense_only",
            "char_loss_weight",
            "attention_loss_weight",
            "encoder_probe_weight",
        ):
            if getattr(config, name):
                raise ValueError(f"auxiliary.{name} needs auxiliary.dense_weight above 0")
        return
    if config.encoder_probe_weight and config.dense_only:
        raise ValueError(
            "auxiliary.encoder_probe_weight needs the language model: auxiliary.dense_only off"
        )
    if config.attention_loss_weight and (config.prompts_per_image < 2 or config.dense_only):
        raise ValueError(
            "auxiliary.attention_loss_weight needs the language model: "
            "auxiliary.prompts_per_image above 1, auxiliary.dense_only off"
        )
    if config.attention_loss_weight and recipe.gradient_checkpointing:
        raise ValueError("auxiliary.attention_loss_weight needs gradient_checkpointing off")
    if not config.dense_categories:
        raise ValueError("auxiliary.dense_weight needs auxiliary.dense_categories, the class names")
    if recipe.augmentation != Augmentation():
        raise ValueError("auxiliary.dense_weight needs augmentation off")
    if strategy == "fsdp" and processes > 1:
        raise ValueError("auxiliary.dense_weight needs strategy ddp")


def add_heads(model: Florence2Model, recipe: Recipe, first_location: int) -> nn.Module:
    """The model with the heads of its auxiliary objectives; itself when it needs none.

    The heads are loaded from the start checkpoint if it has them.
    """
    config = recipe.auxiliary
    if not config.dense_weight:
        return model
    heads = DenseHeadModel(
        model,
        len(config.dense_categories),
        config.dense_only,
        config.char_loss_weight > 0,
        first_location if config.encoder_probe_weight else None,
    )
    heads.load_heads(Path(recipe.start))
    return heads


def remove_heads(model: nn.Module) -> Florence2Model:
    """The model inside what ``add_heads`` returned."""
    inner = model.model if isinstance(model, DenseHeadModel) else model
    assert isinstance(inner, Florence2Model)
    return inner


def save_heads(model: nn.Module, checkpoint: Path) -> None:
    """Write the heads of ``add_heads``, if there are any, into a checkpoint's directory."""
    if isinstance(model, DenseHeadModel):
        model.save_heads(checkpoint)


class AuxiliaryObjective:
    """Computes all losses of a recipe's objectives from what the model of ``add_heads`` returns."""

    def __init__(self, config: AuxiliaryConfig, first_location: int) -> None:
        self.config, self.first_location = config, first_location

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics of the objectives with a weight."""
        config = self.config
        weights = {
            "dense_loss": config.dense_weight,
            "cell_accuracy": config.dense_weight,
            "char_loss": config.char_loss_weight,
            "char_accuracy": config.char_loss_weight,
            "attention_loss": config.attention_loss_weight,
            "encoder_edge_loss": config.encoder_probe_weight,
            "encoder_cell_accuracy": config.encoder_probe_weight,
            "encoder_char_accuracy": config.encoder_probe_weight * config.char_loss_weight,
        }
        return tuple(name for name, weight in weights.items() if weight)

    def compute(
        self, outputs: Tensor | ForwardOutputs, batch: MicroBatch, progress: float
    ) -> Losses:
        """All losses of a micro-batch when ``progress`` (0 to 1) of the run is done.

        Losses of the image count as much as those of every target token together.
        """
        sigma = smoothing_sigma(self.config, progress)
        if not isinstance(outputs, ForwardOutputs):
            return {"tokens": self._token_loss(sigma)(outputs, batch.target_ids)}, {}
        losses, metrics = self._cell_losses(
            outputs.cells_PHWK, batch.targets, self.config.dense_weight
        )
        if outputs.probe is not None:
            probe_losses, probe_metrics = self._probe_losses(outputs.probe, batch.targets, sigma)
            losses, metrics = losses | probe_losses, metrics | probe_metrics
        losses = {name: batch.tokens * loss for name, loss in losses.items()}
        if outputs.attention is not None:
            loss = -outputs.attention
            tokens = int(batch.targets["regions"].any(dim=-1).sum())
            losses["attention"] = self.config.attention_loss_weight * loss
            metrics["attention_loss"] = loss / max(tokens, 1)
        losses["tokens"] = (
            torch.zeros(())
            if outputs.logits_MV is None
            else self._token_loss(sigma)(outputs.logits_MV, batch.target_ids)
        )
        return losses, metrics

    def _token_loss(self, sigma: float) -> TokenLoss:
        if not sigma:
            return token_loss_sum
        return partial(soft_location_loss, first_location=self.first_location, sigma=sigma)

    def _cell_losses(
        self,
        cells_PHWK: Tensor,
        targets: Mapping[str, Tensor],
        dense_weight: float,
        prefix: str = "",
    ) -> Losses:
        """The dense loss and the character loss of a head's outputs."""
        config = self.config
        dense = dense_loss(cells_PHWK, targets, config.dense_area_weight_power)
        losses = {f"{prefix}dense": dense_weight * dense.loss}
        metrics = {f"{prefix}dense_loss": dense.loss, f"{prefix}cell_accuracy": dense.accuracy}
        if "characters" in targets:
            characters = char_loss(character_outputs(cells_PHWK), targets["characters"])
            losses[f"{prefix}characters"] = config.char_loss_weight * characters.loss
            metrics[f"{prefix}char_loss"] = characters.loss
            metrics[f"{prefix}char_accuracy"] = characters.accuracy
        return losses, metrics

    def _probe_losses(
        self, probe: ProbeOutputs, targets: Mapping[str, Tensor], sigma: float
    ) -> Losses:
        """The same losses of the encoder's states, and that of the edges' locations."""
        config = self.config
        losses, metrics = self._cell_losses(probe.cells_PHWK, targets, 1.0, "encoder_")
        is_object_PHW = targets["classes"] != BACKGROUND
        boxes_PHW4 = targets["boxes"]
        weights_PHW = cell_weights(boxes_PHW4, is_object_PHW, config.dense_area_weight_power)
        edges = edge_loss(
            probe.edges_M4K, boxes_PHW4[is_object_PHW], weights_PHW[is_object_PHW], sigma
        )
        losses["encoder_edges"] = edges
        metrics["encoder_edge_loss"] = edges
        weight = config.encoder_probe_weight
        return {name: weight * loss for name, loss in losses.items()}, metrics
