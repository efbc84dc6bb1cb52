"""Interleaved timing: in every round each candidate runs each stage once, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from .timing import time_call

Call = Callable[[], object]


@dataclass(frozen=True)
class RepeatedCall:
    """A call that is too short to be timed alone: the mean of ``count`` calls is taken.

    One more call comes first, so that the caches have no data of another candidate.
    """

    call: Call
    count: int = 4

    def __call__(self) -> object:
        return self.call()

    def seconds(self, clock: Callable[[], float]) -> float:
        """Seconds of one call."""
        self.call()
        return time_call(lambda: [self.call() for _ in range(self.count)], clock) / self.count


Stages = Mapping[str, Call]

# A round is disturbed when its probe is below this fraction of the best one.
MIN_PROBE_FRACTION = 0.8


@dataclass
class InterleavedTimings:
    """Seconds by candidate and stage, one for each round, and the probe before each round."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)

    @property
    def disturbed(self) -> list[bool]:
        """For each round, whether other programs used the machine too."""
        best = max(self.probes, default=0.0)
        return [each < MIN_PROBE_FRACTION * best for each in self.probes]

    def median(self, candidate: str, stage: str) -> float | None:
        """The median over the rounds that were not disturbed, or over all if all were."""
        times = self.seconds.get(candidate, {}).get(stage, [])
        quiet = [each for each, bad in zip(times, self.disturbed, strict=False) if not bad]
        return median(quiet or times) if times else None


def run_rounds(
    candidates: Mapping[str, Stages],
    rounds: int,
    probe: Callable[[], float],
    on_round: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> InterleavedTimings:
    """Time all stages of all candidates; a stage runs for all of them before the next stage.

    The first round is a warm-up and does not count. ``KeyboardInterrupt`` ends the rounds, and the
    timings so far are returned.

    Args:
        candidates: the stages by candidate.
        rounds: number of rounds that count.
        probe: measures before each round how fast the machine is now.
        on_round: called with the number of each finished round, from 1.
        clock: seconds.
    """
    timings = InterleavedTimings(
        {name: {stage: [] for stage in stages} for name, stages in candidates.items()}
    )
    names = list(dict.fromkeys(stage for stages in candidates.values() for stage in stages))
    try:
        for number in range(rounds + 1):
            reading = probe()
            taken = {
                (candidate, stage): _time_stage(stages[stage], clock)
                for stage in names
                for candidate, stages in candidates.items()
                if stage in stages
            }
            if number == 0:
                continue
            timings.probes.append(reading)
            for (candidate, stage), seconds in taken.items():
                timings.seconds[candidate][stage].append(seconds)
            on_round(number)
    except KeyboardInterrupt:
        pass
    return timings


def _time_stage(stage: Call, clock: Callable[[], float]) -> float:
    return stage.seconds(clock) if isinstance(stage, RepeatedCall) else time_call(stage, clock)
