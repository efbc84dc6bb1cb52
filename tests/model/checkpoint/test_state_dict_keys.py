"""The two-way table of names, over all tensors of the released sizes."""

from __future__ import annotations

import pytest
import torch

from florence2.model import Florence2Config, Florence2Model
from florence2.model.checkpoint.state_dict_keys import (
    LOGITS_BIAS,
    current_key,
    detect_layout,
    layout_name,
    tied_names,
)

SIZES = {"base": Florence2Config(), "large": Florence2Config.large()}


def our_names(size: str) -> list[str]:
    with torch.device("meta"):
        return list(Florence2Model(SIZES[size]).state_dict())


@pytest.mark.parametrize("layout", ["microsoft", "transformers"])
@pytest.mark.parametrize(("size", "stored"), [("base", 665), ("large", 917)])
def test_names_are_one_to_one(layout: str, size: str, stored: int) -> None:
    ours = [name for name in our_names(size) if name != LOGITS_BIAS]
    theirs = [layout_name(name, layout) for name in ours]  # type: ignore[arg-type]
    assert len(set(theirs)) == len(ours) == stored
    tower = [name for name in theirs if "vision_tower." in name]
    assert len(tower) == 400
    assert detect_layout(theirs) == layout
    assert tied_names(layout)[0] in theirs  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "microsoft", "transformers"),
    [
        ("vision_encoder.stages.2.embed.conv.bias", "vision_tower.convs.2.proj.bias",
         "model.vision_tower.convs.2.conv.bias"),
        ("vision_encoder.stages.2.blocks.17.attention.qkv.weight",
         "vision_tower.blocks.2.8.channel_block.channel_attn.fn.qkv.weight",
         "model.vision_tower.blocks.2.8.channel_block.channel_attn.qkv.weight"),
        ("vision_encoder.stages.0.blocks.0.feed_forward.up.bias",
         "vision_tower.blocks.0.0.spatial_block.ffn.fn.net.fc1.bias",
         "model.vision_tower.blocks.0.0.spatial_block.ffn.fc1.bias"),
        ("projector.projection.weight", "image_projection",
         "model.multi_modal_projector.image_projection.weight"),
        ("projector.temporal_TC", "visual_temporal_embed.pos_idx_to_embed",
         "model.multi_modal_projector.visual_temporal_embed.pos_idx_to_embed"),
        ("decoder.layers.5.cross_attention.out.weight",
         "language_model.model.decoder.layers.5.encoder_attn.out_proj.weight",
         "model.language_model.decoder.layers.5.encoder_attn.out_proj.weight"),
        ("encoder.positions.weight", "language_model.model.encoder.embed_positions.weight",
         "model.language_model.encoder.embed_positions.weight"),
    ],
)  # fmt: skip
def test_names_of_the_released_files(ours: str, microsoft: str, transformers: str) -> None:
    assert layout_name(ours, "microsoft") == microsoft
    assert layout_name(ours, "transformers") == transformers


def test_unknown_names_are_refused() -> None:
    for name in ("nothing", "vision_encoder.stages.0.embed", "encoder.layers.0.wrong.weight"):
        with pytest.raises(ValueError, match="no layout has a tensor"):
            layout_name(name, "microsoft")
    assert detect_layout(["bert.encoder.weight"]) is None


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (Florence2Config(), 231_414_016),
        (Florence2Config.large(positions=1024), 770_173_952),
        (Florence2Config.large(), 776_465_408),
        (Florence2Config().with_vocabulary(51328), 231_443_968),
    ],
)
def test_parameter_counts_are_the_released_ones(config: Florence2Config, parameters: int) -> None:
    with torch.device("meta"):
        model = Florence2Model(config)
    assert sum(each.numel() for each in model.parameters()) == parameters


def test_keys_of_release_0_1_are_understood() -> None:
    key = "optimizer.state.tower.stages.0.blocks.1.attention_position.weight.exp_avg"
    assert current_key(key) == (
        "optimizer.state.vision_encoder.stages.0.blocks.1.cpe1.weight.exp_avg"
    )
    ours = our_names("base")
    assert [current_key(name) for name in ours] == ours
