"""Models of a few thousand weights, in both layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from florence2.model import Florence2Config, Florence2Model, TextConfig, VisionConfig
from florence2.model.checkpoint.weights import save_checkpoint


def small_config(**text: int) -> Florence2Config:
    vision = VisionConfig(
        dim_embed=(4, 8),
        num_heads=(2, 2),
        num_groups=(2, 4),
        depths=(1, 1),
        patch_size=(7, 3),
        patch_stride=(4, 2),
        patch_padding=(3, 1),
        patch_prenorm=(False, True),
        window_size=3,
        max_position_embeddings=8,
        max_temporal_embeddings=4,
    )
    sizes = {
        "d_model": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
        "vocab_size": 40,
        "max_position_embeddings": 24,
    }
    return Florence2Config(vision, TextConfig(**{**sizes, **text}))


@pytest.fixture
def model() -> Florence2Model:
    small = Florence2Model(small_config())
    small.initialize(seed=1)
    return small.eval()


@pytest.fixture(params=["microsoft", "transformers"])
def checkpoint(request: pytest.FixtureRequest, model: Florence2Model, tmp_path: Path) -> Path:
    save_checkpoint(model, tmp_path / "checkpoint", layout=request.param)
    return tmp_path / "checkpoint"
