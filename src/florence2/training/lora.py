"""Low-rank adapters on disk, as peft writes them, named as in transformers' layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..io.atomic import replace_json
from ..model.checkpoint.state_dict_keys import layout_name
from ..model.checkpoint.tensor_files import write_tensors
from .recipe import Lora

_FACTOR = re.compile(r"(.+)\.lora_(A|B)\.default\.weight")


def save_adapter(model: nn.Module, lora: Lora, directory: Path) -> None:
    """Write the adapters that were trained, for ``load(..., adapter=)`` or for peft.

    ``model`` is the gathered one, with its adapters still apart from the weights.
    """
    tensors: dict[str, Tensor] = {}
    modules: set[str] = set()
    for name, value in model.state_dict().items():
        if found := _FACTOR.fullmatch(name):
            ours, factor = found.groups()
            theirs = layout_name(f"{ours}.weight", "transformers").removesuffix(".weight")
            modules.add(theirs)
            tensors[f"base_model.model.{theirs}.lora_{factor}.weight"] = value.detach().cpu()
    write_tensors(directory / "adapter_model.safetensors", tensors)
    replace_json(directory / "adapter_config.json", _config(lora, sorted(modules)))


def _config(lora: Lora, modules: list[str]) -> Mapping[str, object]:
    return {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": lora.rank_stabilized,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
