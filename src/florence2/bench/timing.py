"""Seconds of a call, with the work that it queues on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def synchronize() -> None:
    """Wait until the GPU has done its queued work, if there is a GPU."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def time_call(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call."""
    synchronize()
    start = clock()
    call()
    synchronize()
    return clock() - start


def time_repeats(call: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of ``repeats`` calls, after one that does not count."""
    call()
    return [time_call(call) for _ in range(repeats)]
