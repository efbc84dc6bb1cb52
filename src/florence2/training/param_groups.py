"""What a run trains: frozen parts, LoRA adapters, and the optimiser's parameter groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..model import Florence2Model
from .recipe import Lora, Optimizer, Trainable

# The linear layers that adapters go on. Depthwise convolutions and norms stay as they are.
_LORA_TARGETS = (
    r"attention\.(qkv|out)",
    r"feed_forward\.(up|down)",
    r"(self_attention|cross_attention)\.(query|key|value|out)",
)


def prepare_trainable(model: Florence2Model, trainable: Trainable, lora: Lora) -> None:
    """Freeze what ``trainable`` freezes, and put adapters on where it asks for LoRA.

    A frozen parameter has ``requires_grad`` off: it gets no gradient, no optimiser state and no
    weight decay.
    """
    if trainable == "lora":
        _add_adapters(model, lora)
        return
    frozen = _FROZEN[trainable]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen(name))


def parameter_groups(model: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Two groups for AdamW: matrices with weight decay; biases and norms without."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("nothing is left to train: every parameter is frozen")
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    plain = [parameter for parameter in trained if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": optimizer.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _add_adapters(model: Florence2Model, lora: Lora) -> None:
    unknown = set(lora.parts) - {"tower", "encoder", "decoder"}
    if unknown or not lora.parts:
        raise ValueError(f"lora.parts are of tower, encoder, decoder; got {lora.parts}")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ImportError('LoRA needs peft: pip install "florence2[train]"') from error
    parts = ["vision_encoder" if part == "tower" else part for part in lora.parts]
    pattern = rf"({'|'.join(parts)})\..*({'|'.join(_LORA_TARGETS)})"
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.rank_stabilized,
        target_modules=pattern,
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    inject_adapter_in_model(config, model)


_FROZEN: dict[str, Callable[[str], bool]] = {
    "full": lambda name: False,
    # The paper's transfer table: freezing the first two stages costs 0.3 box AP of 53.6.
    "vision-stages-1-2-frozen": lambda name: name.startswith(
        ("vision_encoder.stages.0.", "vision_encoder.stages.1.")
    ),
    # The same table: freezing all four costs 5.3.
    "vision-frozen": lambda name: name.startswith("vision_encoder."),
    # For a first phase in which the tower alone learns, by the dense task.
    "tower": lambda name: not name.startswith("vision_encoder."),
}
