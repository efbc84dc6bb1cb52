"""Static int8 quantization of the vision encoder, with SmoothQuant.

The vision encoder multiplies so many rows that dynamic quantization would cost what it saves.
Ranges are measured on a few images. Channels that are much larger than others after a norm are
scaled down there and up in the next matrix, which is equivalent in exact arithmetic (Xiao et al.,
2023).

Shapes: B images, H and W pixels, C channels, M outputs and N inputs of a matrix.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...model import Florence2Model
from ...model.davit import Block
from .precisions import quantize_int8

if TYPE_CHECKING:
    import openvino

# Later values may be slightly outside the measured range.
_MARGIN = 1.1
_LINEAR = re.compile(r"__module\.model\.vision_encoder\.(?P<name>[\w.]+)/aten::linear/MatMul")


@dataclass
class MinMaxObserver:
    """The minimum and maximum ``float[C]`` of every input channel of a matrix."""

    low_C: Tensor
    high_C: Tensor

    def add(self, values: Tensor) -> None:
        """Include values ``float[..., C]``."""
        flat = values.flatten(0, -2)
        self.low_C = torch.minimum(self.low_C, flat.amin(dim=0))
        self.high_C = torch.maximum(self.high_C, flat.amax(dim=0))

    @property
    def amax(self) -> Tensor:
        """The maximum magnitude of every channel."""
        return torch.maximum(self.low_C.abs(), self.high_C.abs())

    def bounds(self) -> tuple[float, float]:
        """The int8 range of all channels: symmetric, unless few values are negative, as after
        GELU."""
        low, high = float(self.low_C.min()) * _MARGIN, float(self.high_C.max()) * _MARGIN
        if -low < 0.25 * high:
            return low, high
        amax = max(-low, high, 1e-6)
        return -amax * 128 / 127, amax


def smoothquant(
    model: Florence2Model, pixels_BCHW: NDArray[np.float32]
) -> tuple[Florence2Model, dict[str, tuple[float, float]]]:
    """A copy of the model with smoothed outliers, and the input range of each matrix by name."""
    smoothed = copy.deepcopy(model).eval().float()
    observers = _observe(smoothed.vision_encoder, pixels_BCHW)
    for name, module in smoothed.vision_encoder.named_modules():
        if isinstance(module, Block):
            qkv, up = cast(nn.Linear, module.attention.qkv), module.feed_forward.up
            _migrate_outliers(module.attention_norm, qkv, observers[f"{name}.attention.qkv"])
            _migrate_outliers(module.feed_forward_norm, up, observers[f"{name}.feed_forward.up"])
    return smoothed, {name: observer.bounds() for name, observer in observers.items()}


def quantize(graph: openvino.Model, bounds: Mapping[str, tuple[float, float]]) -> int:
    """Quantize the matmuls of the vision encoder's graph to int8; returns their number."""
    import openvino.opset13 as ops

    count = 0
    for node in graph.get_ordered_ops():
        found = _LINEAR.fullmatch(node.get_friendly_name())
        if node.get_type_name() != "MatMul" or found is None:
            continue
        low, high = (ops.constant(np.float32(bound)) for bound in bounds[found["name"]])
        inputs = ops.fake_quantize(node.input_value(0), low, high, low, high, 256)
        matrix = quantize_int8(node.input_value(1).get_node().data)
        node.input(0).replace_source_output(inputs.output(0))
        node.input(1).replace_source_output(matrix.output(0))
        count += 1
    graph.validate_nodes_and_infer_types()
    return count


@torch.inference_mode()
def _observe(
    vision_encoder: nn.Module, pixels_BCHW: NDArray[np.float32]
) -> dict[str, MinMaxObserver]:
    """The ranges of the inputs of all matrices, measured on images one by one."""
    observers: dict[str, MinMaxObserver] = {}

    def watch(name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0]
            if name not in observers:
                zeros_C = values.new_zeros(values.shape[-1])
                observers[name] = MinMaxObserver(zeros_C, zeros_C.clone())
            observers[name].add(values)

        return note

    handles = [
        module.register_forward_pre_hook(watch(name))
        for name, module in vision_encoder.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        for image_CHW in torch.from_numpy(pixels_BCHW):
            vision_encoder(image_CHW[None])
    finally:
        for handle in handles:
            handle.remove()
    return observers


@torch.no_grad()
def _migrate_outliers(norm: nn.LayerNorm, linear: nn.Linear, observer: MinMaxObserver) -> None:
    """Divide large channels of a norm and multiply the matrix columns that they meet."""
    columns_C = linear.weight.abs().amax(dim=0)
    factor_C = (observer.amax.clamp(min=1e-4) / columns_C.clamp(min=1e-4)).sqrt()
    factor_C = (factor_C / factor_C.log().mean().exp()).clamp(0.05, 20)
    norm.weight.div_(factor_C)
    norm.bias.div_(factor_C)
    linear.weight.mul_(factor_C)
    observer.low_C, observer.high_C = observer.low_C / factor_C, observer.high_C / factor_C
