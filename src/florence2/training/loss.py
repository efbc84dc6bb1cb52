"""The language-model loss, with one shift and padding masked.

The decoder reads the start token and the target without its last token; it is asked for the
target itself. Shapes: B examples, T target tokens, M labels that count, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..results.locations import BINS

IGNORE_INDEX = -100


def pad_targets(targets: Sequence[Sequence[int]]) -> Tensor:
    """Labels ``int[B, T]`` of targets ``<s> ... </s>``, padded with ``IGNORE_INDEX``."""
    longest = max(map(len, targets))
    rows = [[*target, *[IGNORE_INDEX] * (longest - len(target))] for target in targets]
    return torch.tensor(rows)


def shift_right(labels_BT: Tensor, start: int, pad: int) -> Tensor:
    """Decoder inputs ``int[B, T]``: the start token, then every label but the last."""
    shifted_BT = labels_BT.roll(1, dims=1)
    shifted_BT[:, 0] = start
    return shifted_BT.masked_fill(shifted_BT == IGNORE_INDEX, pad)


def token_loss_sum(logits_MV: Tensor, labels_M: Tensor) -> Tensor:
    """The summed cross entropy, in float32.

    A sum, because a step's mean runs over all its micro-batches and processes together.
    """
    return functional.cross_entropy(logits_MV.float(), labels_M, reduction="sum")


def soft_location_loss(
    logits_MV: Tensor, labels_M: Tensor, first_location: int, spread: float
) -> Tensor:
    """``token_loss_sum`` where a location is a Gaussian over its neighbours, ``spread`` bins wide.

    A location one bin off is then nearly right, as it should be, and not as wrong as any other.
    """
    places_M = labels_M - first_location
    located_M = (places_M >= 0) & (places_M < BINS)
    words = token_loss_sum(logits_MV[~located_M], labels_M[~located_M])
    targets_LK = neighbor_bins(places_M[located_M], spread)
    logs_LK = torch.log_softmax(logits_MV[located_M].float(), dim=1)[
        :, first_location : first_location + BINS
    ]
    return words - (targets_LK * logs_LK).sum()


def neighbor_bins(bins: Tensor, spread: float) -> Tensor:
    """Targets ``float32[..., K]`` for location bins: a Gaussian over neighbours, adding up to 1."""
    distances = (torch.arange(BINS, device=bins.device) - bins[..., None]) / spread
    return torch.softmax(-0.5 * distances**2, dim=-1)
