"""Models of a few thousand weights, in both layouts."""

from __future__ import annotations

from pathlib import Path

import pytest

from florence2.model import Florence2Config, Florence2Model, TextConfig, VisionConfig
from florence2.model.checkpoint.weights import save_checkpoint


def small_config(**text: int) -> Florence2Config:
    vision = VisionConfig(
        widths=(4, 8), heads=(2, 2), groups=(2, 4), depths=(1, 1), patch_sizes=(7, 3),
        patch_strides=(4, 2), patch_paddings=(3, 1), patch_prenorm=(False, True), window=3,
        max_grid=8, temporal_positions=4,
    )  # fmt: skip
    sizes = {
        "width": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_heads": 2,
        "decoder_heads": 2, "encoder_hidden": 16, "decoder_hidden": 16, "vocab_size": 40,
        "positions": 24,
    }  # fmt: skip
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
