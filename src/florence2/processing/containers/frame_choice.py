"""Selection of video frames at a fixed interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

_SLACK = 1e-6


def choose_frames(
    times: Iterable[float], every: float, start: float = 0.0, end: float | None = None
) -> list[tuple[float, float]]:
    """For each selected frame its nominal time and its own, in ascending order.

    ``times`` are those of all frames, ascending. The nominal time of a frame is the last multiple
    of ``every`` from ``start`` on that it is the first frame at or after, so no frame is taken
    twice. Raises ``ValueError`` for ``every`` that is not above 0.
    """
    if not every > 0 or not math.isfinite(every):
        raise ValueError(f"every is seconds above 0, got {every}")
    chosen: list[tuple[float, float]] = []
    next_index = 0
    for shown in times:
        if end is not None and shown > end:
            break
        if shown + _SLACK < start + next_index * every:
            continue
        step = max(next_index, math.floor((shown - start + _SLACK) / every))
        chosen.append((round(start + step * every, 6), shown))
        next_index = step + 1
    return chosen
