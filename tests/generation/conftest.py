"""A model small enough to decode with in milliseconds, that ends its answers now and then."""

from __future__ import annotations

import pytest
import torch

from florence2.model import Florence2Config, Florence2Model, TextConfig, VisionConfig
from florence2.runtime import TorchRuntime


@pytest.fixture(scope="session")
def runtime() -> TorchRuntime:
    vision = VisionConfig(
        dim_embed=(8, 16, 32, 64),
        num_heads=(2, 2, 4, 4),
        num_groups=(2, 2, 4, 4),
        depths=(1, 1, 2, 1),
        window_size=3,
        max_position_embeddings=10,
        max_temporal_embeddings=10,
    )
    text = TextConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=60,
        max_position_embeddings=64,
        init_std=0.4,
    )
    model = Florence2Model(Florence2Config(vision, text))
    model.initialize(seed=3)
    model.logits_bias_V[2] = 3.0
    return TorchRuntime(model.to(torch.float32))
