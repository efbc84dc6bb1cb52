"""Checks of the arguments of metrics; errors name the value and how to fix it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sized

import numpy as np
from numpy.typing import ArrayLike


def check_unique(ids: Iterable[Hashable], what: str) -> None:
    """Raise ``ValueError`` that names the ids which occur more than once."""
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} must be unique; repeated: {_some(repeated)}")


def check_known(ids: Iterable[Hashable], known: Collection[Hashable], what: str) -> None:
    """Raise ``ValueError`` that names the ids which are not in ``known``."""
    unknown_ids = list(dict.fromkeys(name for name in ids if name not in known))
    if unknown_ids:
        raise ValueError(
            f"{what} not in the ground truth: {_some(unknown_ids)}; "
            "this may be another split, or the ids are of another type"
        )


def check_same_length(first: Sized, second: Sized, what: str) -> None:
    """Raise ``ValueError`` when the two differ in length.

    ``what`` names both, as in "predictions and ground truths".
    """
    if len(first) != len(second):
        raise ValueError(f"{what} differ in length: {len(first)} and {len(second)}")


def check_finite(values: ArrayLike, what: str) -> None:
    """Raise ``ValueError`` with the index of the first NaN or infinite value."""
    array = np.asarray(values, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(each) for each in bad[0])
        raise ValueError(f"{what} must be finite; at {index} there is {array[index]}")


def check_not_empty(items: Sized, what: str) -> None:
    """Raise ``ValueError`` when there is nothing to average over."""
    if not len(items):
        raise ValueError(f"there are no {what} to score")


def _some(values: list[Hashable], max_shown: int = 5) -> str:
    shown = ", ".join(repr(value) for value in values[:max_shown])
    return shown if len(values) <= max_shown else f"{shown} and {len(values) - max_shown} more"
