"""The dense task asked of the encoder: whether its states still say what lies at every cell.

The decoder sees the picture through the encoder's states alone. A tower that knows every thing and
its box is of no use where these lose it, or hold it in a form that cannot be read off. So the
states at the picture's cells are asked for class and letters, as the tower is, and for their box
in the answer's own words: four linear maps turn a state into what the decoder would have to end
with to say each of the box's locations. All of it is dropped when training ends. Shapes: P
pictures, B pairs, H and W cells, C = H * W, D width, M cells on things, K location bins.
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
from ..loss import neighbor_bins

# The encoder's position behind the picture's mean.
_FIRST_CELL = 1
_EDGES = 4


class ProbeOutputs(NamedTuple):
    """What the encoder's states say: ``cells_PHWK`` as the tower's head gives them, and logits of
    the edges' locations ``[M, 4, K]`` at the cells on things."""

    cells_PHWK: Tensor
    edges_M4K: Tensor


class EncoderHead(nn.Module):
    """The maps that read states ``[P, H, W, D]``; ``outputs`` are those of the tower's head.

    They begin at zero, so that they follow the encoder before it has to follow them.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.cells = nn.Linear(width, outputs)
        self.edges = nn.Linear(width, _EDGES * width, bias=False)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, states_PHWD: Tensor, on_things_PHW: Tensor, locations_KD: Tensor
    ) -> ProbeOutputs:
        edges_M4D = self.edges(states_PHWD[on_things_PHW]).unflatten(-1, (_EDGES, -1))
        return ProbeOutputs(self.cells(states_PHWD), functional.linear(edges_M4D, locations_KD))


@contextmanager
def capture_encoder_states(encoder: Encoder) -> Iterator[list[Tensor]]:
    """Within, every pass of the encoder adds its states ``[B, S, D]`` to the list."""
    states: list[Tensor] = []

    def note(module: nn.Module, inputs: object, states_BSD: Tensor) -> None:
        states.append(states_BSD)

    handle = encoder.register_forward_hook(note)
    try:
        yield states
    finally:
        handle.remove()


def image_token_states(
    parts: list[Tensor], image_index_B: Tensor | None, grid: tuple[int, int]
) -> Tensor:
    """The states ``[P, H, W, D]`` at the cells of each picture, from those of one of its pairs,
    drawn by lot; ``parts`` hold the pairs in order, ``grid`` is (height, width)."""
    height, width = grid
    end = _FIRST_CELL + height * width
    cells_BCD = torch.cat([part[:, _FIRST_CELL:end] for part in parts])
    if image_index_B is not None:
        order = torch.randperm(len(image_index_B), device=image_index_B.device)
        chosen = torch.zeros(
            int(image_index_B.max()) + 1, dtype=torch.long, device=image_index_B.device
        ).scatter(0, image_index_B[order], order)
        cells_BCD = cells_BCD[chosen]
    return cells_BCD.view(len(cells_BCD), height, width, -1)


def edges_loss(edges_M4K: Tensor, boxes_M4: Tensor, weights_M: Tensor, spread: float) -> Tensor:
    """The mean cross entropy of the edges' locations, a scalar; 0 where there is no thing.

    ``boxes_M4`` are in parts of the picture, ``spread`` is the deviation in bins of the soft
    targets around them (0: none). Cells count by ``weights_M``, 1 in the mean.
    """
    bins_M4 = (boxes_M4 * BINS).long().clamp(0, BINS - 1)
    logs_M4K = edges_M4K.float().log_softmax(dim=-1)
    if spread:
        losses_M4 = -(neighbor_bins(bins_M4, spread) * logs_M4K).sum(dim=-1)
    else:
        losses_M4 = -logs_M4K.gather(-1, bins_M4[..., None]).squeeze(-1)
    return (losses_M4.mean(dim=-1) * weights_M).sum() / max(len(weights_M), 1)
