"""Checks on what callers hand to a metric: every failure names the value and the remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sized

import numpy as np
from numpy.typing import ArrayLike


def check_unique(ids: Iterable[Hashable], what: str) -> None:
    """Raise a ValueError that names the ids which occur more than once."""
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} must be unique; repeated: {_some(repeated)}")


def check_known(ids: Iterable[Hashable], known: Collection[Hashable], what: str) -> None:
    """Raise a ValueError that names the ids which are not in `known`."""
    unknown_ids = list(dict.fromkeys(name for name in ids if name not in known))
    if unknown_ids:
        raise ValueError(
            f"{what} not in the ground truth: {_some(unknown_ids)}; "
            "is this another split, or are the ids of another type?"
        )


def check_same_length(first: Sized, second: Sized, what: str) -> None:
    """Raise a ValueError when the two differ in length; `what` is such as 'answers and truths'."""
    if len(first) != len(second):
        raise ValueError(f"{what} must be as many: {len(first)} and {len(second)}")


def check_finite(values: ArrayLike, what: str) -> None:
    """Raise a ValueError that says where the first NaN or infinite value stands."""
    array = np.asarray(values, dtype=np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(int(index) for index in bad[0])
        raise ValueError(f"{what} must be finite; at {place} there is {array[place]}")


def check_not_empty(items: Sized, what: str) -> None:
    """Raise a ValueError when there is nothing to average over."""
    if not len(items):
        raise ValueError(f"there are no {what} to score")


def _some(values: list[Hashable], most: int = 5) -> str:
    shown = ", ".join(repr(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
