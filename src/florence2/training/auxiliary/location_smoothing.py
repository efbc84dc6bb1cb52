"""Soft targets for location tokens: a Gaussian over neighboring bins.

A prediction one bin off then costs little, and not as much as any other wrong token. Shapes: M
target tokens, V vocabulary, K location bins.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...results.locations import BINS
from ..loss import token_loss_sum
from ..recipe import AuxiliaryConfig


def smoothing_sigma(config: AuxiliaryConfig, progress: float) -> float:
    """The standard deviation in bins when ``progress`` (0 to 1) of the run is done; 0 for none."""
    start, end = config.location_smoothing_sigma, config.final_location_smoothing_sigma
    return start if end is None else start + progress * (end - start)


def soft_location_loss(
    logits_MV: Tensor, labels_M: Tensor, first_location: int, sigma: float
) -> Tensor:
    """``token_loss_sum`` with soft targets at location tokens, ``sigma`` bins wide.

    ``first_location`` is the id of the first location token.
    """
    bins_M = labels_M - first_location
    is_location_M = (bins_M >= 0) & (bins_M < BINS)
    word_loss = token_loss_sum(logits_MV[~is_location_M], labels_M[~is_location_M])
    targets_LK = neighbor_bins(bins_M[is_location_M], sigma)
    log_probabilities_LK = torch.log_softmax(logits_MV[is_location_M].float(), dim=1)[
        :, first_location : first_location + BINS
    ]
    return word_loss - (targets_LK * log_probabilities_LK).sum()


def neighbor_bins(bins: Tensor, sigma: float) -> Tensor:
    """Targets ``float32[..., K]`` for location bins: a Gaussian over neighbors with sum 1."""
    distances = (torch.arange(BINS, device=bins.device) - bins[..., None]) / sigma
    return torch.softmax(-0.5 * distances**2, dim=-1)
