"""A model small enough to decode with in milliseconds, that ends its answers now and then."""

from __future__ import annotations

import pytest
import torch

from florence2.model import Florence2Config, Florence2Model, TextConfig, VisionConfig
from florence2.runtime import TorchRuntime


@pytest.fixture(scope="session")
def runtime() -> TorchRuntime:
    vision = VisionConfig(
        widths=(8, 16, 32, 64), heads=(2, 2, 4, 4), groups=(2, 2, 4, 4), depths=(1, 1, 2, 1),
        window=3, max_grid=10, temporal_positions=10,
    )  # fmt: skip
    text = TextConfig(
        width=32, encoder_layers=2, decoder_layers=2, encoder_heads=4, decoder_heads=4,
        encoder_hidden=64, decoder_hidden=64, vocab_size=60, positions=64, init_std=0.4,
    )  # fmt: skip
    model = Florence2Model(Florence2Config(vision, text))
    model.initialize(seed=3)
    model.logits_bias_V[2] = 3.0
    return TorchRuntime(model.to(torch.float32))
