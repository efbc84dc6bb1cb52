"""Seconds of a call, taken when it is over on a GPU too."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def finish() -> None:
    """Wait until a GPU has done what it was given; without one there is nothing to wait for."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call."""
    finish()
    start = clock()
    call()
    finish()
    return clock() - start


def times(call: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of so many calls, after one that is not counted."""
    call()
    return [seconds_of(call) for _ in range(repeats)]
