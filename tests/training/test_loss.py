"""Soft targets over neighbouring locations, against sums written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from florence2.results.locations import BINS
from florence2.training.auxiliary.location_smoothing import smoothing_sigma, soft_location_loss
from florence2.training.loss import token_loss_sum
from florence2.training.recipe import AuxiliaryConfig

FIRST = 7


def test_a_small_sigma_is_cross_entropy_and_words_keep_hard_targets() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, FIRST + BINS + 3)
    labels = torch.tensor([0, FIRST, FIRST + 400, FIRST + BINS - 1, FIRST + BINS + 2])
    blurred = soft_location_loss(logits, labels, FIRST, 1e-3)
    assert blurred.item() == pytest.approx(token_loss_sum(logits, labels).item(), rel=1e-5)


def test_a_soft_target_is_a_gaussian_over_bins() -> None:
    logits = torch.randn(1, FIRST + BINS)
    label, spread = 500, 8.0
    weights = [math.exp(-0.5 * ((bin_ - label) / spread) ** 2) for bin_ in range(BINS)]
    logs = torch.log_softmax(logits[0].double(), dim=0)
    expected = -sum(
        weight / sum(weights) * logs[FIRST + bin_].item() for bin_, weight in enumerate(weights)
    )
    found = soft_location_loss(logits, torch.tensor([FIRST + label]), FIRST, spread)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_near_bin_costs_less_than_a_far_one() -> None:
    def cost(guess: int) -> float:
        logits = torch.zeros(1, FIRST + BINS)
        logits[0, FIRST + guess] = 5
        return soft_location_loss(logits, torch.tensor([FIRST + 500]), FIRST, 4.0).item()

    assert cost(500) < cost(503) < cost(540)


def test_the_sigma_moves_linearly_to_its_end() -> None:
    auxiliary = AuxiliaryConfig(location_smoothing_sigma=8.0, final_location_smoothing_sigma=2.0)
    assert [smoothing_sigma(auxiliary, step / 3) for step in range(4)] == [8.0, 6.0, 4.0, 2.0]
    assert smoothing_sigma(AuxiliaryConfig(location_smoothing_sigma=8.0), 1.0) == 8.0
    assert smoothing_sigma(AuxiliaryConfig(), 1.0) == 0.0
