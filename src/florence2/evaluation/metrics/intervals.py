"""Bootstrap confidence intervals: images are resampled with replacement.

Percentile intervals (Efron and Tibshirani 1993, chapter 13). All samples come from one seed, so
that a report is repeatable; they are made in blocks, so that memory does not grow with their
number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .input_checks import check_not_empty

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.int64]
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A metric and the bounds between which ``confidence`` of its resampled values lie."""

    estimate: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class Difference(Interval):
    """Second minus first, with the share of samples that are zero or have the other sign.

    ``sign_flip_rate`` is near 0 for a certain sign of the difference and about .5 for chance.
    """

    sign_flip_rate: float


def bootstrap(
    items: int,
    statistic: Callable[[IndexArray], float],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of any metric of a set: ``statistic`` takes the indices ``int[items]`` to score.

    An index may occur more than once; the estimate is the metric of ``0 .. items - 1``.
    """
    check_not_empty(range(items), "items")
    metrics = np.asarray(
        [statistic(row) for indices in _draws(items, resamples, seed) for row in indices]
    )
    return _interval(float(statistic(np.arange(items))), metrics, confidence)


def paired_bootstrap(
    items: int,
    first: Callable[[IndexArray], float],
    second: Callable[[IndexArray], float],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The difference of any two metrics, ``second - first``, both on the same samples."""
    metrics: list[float] = []

    def difference(indices: IndexArray) -> float:
        metrics.append(second(indices) - first(indices))
        return metrics[-1]

    interval = bootstrap(items, difference, resamples=resamples, confidence=confidence, seed=seed)
    return _difference(interval, np.asarray(metrics[:resamples]))


def _draws(items: int, resamples: int, seed: int) -> Iterator[IndexArray]:
    """Blocks ``int[rows, items]`` of indices, ``resamples`` rows in all."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK_CELLS // items)
    for start in range(0, resamples, rows):
        yield generator.integers(0, items, (min(rows, resamples - start), items))


def _interval(estimate: float, metrics: FloatArray, confidence: float) -> Interval:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(metrics, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence, len(metrics))


def _difference(interval: Interval, metrics: FloatArray) -> Difference:
    crossed = metrics <= 0 if interval.estimate > 0 else metrics >= 0
    return Difference(
        interval.estimate,
        interval.low,
        interval.high,
        interval.confidence,
        interval.resamples,
        float(crossed.mean()),
    )
