"""Gives a small model's tower a finer grid: ``python recipes/nano_grid.py nano runs/nano-grid``.

The third stage steps two cells instead of three, so that 192 pixels become 12 x 12 cells instead
of 8 x 8, and windows are as large as that map. No weight changes its shape; what belongs to a place
(positions of cells in the projector, of image and prompt tokens in the encoder) is moved to where
that place is now. The tower has to get used to it: train it before anything else.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from florence2.model import Florence2Model
from florence2.model.bart import POSITION_OFFSET
from florence2.model.davit import ChannelAttention
from florence2.predictor import Florence2, load
from florence2.runtime import TorchRuntime

STRIDES, PADDINGS, WINDOW = (4, 2, 2, 1), (3, 1, 1, 1), 12


def refined(source: str) -> Florence2:
    """The model with the finer grid."""
    old = load(source, device="cpu", runtime="torch", precision="fp32")
    config = old.config
    vision = replace(config.vision, patch_strides=STRIDES, patch_paddings=PADDINGS, window=WINDOW)
    config = replace(config, vision=vision)
    side = old.processor.preprocessing.size[0]
    before, after = side // old.config.vision.stride, side // vision.stride
    state = dict(old.runtime.model.state_dict())
    for name in ("projector.column_embeddings.weight", "projector.row_embeddings.weight"):
        state[name] = _stretched(state[name], before, after)
    name = "encoder.positions.weight"
    state[name] = _moved(state[name], before, after)
    model = Florence2Model(config)
    model.load_state_dict(state)
    _keep_sums(model, before / after)
    processor = old.processor.resized((side, side), config.text.positions, vision.stride)
    return Florence2(source, TorchRuntime(model), processor)


def _keep_sums(model: Florence2Model, factor: float) -> None:
    """Attention between channels sums over places, of which the finer maps have more."""
    for stage in list(model.tower.stages)[2:]:
        for block in stage.blocks:
            if isinstance(block.attention, ChannelAttention):
                qkv = block.attention.qkv
                queries = qkv.in_features
                with torch.no_grad():
                    qkv.weight[:queries] *= factor
                    qkv.bias[:queries] *= factor


def _stretched(table_PC: Tensor, before: int, after: int) -> Tensor:
    """Positions along one side: those of the old cells spread over the new ones."""
    spread_AC = functional.interpolate(
        table_PC[:before].T[None], size=after, mode="linear", align_corners=False
    )[0].T
    return torch.cat([spread_AC, table_PC[after:]])


def _moved(table_PD: Tensor, before: int, after: int) -> Tensor:
    """The encoder's positions: the picture's mean, its cells row by row, then the prompt."""
    start = POSITION_OFFSET + 1
    cells_HWD = table_PD[start : start + before**2].view(before, before, -1)
    spread_DHW = functional.interpolate(
        cells_HWD.permute(2, 0, 1)[None], size=(after, after), mode="bilinear", align_corners=False
    )[0]
    cells_ND = spread_DHW.flatten(1).T
    rest = table_PD[start + before**2 :]
    return torch.cat([table_PD[:start], cells_ND, rest])[: len(table_PD)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the checkpoint to begin from, such as nano")
    parser.add_argument("target", type=Path, help="folder for the new one")
    given = parser.parse_args()
    refined(given.source).save(given.target)
    print(f"{given.target}: {STRIDES} pixels a step")


if __name__ == "__main__":
    main()
