"""Bootstrap intervals: repeatable, of the width theory gives, sharper when paired."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from florence2.evaluation.metrics.intervals import (
    Difference,
    Interval,
    bootstrap,
    paired_bootstrap,
)


def mean_interval(values: Any, **options: Any) -> Interval:
    """The interval of a mean."""
    return bootstrap(len(values), lambda indices: float(values[indices].mean()), **options)


def paired_difference(first: Any, second: Any) -> Difference:
    """The interval of the difference of two means."""
    return paired_bootstrap(
        len(first),
        lambda indices: float(first[indices].mean()),
        lambda indices: float(second[indices].mean()),
    )


def test_width_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    interval = mean_interval(values, resamples=4000)
    assert interval.estimate == pytest.approx(values.mean())
    # 1.96 standard errors to each side.
    half = 1.96 * values.std() / 20
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.08)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.08)


def test_a_seed_repeats_the_interval() -> None:
    values = np.arange(50.0)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


def test_pairing_sharpens_a_difference() -> None:
    generator = np.random.default_rng(0)
    first = generator.normal(0, 10, 200)
    second = first + generator.normal(0.5, 0.5, 200)
    difference = paired_difference(first, second)
    assert difference.low > 0.3
    assert difference.high < 0.7
    assert difference.sign_flip_rate == 0
    chance = paired_difference(first, first + generator.normal(0, 1, 200) * 0.01)
    assert chance.low < 0 < chance.high or chance.sign_flip_rate > 0.001


def test_paired_metrics_share_their_draws() -> None:
    values = np.random.default_rng(0).uniform(size=40)
    difference = paired_bootstrap(
        40,
        lambda indices: float(values[indices].sum()),
        lambda indices: float(values[indices].sum() + 1),
    )
    assert difference.estimate == pytest.approx(1)
    assert difference.low == pytest.approx(1)
    assert difference.high == pytest.approx(1)
    assert difference.sign_flip_rate == 0


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="no items"):
        mean_interval([])
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        mean_interval(np.ones(1), resamples=0)
    with pytest.raises(ValueError, match="confidence must be between 0 and 1, got 95"):
        mean_interval(np.ones(1), confidence=95)
