"""What is checked before the first step, so that nothing is found wrong after the work."""

from __future__ import annotations

import warnings

from ..model import Florence2Model
from ..model.checkpoint.state_dict_keys import LOGITS_BIAS, layout_name
from .distributed import Strategy
from .examples import Records
from .recipe import Augmentation, Layout, Recipe
from .run_inputs import count_shared_images
from .streaming import IterableRecords


def check_auxiliary(recipe: Recipe, strategy: Strategy, processes: int) -> None:
    """Raise ``ValueError`` when the recipe's settings of the dense task do not go together."""
    auxiliary = recipe.auxiliary
    if not auxiliary.dense_weight:
        for name in (
            "dense_only",
            "char_loss_weight",
            "attention_loss_weight",
            "encoder_probe_weight",
        ):
            if getattr(auxiliary, name):
                raise ValueError(f"auxiliary.{name} needs auxiliary.dense_weight above 0")
        return
    if auxiliary.encoder_probe_weight and auxiliary.dense_only:
        raise ValueError("auxiliary.encoder_probe_weight needs answers: auxiliary.dense_only off")
    if auxiliary.attention_loss_weight and (
        auxiliary.prompts_per_image < 2 or auxiliary.dense_only
    ):
        raise ValueError(
            "auxiliary.attention_loss_weight needs answers: auxiliary.prompts_per_image above 1, "
            "auxiliary.dense_only off"
        )
    if auxiliary.attention_loss_weight and recipe.gradient_checkpointing:
        raise ValueError("auxiliary.attention_loss_weight needs gradient_checkpointing off")
    if not auxiliary.dense_categories:
        raise ValueError(
            "auxiliary.dense_weight needs auxiliary.dense_categories: the names to tell apart"
        )
    if recipe.augmentation != Augmentation():
        raise ValueError("the dense task takes pictures as they are: leave augmentation off")
    if strategy == "fsdp" and processes > 1:
        raise ValueError("the dense task is for small models: use strategy ddp")


def check_layout(model: Florence2Model, layout: Layout) -> None:
    """Raise ``ValueError`` when the model cannot be saved in a layout, before it is trained."""
    for name, value in model.state_dict().items():
        if layout == "transformers" and name == LOGITS_BIAS:
            if bool(value.any()):
                raise ValueError(
                    "the start model has a logits bias that is not zero, which the transformers "
                    "layout cannot hold: --set layout=microsoft"
                )
        else:
            layout_name(name, layout)


def warn_of_shared_images(records: Records | IterableRecords, held_out: Records) -> None:
    """Warn when validation images are training images, by the checksums of their files."""
    shared = count_shared_images(records, held_out)
    if shared:
        warnings.warn(
            f"{shared:,} of {len(held_out):,} validation images are training images too: what is "
            "learned cannot judge, and the metrics will be too good",
            stacklevel=2,
        )
