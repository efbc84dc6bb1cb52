"""Timing side by side: in every round each contender does each stage once, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from .timing import seconds_of

Call = Callable[[], object]


@dataclass(frozen=True)
class Several:
    """A call too short to be timed alone: the mean of ``count``, after one that finds in the caches
    what another contender left there."""

    call: Call
    count: int = 4

    def __call__(self) -> object:
        return self.call()

    def seconds(self, clock: Callable[[], float]) -> float:
        """Seconds of one call."""
        self.call()
        return seconds_of(lambda: [self.call() for _ in range(self.count)], clock) / self.count


Stages = Mapping[str, Call]

# A round whose probe reads less than this share of the best one was disturbed.
QUIET = 0.8


@dataclass
class Rounds:
    """Seconds by contender and stage, round after round, and the probe before each round."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)

    @property
    def disturbed(self) -> list[bool]:
        """Of each round, whether something else had the machine too."""
        best = max(self.probes, default=0.0)
        return [each < QUIET * best for each in self.probes]

    def median(self, contender: str, stage: str) -> float | None:
        """The median over the rounds that were not disturbed, or over all if none was quiet."""
        times = self.seconds.get(contender, {}).get(stage, [])
        quiet = [each for each, bad in zip(times, self.disturbed, strict=False) if not bad]
        return median(quiet or times) if times else None


def run_rounds(
    contenders: Mapping[str, Stages],
    rounds: int,
    probe: Callable[[], float],
    told: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Time all stages of all contenders, the same stage of all of them before the next stage.

    The first round is a warm-up and is not kept. ``KeyboardInterrupt`` ends the rounds: what is
    there is returned.
    """
    found = Rounds({name: {stage: [] for stage in stages} for name, stages in contenders.items()})
    names = list(dict.fromkeys(stage for stages in contenders.values() for stage in stages))
    try:
        for number in range(rounds + 1):
            reading = probe()
            taken = {
                (contender, stage): _seconds(stages[stage], clock)
                for stage in names
                for contender, stages in contenders.items()
                if stage in stages
            }
            if number == 0:
                continue
            found.probes.append(reading)
            for (contender, stage), seconds in taken.items():
                found.seconds[contender][stage].append(seconds)
            told(number)
    except KeyboardInterrupt:
        pass
    return found


def _seconds(stage: Call, clock: Callable[[], float]) -> float:
    return stage.seconds(clock) if isinstance(stage, Several) else seconds_of(stage, clock)
