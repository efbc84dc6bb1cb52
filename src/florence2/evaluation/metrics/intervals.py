"""Bootstrap confidence intervals: pictures are drawn with replacement, the figure is taken anew.

Percentile intervals (Efron and Tibshirani 1993, chapter 13). All draws come from one seed, so a
report can be made again; draws are made in blocks, so memory does not grow with their number.
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
    """A figure and the bounds between which `confidence` of the resampled figures lie."""

    estimate: float
    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class Difference(Interval):
    """Second minus first, with the share of resamples that fall on zero or its other side.

    `reversals` is near 0 when the sign of the difference is sure and about .5 when it is chance.
    """

    reversals: float


def bootstrap(
    items: int,
    statistic: Callable[[IndexArray], float],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of any figure of a set: `statistic` takes the indices `int[items]` to score.

    An index may come more than once; the estimate is the figure of `0 .. items - 1`.
    """
    check_not_empty(range(items), "items")
    figures = np.asarray(
        [statistic(row) for indices in _draws(items, resamples, seed) for row in indices]
    )
    return _interval(float(statistic(np.arange(items))), figures, confidence)


def paired_bootstrap(
    items: int,
    first: Callable[[IndexArray], float],
    second: Callable[[IndexArray], float],
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The difference of any two figures, `second - first`, both taken on the same draws."""
    figures: list[float] = []

    def difference(indices: IndexArray) -> float:
        figures.append(second(indices) - first(indices))
        return figures[-1]

    interval = bootstrap(items, difference, resamples=resamples, confidence=confidence, seed=seed)
    return _difference(interval, np.asarray(figures[:resamples]))


def _draws(items: int, resamples: int, seed: int) -> Iterator[IndexArray]:
    """Blocks `int[rows, items]` of indices, `resamples` rows in all."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK_CELLS // items)
    for start in range(0, resamples, rows):
        yield generator.integers(0, items, (min(rows, resamples - start), items))


def _interval(estimate: float, figures: FloatArray, confidence: float) -> Interval:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence, len(figures))


def _difference(interval: Interval, figures: FloatArray) -> Difference:
    crossed = figures <= 0 if interval.estimate > 0 else figures >= 0
    return Difference(
        interval.estimate,
        interval.low,
        interval.high,
        interval.confidence,
        interval.resamples,
        float(crossed.mean()),
    )
