"""8-bit products in the tower: ranges measured beforehand, outliers moved into the weights.

The tower multiplies so many rows that quantising each as it comes would cost what it saves. Ranges
are measured on a few pictures; channels that are much larger than others after a norm are made
smaller there and larger in the next matrix, which changes nothing in exact arithmetic (SmoothQuant,
Xiao et al., 2023).

Shapes: B pictures, H and W pixels, C channels, M outputs and N inputs of a matrix.
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

# What is seen later may be a little beyond what was measured.
_MARGIN = 1.1
_LINEAR = re.compile(r"__module\.model\.vision_encoder\.(?P<name>[\w.]+)/aten::linear/MatMul")


@dataclass
class MinMaxObserver:
    """The least and greatest value ``float[C]`` of every channel that a matrix met."""

    low_C: Tensor
    high_C: Tensor

    def add(self, values: Tensor) -> None:
        """Take note of more values ``float[..., C]``."""
        flat = values.flatten(0, -2)
        self.low_C = torch.minimum(self.low_C, flat.amin(dim=0))
        self.high_C = torch.maximum(self.high_C, flat.amax(dim=0))

    @property
    def largest(self) -> Tensor:
        """The greatest magnitude of every channel."""
        return torch.maximum(self.low_C.abs(), self.high_C.abs())

    def bounds(self) -> tuple[float, float]:
        """Where 8 bits begin and end for all channels: even around zero unless hardly anything is
        below it, as after GELU."""
        low, high = float(self.low_C.min()) * _MARGIN, float(self.high_C.max()) * _MARGIN
        if -low < 0.25 * high:
            return low, high
        most = max(-low, high, 1e-6)
        return -most * 128 / 127, most


def smoothquant(
    model: Florence2Model, pixels_BCHW: NDArray[np.float32]
) -> tuple[Florence2Model, dict[str, tuple[float, float]]]:
    """The model with its tower made even, and the bounds of what each of its matrices meets, by
    the matrix' name, measured on pictures."""
    even = copy.deepcopy(model).eval().float()
    ranges = _measured(even.vision_encoder, pixels_BCHW)
    for name, module in even.vision_encoder.named_modules():
        if isinstance(module, Block):
            qkv, up = cast(nn.Linear, module.attention.qkv), module.feed_forward.up
            _move_outliers(module.attention_norm, qkv, ranges[f"{name}.attention.qkv"])
            _move_outliers(module.feed_forward_norm, up, ranges[f"{name}.feed_forward.up"])
    return even, {name: each.bounds() for name, each in ranges.items()}


def quantize(tower: openvino.Model, bounds: Mapping[str, tuple[float, float]]) -> int:
    """Tell the plugin the bounds in the tower's graph, so that it multiplies in 8 bits; how many
    matrices there are."""
    import openvino.opset13 as ops

    count = 0
    for node in tower.get_ordered_ops():
        found = _LINEAR.fullmatch(node.get_friendly_name())
        if node.get_type_name() != "MatMul" or found is None:
            continue
        low, high = (ops.constant(np.float32(each)) for each in bounds[found["name"]])
        inputs = ops.fake_quantize(node.input_value(0), low, high, low, high, 256)
        matrix = quantize_int8(node.input_value(1).get_node().data)
        node.input(0).replace_source_output(inputs.output(0))
        node.input(1).replace_source_output(matrix.output(0))
        count += 1
    tower.validate_nodes_and_infer_types()
    return count


@torch.inference_mode()
def _measured(tower: nn.Module, pixels_BCHW: NDArray[np.float32]) -> dict[str, MinMaxObserver]:
    """What the matrices of a tower meet on pictures, one after another."""
    ranges: dict[str, MinMaxObserver] = {}

    def watch(name: str) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen = inputs[0]
            if name not in ranges:
                nothing = seen.new_zeros(seen.shape[-1])
                ranges[name] = MinMaxObserver(nothing, nothing.clone())
            ranges[name].add(seen)

        return note

    handles = [
        module.register_forward_pre_hook(watch(name))
        for name, module in tower.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        for picture in torch.from_numpy(pixels_BCHW):
            tower(picture[None])
    finally:
        for handle in handles:
            handle.remove()
    return ranges


@torch.no_grad()
def _move_outliers(norm: nn.LayerNorm, linear: nn.Linear, seen: MinMaxObserver) -> None:
    """Share what is large among a norm's channels and the columns that they are multiplied by."""
    columns_C = linear.weight.abs().amax(dim=0)
    factor_C = (seen.largest.clamp(min=1e-4) / columns_C.clamp(min=1e-4)).sqrt()
    factor_C = (factor_C / factor_C.log().mean().exp()).clamp(0.05, 20)
    norm.weight.div_(factor_C)
    norm.bias.div_(factor_C)
    linear.weight.mul_(factor_C)
    seen.low_C, seen.high_C = seen.low_C / factor_C, seen.high_C / factor_C
