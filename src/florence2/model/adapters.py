"""Low-rank adapters in peft's files, merged into a model's weights.

An adapter names the modules it changes as its model did: in Microsoft's layout, transformers', or
ours. All three are understood, and a merge leaves a plain model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .files import CheckpointError, read_json, read_tensors
from .florence2 import Florence2Model
from .names import EMBEDDING, HEAD, LAYOUTS, LOGITS_BIAS, layout_name, tied_names

_CONFIG_FILE = "adapter_config.json"
_WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_PART = re.compile(
    r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.default)?(?:\.weight)?"
)


def merge_adapter(model: Florence2Model, directory: str | Path) -> None:
    """Add the adapter in ``directory`` to the weights of ``model``, in float32.

    Raises ``CheckpointError`` for an adapter of another kind or model: it names the file, the
    tensor and the remedy.
    """
    directory = Path(directory)
    config = read_json(directory / _CONFIG_FILE)
    if str(config.get("peft_type", "LORA")).upper() != "LORA" or config.get("use_dora"):
        kind = "DoRA" if config.get("use_dora") else config["peft_type"]
        raise CheckpointError(
            f"{directory / _CONFIG_FILE}: {kind} adapters cannot be merged here; only LoRA can: "
            "merge it with peft and load the result"
        )
    path = next((directory / name for name in _WEIGHT_FILES if (directory / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{directory} holds neither {' nor '.join(_WEIGHT_FILES)}")
    parameters = dict(model.named_parameters())
    known = _known_names(parameters)
    heads = {tied_names(layout)[-1].removesuffix(".weight") for layout in LAYOUTS} | {"head"}
    factors: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(path).items():
        name = key.removeprefix(_PREFIX)
        if found := _PART.fullmatch(name):
            module, part = found.groups()
            factors.setdefault(module, {})[part[-1]] = value
        else:
            _replace(parameters, known, name, value, path)
    if not factors:
        raise CheckpointError(f"{path} holds no LoRA factors: it is not a LoRA adapter")
    for module, pair in factors.items():
        target = known.get(f"{module}.weight")
        if module in heads:
            # An adapter on the output head leaves the embedding, to which it was tied, alone.
            model.untie_head()
            parameters, target = dict(model.named_parameters()), HEAD
        elif target == EMBEDDING:
            raise CheckpointError(
                f"{path}: {module} is tied to the output head, so an adapter on it has no one "
                "meaning: merge it with peft and load the result"
            )
        if target is None:
            raise CheckpointError(
                f"{path}: this model has no module {module}: the adapter is of another model"
            )
        _add(parameters[target], pair, _scale(config, module, pair), f"{path}: {module}")


def _known_names(parameters: Mapping[str, Tensor]) -> dict[str, str]:
    """Every name that any layout has for a parameter, to ours."""
    known: dict[str, str] = {}
    for layout in LAYOUTS:
        for name in tied_names(layout):
            known[name] = EMBEDDING
        for ours in parameters:
            if ours != LOGITS_BIAS:
                known[layout_name(ours, layout)] = ours
    if HEAD not in parameters:
        known[HEAD] = EMBEDDING
    return known | {ours: ours for ours in parameters}


def _scale(config: Mapping[str, Any], module: str, pair: Mapping[str, Tensor]) -> float:
    """What the product of the factors is multiplied by."""
    held = pair["A"].shape[0] if "A" in pair else 8
    rank = _pattern(config.get("rank_pattern"), module, config.get("r", held))
    alpha = _pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", rank))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> float:
    """The value of the pattern that a module's name ends with, as peft matches them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(value)
    return float(default)


def _add(weight: Tensor, pair: Mapping[str, Tensor], scale: float, name: str) -> None:
    if set(pair) != {"A", "B"}:
        raise CheckpointError(f"{name} has only factor {', '.join(pair)}; both are needed")
    down, up = pair["A"].float(), pair["B"].float()
    try:
        if down.ndim == 4 and down.shape[2:] != (1, 1):
            if weight.shape[1] != down.shape[1]:
                raise CheckpointError(
                    f"{name}: adapters of depthwise convolutions cannot be merged"
                )
            delta = torch.nn.functional.conv2d(down.transpose(0, 1), up).transpose(0, 1)
        else:
            delta = (up.flatten(1) @ down.flatten(1)).reshape(-1)
            delta = delta.view(weight.shape)
    except RuntimeError as error:
        raise CheckpointError(
            f"{name}: factors {list(down.shape)} and {list(up.shape)} do not fit the weight "
            f"{list(weight.shape)}: the adapter is of another model size"
        ) from error
    with torch.no_grad():
        weight.copy_((weight.float() + delta.to(weight.device) * scale).to(weight.dtype))


def _replace(
    parameters: Mapping[str, Tensor],
    known: Mapping[str, str],
    name: str,
    value: Tensor,
    path: Path,
) -> None:
    """Put in a tensor that the adapter carries whole (a bias, or a module that was saved)."""
    plain = name.replace(".modules_to_save.default", "").replace(".modules_to_save", "")
    plain = plain.replace(".base_layer", "")
    target = known.get(plain)
    if target is None or parameters[target].shape != value.shape:
        raise CheckpointError(
            f"{path}: {name} {list(value.shape)} fits nothing in this model: the adapter is of "
            "another model"
        )
    with torch.no_grad():
        parameters[target].copy_(value)
