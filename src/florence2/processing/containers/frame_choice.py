"""Which frames are taken where one is wanted every so many seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable

_SLACK = 1e-6


def choose_frames(
    times: Iterable[float], every: float, start: float = 0.0, end: float | None = None
) -> list[tuple[float, float]]:
    """For each frame that is taken the time it stands for and its own, in ascending order.

    ``times`` are those of all frames, ascending. A frame stands for the last multiple of
    ``every`` from ``start`` on that it is the first at or after, so that no frame is taken twice
    and one that is held is taken once. Raises ``ValueError`` for ``every`` that is not above 0.
    """
    if not every > 0 or not math.isfinite(every):
        raise ValueError(f"every is seconds above 0, got {every}")
    chosen: list[tuple[float, float]] = []
    wanted = 0
    for shown in times:
        if end is not None and shown > end:
            break
        if shown + _SLACK < start + wanted * every:
            continue
        step = max(wanted, math.floor((shown - start + _SLACK) / every))
        chosen.append((round(start + step * every, 6), shown))
        wanted = step + 1
    return chosen
