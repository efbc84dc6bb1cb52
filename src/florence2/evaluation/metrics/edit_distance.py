"""Levenshtein distance over characters, words or any other symbols."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The minimum number of insertions, deletions and substitutions from ``first`` to
    ``second``."""
    if len(first) < len(second):
        first, second = second, first
    if not second:
        return len(first)
    numbers = {symbol: number for number, symbol in enumerate(dict.fromkeys([*first, *second]))}
    columns = np.asarray([numbers[symbol] for symbol in second])
    steps = np.arange(len(columns) + 1)
    row = steps.copy()
    for symbol in first:
        replaced = row[:-1] + (columns != numbers[symbol])
        following = row + 1
        np.minimum(following[1:], replaced, out=following[1:])
        # Insertions run along the row: each costs one more than its left neighbor, which is a
        # running minimum once the steps themselves are subtracted.
        row = np.minimum.accumulate(following - steps) + steps
    return int(row[-1])
