"""A figure of a benchmark with all that a confidence interval needs of it.

What is drawn again and again are pictures, not cases: several questions about one picture are
right or wrong together, and drawing them apart would make intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .metrics.input_checks import check_finite, check_not_empty, check_same_length
from .metrics.intervals import (
    Difference,
    FloatArray,
    IndexArray,
    Interval,
    bootstrap,
    paired_bootstrap,
)

# An average precision takes some 30 ms for 5,000 pictures.
PRECISION_RESAMPLES = 100


@dataclass(frozen=True, eq=False)
class Metric:
    """A named number over pictures; ``at`` gives it for any draw of picture numbers ``int[N]``.

    ``resamples`` is how many draws an interval takes: fewer where one costs much. ``reflected``
    is for figures that draws push one way, as they push AP up, whose curve is made of maxima: the
    bounds are then those of the basic bootstrap, the percentiles mirrored at the figure (Davison
    and Hinkley 1997, section 5.2). ``defined`` is off where these images can't give the figure: its
    value is 0 then, and means nothing.
    """

    name: str
    pictures: int
    at: Callable[[IndexArray], float]
    higher_is_better: bool = True
    resamples: int = 1000
    reflected: bool = False
    defined: bool = True

    @property
    def value(self) -> float:
        """The figure of all pictures."""
        return float(self.at(np.arange(self.pictures)))

    def interval(self) -> Interval:
        """The figure with its 95% bounds."""
        found = bootstrap(self.pictures, self.at, resamples=self.resamples)
        if not self.reflected:
            return found
        twice = 2 * found.estimate
        return replace(found, low=twice - found.high, high=twice - found.low)

    def difference(self, other: Metric) -> Difference:
        """``other`` minus this one, on the same draws of the same pictures."""
        if (self.name, self.pictures) != (other.name, other.pictures):
            raise ValueError(
                f"only the same figure of the same pictures can be compared; got {self.name} of "
                f"{self.pictures} pictures and {other.name} of {other.pictures}"
            )
        return paired_bootstrap(self.pictures, self.at, other.at, resamples=self.resamples)


def mean_metric(
    name: str,
    values: ArrayLike,
    pictures: Sequence[Hashable],
    *,
    scale: float = 100.0,
    higher_is_better: bool = True,
) -> Metric:
    """The mean of one value per case, times ``scale``; ``pictures`` names each case's picture."""
    array = np.asarray(values, np.float64)
    counts = np.stack([array, np.ones(len(array))], axis=1)
    return ratio_metric(
        name,
        counts,
        pictures,
        share,
        scale=scale,
        higher_is_better=higher_is_better,
    )


def ratio_metric(
    name: str,
    counts: ArrayLike,
    pictures: Sequence[Hashable],
    figure: Callable[[FloatArray], float],
    *,
    scale: float = 100.0,
    higher_is_better: bool = True,
) -> Metric:
    """What ``figure`` makes of the sums of ``counts`` float[cases, K], times ``scale``."""
    array = np.asarray(counts, np.float64)
    check_not_empty(array, "cases")
    check_same_length(array, pictures, f"cases of {name} and their pictures")
    check_finite(array, f"counts of {name}")
    sums = _by_picture(array, pictures)
    return Metric(
        name,
        len(sums),
        lambda indices: scale * figure(sums[indices].sum(axis=0)),
        higher_is_better,
    )


def ap_metric(name: str, pictures: int, precision: Callable[[FloatArray], float]) -> Metric:
    """An average precision in percent; ``precision`` takes how often each picture was drawn."""

    def at(indices: IndexArray) -> float:
        counts = np.bincount(indices, minlength=pictures).astype(np.float64)
        return 100 * precision(counts)

    return Metric(name, pictures, at, resamples=PRECISION_RESAMPLES, reflected=True)


def share(sums: FloatArray) -> float:
    """The first of the sums over the second, 0 where that is 0: what ``ratio_metric`` takes."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def _by_picture(counts: FloatArray, pictures: Sequence[Hashable]) -> NDArray[np.float64]:
    """Counts summed for each picture, in the order in which the pictures come first."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(pictures))}
    sums = np.zeros((len(numbers), counts.shape[1]))
    np.add.at(sums, [numbers[name] for name in pictures], counts)
    return sums
