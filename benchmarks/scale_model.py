"""How long an engine run takes on machines that fail: simulated chunks, workers and restarts.

    python benchmarks/scale_model.py

Chunks are atomic, as in the data engine. A worker fails at random (exponential times), loses the
chunk in progress, and comes back after a pause. Slow machines are waited for. Prints the time and
its overhead over equal machines without failures.
"""

from __future__ import annotations

import argparse
import heapq

import numpy as np


def simulate(
    chunks: int,
    workers: int,
    seconds: float,
    *,
    spread: float = 0.2,
    failures_a_day: float = 1.0,
    pause: float = 600.0,
    seed: int = 0,
) -> tuple[float, float]:
    """Hours until all chunks are done, and the fraction of work that failures lost.

    ``seconds`` is the mean time of a chunk; machines differ from it by ``spread`` (one sigma).
    """
    rng = np.random.default_rng(seed)
    pace = np.clip(rng.normal(1, spread, workers), 0.5, None)
    next_failure = rng.exponential(86400 / failures_a_day, workers)
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    left, lost, last = chunks, 0.0, 0.0
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
    return last / 3600, lost / (chunks * seconds)


def main() -> None:
    """Print a table for several numbers of workers and rates of failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=126_000_000)
    parser.add_argument("--chunk-size", type=int, default=4096)
    parser.add_argument("--rate", type=float, default=20.0, help="images per second and worker")
    options = parser.parse_args()
    chunks, seconds = options.images // options.chunk_size, options.chunk_size / options.rate
    print(f"{'workers':>8}{'failures a day':>16}{'hours':>9}{'overhead':>12}{'work lost':>11}")
    for workers in (8, 64, 512):
        ideal = chunks * seconds / workers / 3600
        for failures in (0.1, 1.0, 10.0):
            hours, lost = simulate(chunks, workers, seconds, failures_a_day=failures)
            print(f"{workers:8}{failures:16.1f}{hours:9.1f}{hours / ideal - 1:12.1%}{lost:11.2%}")


if __name__ == "__main__":
    main()
