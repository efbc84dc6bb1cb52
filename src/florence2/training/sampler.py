"""Which examples a step sees: a function of the seed and the step, and of nothing else.

So a run that stops and goes on, on any number of processes, sees what an unbroken run sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class DistributedSampler:
    """An endless order over examples of several tasks, mixed by weight.

    Every task deals its examples like a deck: all of them in a shuffled order, then all again in
    another. An epoch takes ``round(weight * examples)`` from every deck and shuffles them
    together, so over time all examples of a task are seen equally often, whatever its weight.
    """

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float], seed: int) -> None:
        names = np.asarray(tasks, dtype=object)
        unknown = set(weights) - set(tasks)
        if unknown:
            raise ValueError(
                f"task_weights names {sorted(unknown)}; the data has {sorted(set(tasks))}"
            )
        negative = {task: weight for task, weight in weights.items() if weight < 0}
        if negative:
            raise ValueError(f"task_weights must not be negative, got {negative}")
        self.seed = seed
        self._decks = [np.flatnonzero(names == task) for task in sorted(set(tasks))]
        self._shares = [
            round(weights.get(task, 1.0) * len(deck))
            for task, deck in zip(sorted(set(tasks)), self._decks, strict=True)
        ]
        self.epoch_length = sum(self._shares)
        if self.epoch_length == 0:
            raise ValueError("the data has no example of a task with a weight above 0")
        self._epoch = lru_cache(maxsize=2)(self._shuffled_epoch)

    def indices(self, begin: int, count: int) -> list[int]:
        """The indices of the examples at places ``begin`` to ``begin + count`` of all processes."""
        positions = np.arange(begin, begin + count)
        epochs, offsets = positions // self.epoch_length, positions % self.epoch_length
        return [
            int(self._epoch(int(epoch))[offset])
            for epoch, offset in zip(epochs, offsets, strict=True)
        ]

    def _shuffled_epoch(self, epoch: int) -> Indices:
        dealt = [
            self._deal(number, epoch * share, share) for number, share in enumerate(self._shares)
        ]
        mixed = np.concatenate(dealt)
        np.random.default_rng((self.seed, 0, epoch)).shuffle(mixed)
        return mixed

    def _deal(self, number: int, start: int, count: int) -> Indices:
        """Cards ``start`` to ``start + count`` of an endlessly reshuffled deck."""
        deck = self._decks[number]
        rounds = range(start // len(deck), (start + count - 1) // len(deck) + 1)
        shuffled = [
            np.random.default_rng((self.seed, 1 + number, turn)).permutation(deck)
            for turn in rounds
        ]
        if not shuffled:
            return deck[:0]
        skipped = start - rounds[0] * len(deck)
        return np.concatenate(shuffled)[skipped : skipped + count]
