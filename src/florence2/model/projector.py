"""From the last feature map to the image tokens that the encoder reads.

Shapes: B images, H and W cells, C channels, N = H * W, D width of the encoder.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Projector(nn.Module):
    """Image tokens ``float[B, 1 + N, D]``: the mean of all cells first, then every cell."""

    temporal_TC: Tensor

    def __init__(self, channels: int, width: int, max_positions: int, max_frames: int) -> None:
        super().__init__()
        self.max_positions = max_positions
        self.column_embeddings = nn.Embedding(max_positions, channels // 2)
        self.row_embeddings = nn.Embedding(max_positions, channels - channels // 2)
        self.projection = nn.Linear(channels, width, bias=False)
        self.norm = nn.LayerNorm(width)
        # The released model can number the frames of a clip; an image is frame 0.
        table = sinusoids(max_frames, channels)
        self.register_buffer("temporal_TC", table)

    def forward(self, map_BHWC: Tensor) -> Tensor:
        _, height, width, _ = map_BHWC.shape
        if max(height, width) > self.max_positions:
            raise ValueError(
                f"the feature map is {height} x {width} cells; this model has positions for "
                f"{self.max_positions} in each direction: use a smaller image size"
            )
        columns_WC = self.column_embeddings.weight[:width]
        rows_HC = self.row_embeddings.weight[:height]
        position_HWC = torch.cat(
            [columns_WC.expand(height, -1, -1), rows_HC[:, None].expand(-1, width, -1)], dim=-1
        )
        cells_BNC = (map_BHWC + position_HWC).flatten(1, 2) + self.temporal_TC[0]
        pooled_B1C = cells_BNC.mean(dim=1, keepdim=True)
        return self.norm(self.projection(torch.cat([pooled_B1C, cells_BNC], dim=1)))


def sinusoids(positions: int, channels: int) -> Tensor:
    """The fixed table ``float[T, C]``: sines in the even columns, cosines in the odd ones."""
    position_T1 = torch.arange(positions, dtype=torch.float32)[:, None]
    even = torch.arange(0, channels, 2, dtype=torch.float32)
    angle = position_T1 * torch.exp(even * (-math.log(10000.0) / channels))
    table_TC = torch.zeros(positions, channels)
    table_TC[:, 0::2] = torch.sin(angle)
    table_TC[:, 1::2] = torch.cos(angle[:, : channels // 2])
    return table_TC
