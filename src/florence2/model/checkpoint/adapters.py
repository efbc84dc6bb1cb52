"""Low-rank adapters in peft's files, merged into a model's weights.

An adapter has the module names of its model: in Microsoft's layout, transformers', or this
package's. All three are supported. The merged model is an ordinary one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..florence2 import Florence2Model
from .state_dict_keys import EMBEDDING, HEAD, LAYOUTS, current_key, layout_name, tied_names
from .tensor_files import STORED_TYPES, CheckpointError, read_json, read_tensors

_CONFIG_FILE = "adapter_config.json"
_WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_PART = re.compile(
    r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.default)?(?:\.weight)?"
)
# Kinds of adapters of peft that are more than a product of factors; they are not supported.
_OTHER_KINDS = {
    "use_dora": "DoRA",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "lora_bias": "LoRA-bias",
    "trainable_token_indices": "trainable-token",
    "target_parameters": "parameter",
}
# What the keys of ``rank_pattern`` and ``alpha_pattern`` may hold: names, alternatives, classes of
# characters, and at most two repeats, so that matching takes linear time.
_PATTERN = re.compile(r"(?:\.\*|\\d\+|\\[.d]|\[[\w-]+\]|[\w.|^$-])+")
_MAX_REPEATS, _MAX_PATTERN_LENGTH, _MAX_PATTERNS = 2, 200, 2_000
# Any other initialization moves a share of the base weights into the factors.
_PLAIN_INITS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")


def adapter_directory(path: str | Path) -> Path:
    """The directory of an adapter. Raises ``CheckpointError`` if it has no adapter."""
    directory = Path(path)
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory / _CONFIG_FILE} is missing: give the directory of a LoRA adapter"
        )
    if not (directory / _CONFIG_FILE).is_file():
        inside = directory / "adapter"
        hint = f": the adapter is in {inside}" if (inside / _CONFIG_FILE).is_file() else ""
        raise CheckpointError(f"{directory / _CONFIG_FILE} is missing{hint}")
    return directory


def merge_adapter_files(model: Florence2Model, directory: str | Path) -> None:
    """Add the adapter in ``directory`` to the weights of ``model``, in float32.

    An adapter that changes the output head alone unties it from the embedding. Raises
    ``CheckpointError`` for an adapter of another kind or model, with the file, the tensor and the
    remedy.
    """
    directory = adapter_directory(directory)
    config = _read_config(directory / _CONFIG_FILE)
    path = next((directory / name for name in _WEIGHT_FILES if (directory / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{directory} holds neither {' nor '.join(_WEIGHT_FILES)}")
    known = _known_names(model)
    factors: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(path).items():
        if value.dtype not in STORED_TYPES or not bool(torch.isfinite(value.float()).all()):
            raise CheckpointError(
                f"{path}: {key} contains non-finite or quantized weights: download it again"
            )
        name = key.removeprefix(_PREFIX)
        if found := _PART.fullmatch(name):
            module, part = found.groups()
            factors.setdefault(module, {})[part[-1]] = value
        else:
            _copy_saved_module(model, known, name, value, path)
    if not factors:
        raise CheckpointError(f"{path} holds no LoRA factors: it is not a LoRA adapter")
    for module, pair in factors.items():
        if set(pair) != {"A", "B"}:
            raise CheckpointError(f"{path}: {module} has only factor {', '.join(pair)}, not both")
        target = known.get(current_key(f"{module}.weight"))
        if target is None:
            raise CheckpointError(
                f"{path}: this model has no module {module}: the adapter is of another model"
            )
        if target == EMBEDDING:
            raise CheckpointError(_on_embedding(path, module))
        _merge_factors(
            _parameter(model, target), pair, _lora_scale(config, module, pair, path), path, module
        )


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    other = [kind for key, kind in _OTHER_KINDS.items() if config.get(key)]
    if str(config.get("peft_type", "LORA")).upper() != "LORA":
        other = [str(config["peft_type"])]
    init = config.get("init_lora_weights")
    if init not in _PLAIN_INITS:
        other.append(str(init))
    if not isinstance(config.get("use_rslora") or False, bool):
        raise CheckpointError(f"{path}: use_rslora must be true or false: download it again")
    for name in ("rank_pattern", "alpha_pattern"):
        _check_patterns(path, name, config.get(name) or {})
    if other:
        raise CheckpointError(
            f"{path}: {other[0][:100]} adapters cannot be merged here; only plain LoRA can: "
            "merge it with peft and load the result"
        )
    return config


def _check_patterns(path: Path, name: str, patterns: Any) -> None:
    """Refuse patterns that could take long to match."""
    if not isinstance(patterns, dict) or len(patterns) > _MAX_PATTERNS:
        raise CheckpointError(
            f"{path}: {name} must be an object of at most {_MAX_PATTERNS} patterns: download it "
            "again"
        )
    for pattern in patterns:
        repeats = pattern.count("*") + pattern.count("+")
        long = len(pattern) > _MAX_PATTERN_LENGTH
        if long or repeats > _MAX_REPEATS or not _PATTERN.fullmatch(pattern):
            raise CheckpointError(
                f"{path}: {name} has the pattern {pattern[:80]!r}, which is not supported: name "
                "the modules in full, or use at most two '.*'"
            )


def _known_names(model: Florence2Model) -> dict[str, str]:
    """The names of all parameters in every layout, mapped to ours."""
    known = {HEAD: HEAD}
    for ours, _ in model.named_parameters():
        known[ours] = ours
        known |= {layout_name(ours, layout): ours for layout in LAYOUTS}
    for layout in LAYOUTS:
        *inner, head = tied_names(layout)
        known |= dict.fromkeys(inner, EMBEDDING) | {head: HEAD}
    return known


def _parameter(model: Florence2Model, name: str) -> Tensor:
    """A parameter by our name; the output head is untied from the embedding."""
    # An adapter on the output head does not change the embedding, to which it was tied.
    return model.untie_head().weight if name == HEAD else model.get_parameter(name)


def _on_embedding(path: Path, module: str) -> str:
    return (
        f"{path}: {module} is tied to the output head and to the other side's embedding, so an "
        "adapter on it is ambiguous: train without it, or on lm_head"
    )


def _lora_scale(
    config: Mapping[str, Any], module: str, pair: Mapping[str, Tensor], path: Path
) -> float:
    """The factor of the product of the adapter's matrices."""
    held = len(pair["A"]) if pair["A"].ndim else 0
    try:
        rank = _pattern(config.get("rank_pattern"), module, config.get("r", held))
        alpha = _pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", rank))
    except (ValueError, TypeError, AttributeError, OverflowError, re.error) as error:
        raise CheckpointError(
            f"{path.with_name(_CONFIG_FILE)} has no usable rank and alpha for {module} ({error}): "
            "download it again"
        ) from error
    if not held or rank != held or not math.isfinite(alpha):
        raise CheckpointError(
            f"{path}: the factors of {module} have rank {held}, {_CONFIG_FILE} has rank {rank:g} "
            f"and alpha {alpha:g}: the files belong to different adapters"
        )
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pattern(patterns: Mapping[str, Any] | None, module: str, default: Any) -> float:
    """The value of the pattern that a module's name ends with, as peft matches them."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(value)
    return float(default)


def _merge_factors(
    weight: Tensor, pair: Mapping[str, Tensor], scale: float, path: Path, module: str
) -> None:
    name = f"{path}: {module}"
    down, up = pair["A"].float(), pair["B"].float()
    mismatch = (
        f"{name}: factors {list(down.shape)} and {list(up.shape)} do not fit the weight "
        f"{list(weight.shape)}: the adapter is of another model size"
    )
    if down.ndim < 2 or up.ndim < 2:
        raise CheckpointError(mismatch)
    spatial = down.ndim == 4 and down.shape[2:] != (1, 1)
    if spatial and weight.ndim == 4 and weight.shape[1] != down.shape[1]:
        raise CheckpointError(f"{name}: adapters of depthwise convolutions cannot be merged")
    # Before the product is computed: the product of two small factors can be very large.
    if len(up) * math.prod(down.shape[1:]) != weight.numel():
        raise CheckpointError(mismatch)
    try:
        if spatial:
            delta = torch.nn.functional.conv2d(down.transpose(0, 1), up).transpose(0, 1)
        else:
            delta = up.flatten(1) @ down.flatten(1)
        delta = delta.reshape(-1).view(weight.shape)
    except (RuntimeError, IndexError) as error:
        raise CheckpointError(mismatch) from error
    with torch.no_grad():
        weight.copy_((weight.float() + delta.to(weight.device) * scale).to(weight.dtype))


def _copy_saved_module(
    model: Florence2Model, known: Mapping[str, str], name: str, value: Tensor, path: Path
) -> None:
    """Copy a tensor that the adapter stores in full (a bias or a saved module)."""
    plain = name.replace(".modules_to_save.default", "").replace(".modules_to_save", "")
    plain = plain.replace(".base_layer", "")
    target = known.get(current_key(plain))
    tied = target == EMBEDDING or (target == HEAD and model.head is None)
    held = None if target is None else model.get_parameter(EMBEDDING if tied else target)
    if target is None or held is None or held.shape != value.shape:
        raise CheckpointError(
            f"{path}: {name} {list(value.shape)} does not fit this model: the adapter is of "
            "another model"
        )
    value = value.to(held.device, held.dtype)
    if tied and torch.equal(held, value):
        return
    if target == EMBEDDING:
        raise CheckpointError(_on_embedding(path, plain.removesuffix(".weight")))
    with torch.no_grad():
        _parameter(model, target).copy_(value)
