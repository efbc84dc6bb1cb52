"""8-bit towers: nothing changes in exact arithmetic, and little in 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from florence2.model import Florence2Model
from florence2.runtime import TorchRuntime
from florence2.runtime.openvino.graphs import convert
from florence2.runtime.openvino.runtime import OpenVinoRuntime
from florence2.runtime.openvino.static_quantization import MinMaxObserver, quantize, smoothquant


def test_bounds_are_even_unless_hardly_anything_is_below_zero() -> None:
    seen = MinMaxObserver(torch.zeros(2), torch.zeros(2))
    seen.add(torch.tensor([[[-1.0, 2.0], [0.5, -3.0]]]))
    low, high = seen.bounds()
    assert high == pytest.approx(3.3) and low == pytest.approx(-3.3 * 128 / 127)
    after_gelu = MinMaxObserver(torch.zeros(1), torch.zeros(1))
    after_gelu.add(torch.tensor([[-0.17], [4.0]]))
    assert after_gelu.bounds() == pytest.approx((-0.17 * 1.1, 4.4))
    assert MinMaxObserver(torch.zeros(1), torch.zeros(1)).bounds()[1] > 0


def test_moving_outliers_changes_no_answer(
    model: Florence2Model, pixels: NDArray[np.float32]
) -> None:
    before = model.encode_image(torch.from_numpy(pixels))
    norm = model.vision_encoder.stages[0].blocks[0].attention_norm
    even, bounds = smoothquant(model, pixels)
    assert torch.allclose(even.encode_image(torch.from_numpy(pixels)), before, atol=1e-4)
    assert even.vision_encoder.stages[0].blocks[0].attention_norm is not norm
    linears = [n for n, m in model.vision_encoder.named_modules() if isinstance(m, torch.nn.Linear)]
    assert sorted(bounds) == sorted(linears)


def test_the_tower_in_8_bits_is_near(
    model: Florence2Model, pixels: NDArray[np.float32], reference: TorchRuntime
) -> None:
    even, bounds = smoothquant(model, pixels)
    graphs: dict[str, Any] = convert(even, (96, 64))
    assert quantize(graphs["vision_encoder"], bounds) == len(bounds)
    low = OpenVinoRuntime(model.config, graphs, "fp32", lambda: model, threads=1)
    found, expected = low.encode_images(pixels), reference.encode_images(pixels)
    error = float((found - expected).norm() / expected.norm())
    assert 0 < error < 0.1
