"""Supervision of the decoder's cross-attention, for models that are trained from scratch.

From the language-model loss alone it takes long until cross-attention finds the part of the image
that a word is about. Labels say where it is (``token_regions``), so some heads are supervised with
it. This adds no parameters. Shapes: B examples, T target tokens, C cells of the last feature map
row by row, H supervised heads, G all heads, S encoder positions, E head width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from ...model.bart import Attention, Decoder, DecoderLayer

# The encoder's position of the first cell, after the mean of the image.
FIRST_CELL = 1
# One in so many heads is supervised.
_SUPERVISED_HEADS = 3
# Instead of minus infinity, whose gradient is NaN.
_LARGE_NEGATIVE = -1e4


@contextmanager
def record_attention(decoder: Decoder, regions_BTC: Tensor) -> Iterator[list[Tensor]]:
    """Within the block every pass of the decoder appends each layer's ``attention_in_regions``.

    The first layer, which has seen only the previous token, is left out when there are others.
    """
    layers = [cast(DecoderLayer, layer) for layer in decoder.layers]
    shares: list[Tensor] = []

    def record(attention: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        states_BTD, keys_BGSE, _, mask_B11S = inputs
        shares.append(
            attention_in_regions(
                cast(Attention, attention), states_BTD, keys_BGSE, mask_B11S, regions_BTC
            )
        )

    handles = [
        layer.cross_attention.register_forward_pre_hook(record) for layer in layers[1:] or layers
    ]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()


def attention_in_regions(
    attention: Attention,
    states_BTD: Tensor,
    keys_BGSE: Tensor,
    mask_B11S: Tensor | None,
    regions_BTC: Tensor,
) -> Tensor:
    """The log share of attention inside the regions, summed over tokens that have a region.

    Returns ``float32[H]``, one value per supervised head.
    """
    heads = max(1, attention.heads // _SUPERVISED_HEADS)
    queries_BHTE = attention.queries(states_BTD)[:, :heads]
    scores_BHTS = (queries_BHTE @ keys_BGSE[:, :heads].transpose(-1, -2)).float()
    scores_BHTS = scores_BHTS / math.sqrt(keys_BGSE.shape[-1])
    if mask_B11S is not None:
        scores_BHTS = scores_BHTS + mask_B11S
    logs_BHTS = scores_BHTS.log_softmax(dim=-1)
    cells_BHTC = logs_BHTS[..., FIRST_CELL : FIRST_CELL + regions_BTC.shape[-1]]
    shares_BHT = cells_BHTC.masked_fill(~regions_BTC[:, None], _LARGE_NEGATIVE).logsumexp(dim=-1)
    has_region_BT = regions_BTC.any(dim=-1)
    return (shares_BHT * has_region_BT[:, None]).sum(dim=(0, 2))
