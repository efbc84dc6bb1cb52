"""Gives a small model's vision encoder a finer grid.

Run ``python recipes/nano_grid.py nano runs/nano-grid``.

The third stage gets stride 2, images ``--side`` pixels, windows ``--window`` cells. The bundled
model went from strides 4, 2, 3, 1 and 192 pixels (8 x 8 cells) to 4, 2, 2, 1 (12 x 12), then to 256
pixels with windows of 8 (16 x 16). No weight changes its shape; position embeddings (of cells in
the projector, of image and prompt tokens in the encoder) are interpolated. ``--head`` names the
directory of a head of the dense loss to convert too. Train the vision encoder first afterwards.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from florence2.inference.predictor import Florence2, load
from florence2.io.atomic import atomic_write
from florence2.model import Florence2Model
from florence2.model.bart import POSITION_OFFSET
from florence2.model.davit import ChannelAttention
from florence2.runtime import TorchRuntime
from florence2.training.auxiliary.dense import HEAD_FILE, edge_outputs

STRIDES, PADDINGS = (4, 2, 2, 1), (3, 1, 1, 1)


def refine_grid(old: Florence2, side: int, window: int) -> Florence2:
    """The model with the finer grid."""
    config = old.config
    vision = replace(config.vision, patch_strides=STRIDES, patch_paddings=PADDINGS, window=window)
    config = replace(config, vision=vision)
    sides_before = _grid_sides(old.processor.preprocessing.size[0], old.config.vision.patch_stride)
    sides_after = _grid_sides(side, STRIDES)
    before, after = sides_before[-1], sides_after[-1]
    state = dict(old.runtime.model.state_dict())
    for name in ("projector.column_embeddings.weight", "projector.row_embeddings.weight"):
        state[name] = _interpolate_rows(state[name], before, after)
    name = "encoder.positions.weight"
    state[name] = _interpolate_positions(state[name], before, after)
    model = Florence2Model(config)
    model.load_state_dict(state)
    _scale_channel_attention(model, [b / a for b, a in zip(sides_before, sides_after, strict=True)])
    processor = old.processor.with_image_size(
        (side, side), config.text.max_position_embeddings, vision.stride
    )
    return Florence2(old.name, TorchRuntime(model), processor)


def _grid_sides(pixels: int, strides: tuple[int, ...]) -> list[int]:
    """The cells along a side of every stage's map."""
    return [pixels // int(stride) for stride in np.cumprod(strides)]


def _scale_channel_attention(model: Florence2Model, factors: list[float]) -> None:
    """Scale channel attention, which sums over positions, by the ratio of their numbers."""
    for stage, factor in zip(model.vision_encoder.stages, factors, strict=True):
        for block in stage.blocks:
            if isinstance(block.attention, ChannelAttention):
                qkv = block.attention.qkv
                queries = qkv.in_features
                with torch.no_grad():
                    qkv.weight[:queries] *= factor
                    qkv.bias[:queries] *= factor


def _interpolate_rows(table_PC: Tensor, before: int, after: int) -> Tensor:
    """Position embeddings along one side, interpolated from the old cells to the new ones."""
    spread_AC = functional.interpolate(
        table_PC[:before].T[None], size=after, mode="linear", align_corners=False
    )[0].T
    return torch.cat([spread_AC, table_PC[after:]])


def _interpolate_positions(table_PD: Tensor, before: int, after: int) -> Tensor:
    """The encoder's position embeddings: image mean, cells row by row, then the prompt."""
    start = POSITION_OFFSET + 1
    cells_HWD = table_PD[start : start + before**2].view(before, before, -1)
    spread_DHW = functional.interpolate(
        cells_HWD.permute(2, 0, 1)[None], size=(after, after), mode="bilinear", align_corners=False
    )[0]
    cells_ND = spread_DHW.flatten(1).T
    rest = table_PD[start + before**2 :]
    return torch.cat([table_PD[:start], cells_ND, rest])[: len(table_PD)]


def convert_head(source: Path, target: Path, factor: float) -> None:
    """Convert a head with characters, whose boxes were fractions of an image ``factor`` as wide."""
    state = load_file(source / HEAD_FILE)
    for each in state.values():
        each[edge_outputs(characters=True)] *= factor
    with atomic_write(target / HEAD_FILE) as temporary:
        save_file(state, temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the start checkpoint, such as nano")
    parser.add_argument("target", type=Path, help="directory of the new checkpoint")
    parser.add_argument("--side", type=int, default=192, help="side of an image in pixels")
    parser.add_argument("--window", type=int, default=12, help="side of a window in cells")
    parser.add_argument("--head", type=Path, help="directory with a head of the dense loss")
    given = parser.parse_args()
    old = load(given.source, device="cpu", runtime="torch", precision="fp32")
    refine_grid(old, given.side, given.window).save(given.target)
    if given.head is not None:
        factor = old.processor.preprocessing.size[0] / given.side
        convert_head(given.head, given.target, factor)
    print(f"{given.target}: {STRIDES} pixels a step, {given.side} a side")


if __name__ == "__main__":
    main()
