"""Loads and writes checkpoints strictly: every tensor must be there, with its name and shape.

Reads Microsoft's layout and transformers', from safetensors or pickle, with any of the four tied
embeddings present; writes either. Errors name the file, the tensor and the remedy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ...io.atomic import replace_json
from ..bart import POSITION_OFFSET
from ..config import Florence2Config
from ..florence2 import Florence2Model
from .bart_weights import load_bart_text as load_bart_text
from .directories import describe_directory
from .state_dict_keys import (
    EMBEDDING,
    HEAD,
    LOGITS_BIAS,
    PROJECTION,
    TEMPORAL,
    Layout,
    detect_layout,
    layout_name,
    tied_names,
)
from .tensor_files import (
    CONFIG_FILE,
    STORED_TYPES,
    CheckpointError,
    read_json,
    read_tensors,
    weight_files,
    write_tensors,
)

# Tensors that a file may lack: the config determines them, or they are zero.
_OPTIONAL = (TEMPORAL, LOGITS_BIAS)
_LISTED = 4


@dataclass(frozen=True)
class CheckpointReport:
    """What a checkpoint is, and what is wrong with it (``problems`` is empty when it loads)."""

    path: str
    files: tuple[str, ...] = ()
    layout: str = "unknown"
    tensor_count: int = 0
    parameter_count: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    vocab_size: int = 0
    positions: int = 0
    tied_head: bool = True
    size_name: str = "unknown"
    problems: tuple[str, ...] = ()


def load_checkpoint(
    directory: str | Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Florence2Model:
    """The model in a directory of either layout, in evaluation mode, at ``dtype``.

    Raises ``CheckpointError`` for anything missing, surplus, misshapen or damaged.
    """
    directory = Path(directory)
    config = read_config(directory)
    tensors = _read_all(directory)
    return model_from_tensors(config, tensors, dtype=dtype, device=device, origin=str(directory))


def model_from_tensors(
    config: Florence2Config,
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    origin: str = "the tensors",
) -> Florence2Model:
    """The model that named tensors of either layout make, as ``load_checkpoint`` gives it.

    Raises ``CheckpointError`` that names ``origin`` and every tensor that is not as it should be.
    """
    layout = _layout_of(tensors, origin)
    config, named, problems = _match(config, tensors, layout)
    problems += _not_finite(tensors)
    if problems:
        raise CheckpointError(f"{origin}: " + "; ".join(problems))
    with torch.device("meta"):
        model = Florence2Model(config)
    whole = Florence2Model.non_persistent_buffers(config) | named
    moved = {name: value.to(device, dtype).contiguous() for name, value in whole.items()}
    model.load_state_dict(moved, assign=True)
    return model.requires_grad_(True).eval()


def checkpoint_files(*directories: Path) -> list[Path]:
    """The files in the directories that decide what a model computes."""
    suffixes = {".safetensors", ".bin", ".json"}
    return [
        path
        for directory in directories
        for path in sorted(directory.iterdir())
        if path.suffix in suffixes and path.is_file() and "token" not in path.name
    ]


def inspect_checkpoint(path: str | Path) -> CheckpointReport:
    """What a checkpoint directory holds; faults are listed in ``problems``, never raised."""
    directory = Path(path)
    report = CheckpointReport(str(directory))
    try:
        config = read_config(directory)
        files = tuple(each.name for each in weight_files(directory))
        report = replace(
            report,
            files=files,
            vocab_size=config.text.vocab_size,
            positions=config.text.max_position_embeddings,
            size_name=_size_name(config),
        )
        tensors = _read_all(directory)
        layout = _layout_of(tensors, str(directory))
    except CheckpointError as error:
        return replace(report, problems=(str(error),))
    config, named, problems = _match(config, tensors, layout)
    problems += _not_finite(tensors)
    counted = {name: value for name, value in named.items() if name not in _OPTIONAL}
    return replace(
        report,
        layout=layout,
        tensor_count=len(tensors),
        parameter_count=sum(value.numel() for value in counted.values()),
        dtypes=dict(Counter(str(value.dtype).removeprefix("torch.") for value in tensors.values())),
        tied_head=config.tie_word_embeddings,
        problems=tuple(problems),
    )


def save_checkpoint(
    model: Florence2Model,
    directory: str | Path,
    *,
    layout: str = "microsoft",
    dtype: torch.dtype | None = None,
    image_token: int | None = None,
) -> None:
    """Write ``model.safetensors`` and ``config.json`` in ``layout``; the tied tensor once.

    transformers' model needs a row for ``<image>`` in its embedding: a model without one gets a
    last row, a copy of that of ``<pad>``, and the generation config never lets it be generated.
    ``image_token`` is the id that the tokenizer has for it; a row that is there already is used.
    ``ValueError`` for a model with a logits bias, which that layout cannot hold.
    """
    if layout not in ("microsoft", "transformers"):
        raise ValueError(f"layout must be 'microsoft' or 'transformers', got {layout!r}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config, state = model.config, dict(model.state_dict())
    if layout == "transformers":
        if bool(state.pop(LOGITS_BIAS).any()):
            raise ValueError(
                "the model has a logits bias that is not zero, which the transformers layout "
                "cannot hold: save it in the microsoft layout"
            )
        config, state = _with_image_row(config, state, image_token)
        write_generation_config(directory, config)
    named: dict[str, Tensor] = {}
    for ours, value in state.items():
        value = value.detach().cpu()
        value = value if dtype is None else value.to(dtype)
        named[layout_name(ours, layout)] = _converted(ours, value, layout)  # type: ignore[arg-type]
    write_tensors(directory / "model.safetensors", named)
    values = config.to_microsoft() if layout == "microsoft" else config.to_transformers()
    stored = state[EMBEDDING].dtype if dtype is None else dtype
    values["torch_dtype" if layout == "microsoft" else "dtype"] = str(stored).removeprefix("torch.")
    replace_json(directory / CONFIG_FILE, values)


def read_config(directory: Path) -> Florence2Config:
    """The model that a checkpoint's ``config.json`` describes.

    Whether its head is tied is known from the tensors only. Raises ``CheckpointError``.
    """
    path = directory / CONFIG_FILE
    hint = None if path.exists() else describe_directory(directory)
    if hint is not None:
        raise CheckpointError(f"{path} is missing: {hint}")
    try:
        return Florence2Config.from_dict(read_json(path))
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read_all(directory: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in weight_files(directory):
        for name, value in read_tensors(path).items():
            if value.dtype not in STORED_TYPES:
                raise CheckpointError(
                    f"{path}: {name} holds {value.dtype}, not floating-point weights of 16 bits "
                    "or more: load the checkpoint that was not quantized"
                )
            tensors[name] = value
    return tensors


def _layout_of(tensors: Mapping[str, Tensor], origin: str) -> Layout:
    layout = detect_layout(tensors)
    if layout is None:
        raise CheckpointError(
            f"{origin} holds no Florence-2 vision encoder (its tensors: {_some(list(tensors))}): "
            "it is the checkpoint of another model"
        )
    return layout


def _match(
    config: Florence2Config, tensors: Mapping[str, Tensor], layout: Layout
) -> tuple[Florence2Config, dict[str, Tensor], list[str]]:
    """Our names for a file's tensors, the config with its head, and everything that is wrong."""
    remaining, problems = dict(tensors), list[str]()
    named: dict[str, Tensor] = {}
    embedding, head, fault = _untie(remaining, layout)
    problems += [fault] if fault else []
    config = replace(config, tie_word_embeddings=head is None)
    if embedding is not None:
        named[EMBEDDING] = embedding
    if head is not None:
        named[HEAD] = head
    try:
        with torch.device("meta"):
            expected = Florence2Model(config).state_dict()
    except (RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        return config, named, [*problems, f"config.json describes no model: {error}"]
    missing: list[str] = []
    for ours in expected:
        if ours in named:
            continue
        if ours in (EMBEDDING, HEAD):
            missing.append(layout_name(ours, layout))
            continue
        name = None if ours == LOGITS_BIAS and layout != "microsoft" else layout_name(ours, layout)
        if name is not None and name in remaining:
            named[ours] = _converted(ours, remaining.pop(name), layout)
        elif name is not None and ours not in _OPTIONAL:
            missing.append(name)
    if missing:
        problems.append(f"{len(missing)} tensors are missing ({_some(missing)}): download it again")
    if remaining:
        problems.append(
            f"{len(remaining)} tensors belong to no Florence-2 of this config "
            f"({_some(list(remaining))}): config.json and weights are of different models"
        )
    problems += _misshapen(
        named, {name: tuple(each.shape) for name, each in expected.items()}, config, layout
    )
    return config, named, problems


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The problem of weights that are not finite, if there are any."""
    # A sum needs no memory of its own, and is finite where all values are, but for an overflow.
    invalid = [
        name
        for name, value in tensors.items()
        if not bool(torch.isfinite(value.sum(dtype=torch.float64)))
        and not bool(torch.isfinite(value).all())
    ]
    return (
        [f"values that are not finite in {_some(invalid)}: the weights are damaged"]
        if invalid
        else []
    )


def _untie(
    remaining: dict[str, Tensor], layout: Layout
) -> tuple[Tensor | None, Tensor | None, str | None]:
    """Take the tied tensors out of ``remaining``: embedding, head where it differs, and a fault."""
    *inner, head_name = tied_names(layout)
    present = {name: remaining.pop(name) for name in inner if name in remaining}
    head = remaining.pop(head_name, None)
    if not present:
        return head, None, None
    first, embedding = next(iter(present.items()))
    for name, value in present.items():
        if value.shape != embedding.shape or not torch.equal(value, embedding):
            return embedding, None, f"{name} differs from {first}, to which it is tied"
    same = head is not None and head.shape == embedding.shape and torch.equal(head, embedding)
    return embedding, None if same else head, None


def _misshapen(
    named: Mapping[str, Tensor],
    expected: Mapping[str, tuple[int, ...]],
    config: Florence2Config,
    layout: Layout,
) -> list[str]:
    problems = []
    for ours, value in named.items():
        found, wanted = tuple(value.shape), expected[ours]
        if found == wanted:
            continue
        name = layout_name(ours, layout)
        remedy = "config.json and weights are of different models"
        if ours == EMBEDDING:
            remedy = f"vocab_size in config.json is {config.text.vocab_size}; set it to the rows"
        elif ours.endswith("coder.positions.weight"):
            positions = config.text.max_position_embeddings
            remedy = (
                f"max_position_embeddings in config.json is {positions}; the tensor "
                f"has {found[0] - POSITION_OFFSET if found else 0}"
            )
        problems.append(f"{name} is {list(found)}, expected {list(wanted)}: {remedy}")
    if len(problems) > _LISTED:
        problems = [*problems[:_LISTED], f"{len(problems) - _LISTED} more tensors are misshapen"]
    return problems


def _converted(ours: str, value: Tensor, layout: Layout) -> Tensor:
    """A tensor between our form and a layout's; the same both ways."""
    if layout == "microsoft" and ours == PROJECTION and value.ndim == 2:
        return value.T
    if layout == "microsoft" and ours == LOGITS_BIAS:
        return value.reshape(-1) if value.ndim == 2 else value[None]
    return value


def _with_image_row(
    config: Florence2Config, state: dict[str, Tensor], token: int | None
) -> tuple[Florence2Config, dict[str, Tensor]]:
    if config.image_token_id is not None:
        return config, state
    rows = config.text.vocab_size
    token = rows if token is None else token
    if token < rows:
        return replace(config, image_token_id=token), state
    for name in (EMBEDDING, HEAD):
        if name in state:
            pad_rows = state[name][config.text.pad_token_id].expand(token + 1 - rows, -1)
            state[name] = torch.cat([state[name], pad_rows])
    return replace(config.with_vocabulary(token + 1), image_token_id=token), state


def write_generation_config(directory: Path, config: Florence2Config) -> None:
    """Write the released decoding as transformers reads it."""
    text = config.text
    values: dict[str, object] = {
        "do_sample": False,
        "num_beams": 3,
        "no_repeat_ngram_size": text.no_repeat_ngram_size,
        "early_stopping": True,
        "length_penalty": 1.0,
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.eos_token_id,
        "pad_token_id": text.pad_token_id,
        "decoder_start_token_id": text.decoder_start_token_id,
        "forced_bos_token_id": text.bos_token_id,
        "forced_eos_token_id": text.eos_token_id,
    }
    if config.image_token_id is not None:
        values["suppress_tokens"] = [config.image_token_id]
    replace_json(directory / "generation_config.json", values)


def _size_name(config: Florence2Config) -> str:
    if config.vision.dim_embed == Florence2Config().vision.dim_embed and config.text.d_model == 768:
        return "base"
    large = Florence2Config.large()
    if (
        config.vision.dim_embed == large.vision.dim_embed
        and config.text.d_model == large.text.d_model
    ):
        return "large"
    return "other"


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:_LISTED])
    return listed if len(names) <= _LISTED else f"{listed} and {len(names) - _LISTED} more"
