"""How long a schedule takes on machines that fail: a simulation of parts, workers and restarts.

    python benchmarks/scale_model.py

A part is done whole or not at all, as in the engine. A worker fails at random (exponential times),
loses the part in hand, and comes back after a pause; a part that takes far too long because its
machine is slow is waited for. Printed: the time beside that of machines that never fail.
"""

from __future__ import annotations

import argparse
import heapq

import numpy as np


def simulate(
    parts: int,
    workers: int,
    seconds: float,
    *,
    spread: float = 0.2,
    failures_a_day: float = 1.0,
    pause: float = 600.0,
    seed: int = 0,
) -> tuple[float, float]:
    """Hours until all parts are done, and the share of work that was lost to failures.

    ``seconds`` are the mean of a part, with a deviation of ``spread`` of it between machines.
    """
    rng = np.random.default_rng(seed)
    pace = np.clip(rng.normal(1, spread, workers), 0.5, None)
    next_failure = rng.exponential(86400 / failures_a_day, workers)
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    left, lost, last = parts, 0.0, 0.0
    while left:
        now, worker = heapq.heappop(free)
        length = seconds * pace[worker]
        if now + length > next_failure[worker]:
            failed = max(next_failure[worker], now)
            lost += failed - now
            next_failure[worker] = failed + pause + rng.exponential(86400 / failures_a_day)
            heapq.heappush(free, (failed + pause, worker))
            continue
        left -= 1
        last = max(last, now + length)
        heapq.heappush(free, (now + length, worker))
    return last / 3600, lost / (parts * seconds)


def main() -> None:
    """Print a table for several numbers of workers and rates of failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=126_000_000)
    parser.add_argument("--part", type=int, default=4096)
    parser.add_argument("--rate", type=float, default=20.0, help="pictures a second of a worker")
    chosen = parser.parse_args()
    parts, seconds = chosen.pictures // chosen.part, chosen.part / chosen.rate
    print(f"{'workers':>8}{'failures a day':>16}{'hours':>9}{'over ideal':>12}{'work lost':>11}")
    for workers in (8, 64, 512):
        ideal = parts * seconds / workers / 3600
        for failures in (0.1, 1.0, 10.0):
            hours, lost = simulate(parts, workers, seconds, failures_a_day=failures)
            print(f"{workers:8}{failures:16.1f}{hours:9.1f}{hours / ideal - 1:12.1%}{lost:11.2%}")


if __name__ == "__main__":
    main()
