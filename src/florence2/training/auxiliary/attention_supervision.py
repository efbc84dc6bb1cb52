"""Where the decoder looks: an aid for models that start from nothing.

Language alone lets the attention between decoder and encoder find by chance which part of the
picture a word is about, and takes long. Labels tell it (``places``), so some of its heads are
told. Nothing is added to the model. Shapes: B examples, T target tokens, C cells of the tower's
last map row by row, G heads, S encoder positions, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from ...model.bart import Attention, Decoder, DecoderLayer

# The encoder's position behind the picture's mean.
_FIRST_CELL = 1
# One in so many heads is told; the others look where they like.
_TOLD = 3
# Stands for minus infinity, of which the gradient would not be a number.
_NEVER = -1e4


@contextmanager
def record_attention(decoder: Decoder, places_BTC: Tensor) -> Iterator[list[Tensor]]:
    """Within, every pass of the decoder adds to the list how much it looks at the right places.

    That is ``float32[H]`` of a layer: the logarithm of the share of attention on the right cells,
    summed over tokens that have any, of each head that is told. The first layer, which
    knows no more than the last word yet, is not asked where there are others.
    """
    layers = [cast(DecoderLayer, layer) for layer in decoder.layers]
    told: list[Tensor] = []

    def note(attention: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        states_BTD, keys_BGSE, _, mask_B11S = inputs
        told.append(
            looking(cast(Attention, attention), states_BTD, keys_BGSE, mask_B11S, places_BTC)
        )

    handles = [
        layer.cross_attention.register_forward_pre_hook(note) for layer in layers[1:] or layers
    ]
    try:
        yield told
    finally:
        for handle in handles:
            handle.remove()


def looking(
    attention: Attention,
    states_BTD: Tensor,
    keys_BGSE: Tensor,
    mask_B11S: Tensor | None,
    places_BTC: Tensor,
) -> Tensor:
    """The logarithm of the share of attention on the right cells, summed over the tokens that have
    any: ``float32[H]``, of each head that is told."""
    heads = max(1, attention.heads // _TOLD)
    queries_BHTE = attention.queries(states_BTD)[:, :heads]
    scores_BHTS = (queries_BHTE @ keys_BGSE[:, :heads].transpose(-1, -2)).float()
    scores_BHTS = scores_BHTS / math.sqrt(keys_BGSE.shape[-1])
    if mask_B11S is not None:
        scores_BHTS = scores_BHTS + mask_B11S
    logs_BHTS = scores_BHTS.log_softmax(dim=-1)
    cells_BHTC = logs_BHTS[..., _FIRST_CELL : _FIRST_CELL + places_BTC.shape[-1]]
    shares_BHT = cells_BHTC.masked_fill(~places_BTC[:, None], _NEVER).logsumexp(dim=-1)
    asked_BT = places_BTC.any(dim=-1)
    return (shares_BHT * asked_BT[:, None]).sum(dim=(0, 2))
