"""The mean of one number per case, group by group, as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ..benchmark import Table


def grouped_table(
    title: str,
    columns: tuple[str, str, str],
    groups: Sequence[str],
    values: Sequence[float],
    *,
    order: Sequence[str] | None = None,
    most: int | None = None,
) -> Table:
    """How many cases each group has and the mean of their values in percent.

    Groups stand in ``order`` (those without a case left out), or else by falling count, ``most``
    of them at most.
    """
    members: dict[str, list[float]] = defaultdict(list)
    for group, value in zip(groups, values, strict=True):
        members[group].append(float(value))
    names = sorted(members, key=lambda name: (-len(members[name]), name))
    if order is not None:
        names = [name for name in order if name in members]
    rows = tuple(
        (name, len(members[name]), round(100 * float(np.mean(members[name])), 1))
        for name in names[:most]
    )
    return Table(title, columns, rows)
