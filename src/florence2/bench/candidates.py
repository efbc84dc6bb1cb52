"""What is timed: the runtimes of this package over one checkpoint, and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..inference.predictor import BUNDLED, Florence2, load, model_configs, resolve_checkpoint
from ..io.deprecation import renamed_attributes
from ..model import Florence2Model
from ..processing.processor import Processor
from ..runtime import TorchRuntime
from .baseline import BaselineUnavailableError, baseline_stages
from .florence2_stages import BenchInput
from .interleaved import Stages

RANDOM = "random:"
RELEASED_PIXELS = (768, 768)
# The names of the baseline's candidates with their dtypes.
BASELINES = {"transformers fp32": torch.float32, "transformers bf16": torch.bfloat16}


def make_checkpoint(model: str, directory: Path) -> str:
    """The name of the checkpoint to load.

    For ``random:base`` and the like it is made in ``directory``: that shape, seeded weights and the
    bundled vocabulary, without a network. Like the released weights, they are fp16 values.

    Raises ``ValueError`` for an unknown shape.
    """
    if not model.startswith(RANDOM):
        return model
    shape = model.removeprefix(RANDOM)
    configs = model_configs()
    if shape not in configs:
        raise ValueError(f"random shapes are {', '.join(configs)}, got {model!r}")
    config = configs[shape]
    network = Florence2Model(config)
    network.initialize(seed=0)
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    fit = config.text.max_position_embeddings, config.vision.stride
    processor = Processor.from_directory(resolve_checkpoint(BUNDLED), *fit)
    if shape != "nano":
        processor = processor.with_image_size(RELEASED_PIXELS, *fit)
    target = directory / shape
    Florence2(model, TorchRuntime(network), processor).save(target)
    return str(target)


def load_models(
    source: str, runtimes: Sequence[str], device: str = "cpu"
) -> tuple[dict[str, Florence2], dict[str, str]]:
    """Load the checkpoint on each of ``runtimes``, such as ``openvino:int8``.

    Returns the models by runtime and precision, and for the others the reason.
    """
    models: dict[str, Florence2] = {}
    missing: dict[str, str] = {}
    for each in runtimes:
        runtime, _, precision = each.partition(":")
        name = f"{runtime} {precision or 'fp32'}"
        try:
            models[name] = load(source, device=device, runtime=runtime, precision=precision or None)
        except ValueError as error:
            missing[name] = str(error)
    return models, missing


def add_baselines(
    candidates: dict[str, Stages], model: Florence2, directory: Path, bench_input: BenchInput
) -> dict[str, str]:
    """Add transformers in fp32 and bf16 to the candidates; the reason where it is missing."""
    missing: dict[str, str] = {}
    for name, dtype in BASELINES.items():
        try:
            candidates[name] = baseline_stages(model, directory, bench_input, dtype)
        except BaselineUnavailableError as error:
            missing[name] = str(error)
    return missing


__getattr__ = renamed_attributes(__name__, {"checkpoint": "make_checkpoint"})
