"""Who is timed: our runtimes over one checkpoint, and transformers with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..inference.predictor import BUNDLED, Florence2, load, model_configs, resolve_checkpoint
from ..model import Florence2Model
from ..processing.processor import Processor
from ..runtime import TorchRuntime
from .baseline import PeerUnavailableError, peer_stages
from .interleaved import Stages

RANDOM = "random:"
RELEASED_PIXELS = (768, 768)


def checkpoint(model: str, folder: Path) -> str:
    """The model's name; for ``random:base`` and the like, a checkpoint of that shape in ``folder``
    with seeded weights and the bundled vocabulary, for which no network is needed. As the released
    weights they are numbers that half precision holds.

    Raises ``ValueError`` for a shape that there is not.
    """
    if not model.startswith(RANDOM):
        return model
    shape = model.removeprefix(RANDOM)
    there = model_configs()
    if shape not in there:
        raise ValueError(f"random shapes are {', '.join(there)}, got {model!r}")
    config = there[shape]
    made = Florence2Model(config)
    made.initialize(seed=0)
    for parameter in made.parameters():
        parameter.data = parameter.data.half().float()
    fit = config.text.max_position_embeddings, config.vision.stride
    processor = Processor.from_directory(resolve_checkpoint(BUNDLED), *fit)
    if shape != "nano":
        processor = processor.with_image_size(RELEASED_PIXELS, *fit)
    target = folder / shape
    Florence2(model, TorchRuntime(made), processor).save(target)
    return str(target)


def load_models(
    source: str, asked: Sequence[str], device: str = "cpu"
) -> tuple[dict[str, Florence2], dict[str, str]]:
    """The models by runtime and precision, asked for as ``openvino:int8``; and why others are not
    to be had."""
    models: dict[str, Florence2] = {}
    missing: dict[str, str] = {}
    for each in asked:
        runtime, _, precision = each.partition(":")
        name = f"{runtime} {precision or 'fp32'}"
        try:
            models[name] = load(source, device=device, runtime=runtime, precision=precision or None)
        except ValueError as error:
            missing[name] = str(error)
    return models, missing


def add_peer(
    contenders: dict[str, Stages],
    model: Florence2,
    folder: Path,
    picture: bytes,
    task: str,
    tokens: Sequence[int],
) -> dict[str, str]:
    """Put transformers in fp32 and bf16 among the contenders; why it is missing where it is."""
    missing: dict[str, str] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        try:
            stages = peer_stages(model, folder, picture, task, tokens, dtype)
            contenders[f"transformers {name}"] = stages
        except PeerUnavailableError as error:
            missing[f"transformers {name}"] = str(error)
    return missing
