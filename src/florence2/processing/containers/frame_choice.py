"""Selection of video frames at a fixed interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

_SLACK = 1e-6


def choose_frames(
    times: Iterable[float], every: float, start: float = 0.0, end: float | None = None
) -> list[tuple[float, float]]:
    """One frame per interval: the first at or after ``start + k * every``.

    Args:
        times: the times of all frames, ascending, in seconds.
        every: the length of an interval, in seconds.
        start: the start of the first interval.
        end: frames after this time are not selected; ``None`` for no limit.

    Returns:
        For each selected frame (that time, the frame's own time), ascending. A frame that is the
        first of several intervals is selected once, with the last of their times.

    Raises:
        ValueError: ``every`` is not above 0.
    """
    if not every > 0 or not math.isfinite(every):
        raise ValueError(f"every must be a number of seconds above 0, got {every}")
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
