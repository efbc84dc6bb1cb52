"""The dense objective on the encoder's states: they must encode the contents of every cell.

The decoder sees the image through the encoder's states alone, and these can lose information of
the vision encoder. So the states at the image's cells predict class and characters, as the last
feature map does, and the box as location tokens: four linear maps turn a state into the vector that
the decoder needs to predict each edge's location. All of it is dropped after training. Shapes: P
images, B pairs, H and W cells, C = H * W, D width, M object cells, K location bins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...model.bart import Encoder
from ...results.locations import BINS
from .attention_supervision import FIRST_CELL
from .location_smoothing import neighbor_bins

_EDGES = 4


class ProbeOutputs(NamedTuple):
    """``cells_PHWK`` as the dense head gives them, and logits of the edges' locations
    ``[M, 4, K]`` at the object cells."""

    cells_PHWK: Tensor
    edges_M4K: Tensor


class EncoderHead(nn.Module):
    """Linear maps of encoder states ``[P, H, W, D]``; ``outputs`` is that of the dense head.

    Initialized with zeros: the maps adapt to the encoder before the encoder adapts to them.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.cells = nn.Linear(width, outputs)
        self.edges = nn.Linear(width, _EDGES * width, bias=False)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, states_PHWD: Tensor, is_object_PHW: Tensor, locations_KD: Tensor
    ) -> ProbeOutputs:
        edges_M4D = self.edges(states_PHWD[is_object_PHW]).unflatten(-1, (_EDGES, -1))
        return ProbeOutputs(self.cells(states_PHWD), functional.linear(edges_M4D, locations_KD))


@contextmanager
def capture_encoder_states(encoder: Encoder) -> Iterator[list[Tensor]]:
    """Within the block every pass of the encoder appends its states ``[B, S, D]`` to the list."""
    states: list[Tensor] = []

    def record(module: nn.Module, inputs: object, states_BSD: Tensor) -> None:
        states.append(states_BSD)

    handle = encoder.register_forward_hook(record)
    try:
        yield states
    finally:
        handle.remove()


def image_token_states(
    parts: list[Tensor], image_index_B: Tensor | None, grid: tuple[int, int]
) -> Tensor:
    """The states ``[P, H, W, D]`` at the cells of each image, from one of its pairs at random.

    ``parts`` have the pairs in order; ``grid`` is (height, width).
    """
    height, width = grid
    end = FIRST_CELL + height * width
    cells_BCD = torch.cat([part[:, FIRST_CELL:end] for part in parts])
    if image_index_B is not None:
        order = torch.randperm(len(image_index_B), device=image_index_B.device)
        chosen = torch.zeros(
            int(image_index_B.max()) + 1, dtype=torch.long, device=image_index_B.device
        ).scatter(0, image_index_B[order], order)
        cells_BCD = cells_BCD[chosen]
    return cells_BCD.view(len(cells_BCD), height, width, -1)


def edge_loss(edges_M4K: Tensor, boxes_M4: Tensor, weights_M: Tensor, sigma: float) -> Tensor:
    """The mean cross entropy of the edges' locations, a scalar; 0 without object cells.

    Args:
        edges_M4K: logits of the bins.
        boxes_M4: boxes in fractions of the image.
        weights_M: the cells' weights, with mean 1.
        sigma: standard deviation of the soft targets in bins; 0 for hard targets.
    """
    bins_M4 = (boxes_M4 * BINS).long().clamp(0, BINS - 1)
    logs_M4K = edges_M4K.float().log_softmax(dim=-1)
    if sigma:
        losses_M4 = -(neighbor_bins(bins_M4, sigma) * logs_M4K).sum(dim=-1)
    else:
        losses_M4 = -logs_M4K.gather(-1, bins_M4[..., None]).squeeze(-1)
    return (losses_M4.mean(dim=-1) * weights_M).sum() / max(len(weights_M), 1)
