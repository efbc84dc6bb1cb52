"""The examples of a step: a function of the seed and the step alone.

So a resumed run, on any number of processes, sees the examples of an uninterrupted run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class DistributedSampler:
    """An endless order over examples of several tasks, mixed by weight.

    Each task repeats its examples, shuffled again every time. An epoch takes the next
    ``round(weight * examples)`` of each task and shuffles them together, so over time all examples
    of a task are seen equally often at any weight.
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
        self._examples = [np.flatnonzero(names == task) for task in sorted(set(tasks))]
        self._counts = [
            round(weights.get(task, 1.0) * len(examples))
            for task, examples in zip(sorted(set(tasks)), self._examples, strict=True)
        ]
        self.epoch_length = sum(self._counts)
        if self.epoch_length == 0:
            raise ValueError("the data has no example of a task with a weight above 0")
        self._epoch = lru_cache(maxsize=2)(self._shuffled_epoch)

    def indices(self, begin: int, count: int) -> list[int]:
        """The examples at positions ``begin`` to ``begin + count`` of the order."""
        positions = np.arange(begin, begin + count)
        epochs, offsets = positions // self.epoch_length, positions % self.epoch_length
        return [
            int(self._epoch(int(epoch))[offset])
            for epoch, offset in zip(epochs, offsets, strict=True)
        ]

    def _shuffled_epoch(self, epoch: int) -> Indices:
        taken = [self._take(task, epoch * count, count) for task, count in enumerate(self._counts)]
        mixed = np.concatenate(taken)
        np.random.default_rng((self.seed, 0, epoch)).shuffle(mixed)
        return mixed

    def _take(self, task: int, start: int, count: int) -> Indices:
        """Examples ``start`` to ``start + count`` of a task's endless repetition."""
        examples = self._examples[task]
        rounds = range(start // len(examples), (start + count - 1) // len(examples) + 1)
        shuffled = [
            np.random.default_rng((self.seed, 1 + task, turn)).permutation(examples)
            for turn in rounds
        ]
        if not shuffled:
            return examples[:0]
        skipped = start - rounds[0] * len(examples)
        return np.concatenate(shuffled)[skipped : skipped + count]
