"""A metric with what its confidence interval needs.

Images are resampled, not examples: several examples of one image are correlated, and intervals
over examples would be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.deprecation import renamed_arguments, renamed_fields
from .metrics.input_checks import check_finite, check_not_empty, check_same_length
from .metrics.intervals import (
    Difference,
    FloatArray,
    IndexArray,
    Interval,
    bootstrap,
    paired_bootstrap,
)

# An average precision takes some 30 ms for 5,000 images.
AP_RESAMPLES = 100


@renamed_fields(pictures="num_images", at="evaluate", reflected="basic_bootstrap")
@dataclass(frozen=True, eq=False)
class Metric:
    """A named number over a set of images.

    Args:
        name: name in reports.
        num_images: size of the set.
        evaluate: indices of images ``int[N]``, with repetitions -> the metric of that sample.
        higher_is_better: false for error rates.
        resamples: number of bootstrap samples.
        basic_bootstrap: mirror the percentiles at the estimate (Davison and Hinkley 1997, section
            5.2). For metrics that resampling biases upward, such as AP, whose curve is made of
            maxima.
        defined: false where these images cannot give the metric; its value is then 0.
    """

    name: str
    num_images: int
    evaluate: Callable[[IndexArray], float]
    higher_is_better: bool = True
    resamples: int = 1000
    basic_bootstrap: bool = False
    defined: bool = True

    @property
    def value(self) -> float:
        """The metric of all images."""
        return float(self.evaluate(np.arange(self.num_images)))

    def interval(self) -> Interval:
        """The metric with its 95% confidence interval."""
        found = bootstrap(self.num_images, self.evaluate, resamples=self.resamples)
        if not self.basic_bootstrap:
            return found
        twice = 2 * found.estimate
        return replace(found, low=twice - found.high, high=twice - found.low)

    def difference(self, other: Metric) -> Difference:
        """``other`` minus this metric, on the same samples of the same images."""
        if (self.name, self.num_images) != (other.name, other.num_images):
            raise ValueError(
                f"only the same metric of the same images can be compared; got {self.name} of "
                f"{self.num_images} images and {other.name} of {other.num_images}"
            )
        return paired_bootstrap(
            self.num_images, self.evaluate, other.evaluate, resamples=self.resamples
        )


@renamed_arguments(pictures="image_ids")
def mean_metric(
    name: str,
    values: ArrayLike,
    image_ids: Sequence[Hashable],
    *,
    scale: float = 100.0,
    higher_is_better: bool = True,
) -> Metric:
    """The mean of ``values`` ``float[examples]`` times ``scale``.

    ``image_ids`` has the image of each example.
    """
    array = np.asarray(values, np.float64)
    counts = np.stack([array, np.ones(len(array))], axis=1)
    return ratio_metric(
        name, counts, image_ids, ratio, scale=scale, higher_is_better=higher_is_better
    )


@renamed_arguments(pictures="image_ids", figure="formula")
def ratio_metric(
    name: str,
    counts: ArrayLike,
    image_ids: Sequence[Hashable],
    formula: Callable[[FloatArray], float],
    *,
    scale: float = 100.0,
    higher_is_better: bool = True,
) -> Metric:
    """``formula`` of the column sums of ``counts`` ``float[examples, K]``, times ``scale``."""
    array = np.asarray(counts, np.float64)
    check_not_empty(array, "examples")
    check_same_length(array, image_ids, f"examples of {name} and their images")
    check_finite(array, f"counts of {name}")
    sums = _sum_by_image(array, image_ids)
    return Metric(
        name,
        len(sums),
        lambda indices: scale * formula(sums[indices].sum(axis=0)),
        higher_is_better,
    )


@renamed_arguments(pictures="num_images")
def ap_metric(name: str, num_images: int, precision: Callable[[FloatArray], float]) -> Metric:
    """An average precision in percent; ``precision`` takes how often each image was drawn."""

    def evaluate(indices: IndexArray) -> float:
        counts = np.bincount(indices, minlength=num_images).astype(np.float64)
        return 100 * precision(counts)

    return Metric(name, num_images, evaluate, resamples=AP_RESAMPLES, basic_bootstrap=True)


def ratio(sums: FloatArray) -> float:
    """The first sum over the second, 0 where that is 0; a ``formula`` of ``ratio_metric``."""
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def _sum_by_image(counts: FloatArray, image_ids: Sequence[Hashable]) -> NDArray[np.float64]:
    """Counts summed for each image, in the order of first occurrence."""
    indices = {image_id: index for index, image_id in enumerate(dict.fromkeys(image_ids))}
    sums = np.zeros((len(indices), counts.shape[1]))
    np.add.at(sums, [indices[image_id] for image_id in image_ids], counts)
    return sums
