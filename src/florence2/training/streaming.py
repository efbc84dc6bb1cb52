"""Examples from an endless source: a synthetic image for every number, and some of its prompts."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np

from ..processing.image import load_image
from ..processing.processor import Processor
from ..results.records import Record
from ..results.tasks import TASKS
from .auxiliary.targets import AuxiliaryTargets
from .examples import (
    EncodedExample,
    ExampleSpec,
    blank_example,
    check_length,
    encode_annotation,
)
from .recipe import Recipe

_TOKENS = frozenset(task.token for task in TASKS)


class IterableRecords(Protocol):
    """A record for every number from 0 on; the same number always gives the same record."""

    def __getitem__(self, number: int, /) -> Record: ...


class EndlessSource:
    """``prompts_per_image`` examples of each record in turn, sampled by their tasks' weights.

    Raises ``ValueError`` when a weight names no task. ``positions`` is the decoder's number of
    positions; ``stride`` is the vision encoder's.
    """

    epoch_length = None

    def __init__(
        self,
        records: IterableRecords,
        processor: Processor,
        recipe: Recipe,
        positions: int = 1024,
        stride: int = 32,
    ) -> None:
        if unknown := set(recipe.task_weights) - _TOKENS:
            raise ValueError(f"task_weights names {sorted(unknown)}; tasks are {sorted(_TOKENS)}")
        self.records, self.processor, self.recipe = records, processor, recipe
        self._prompts = recipe.auxiliary.prompts_per_image
        self._max_tokens = min(recipe.max_target_tokens, positions)
        self._targets = AuxiliaryTargets(recipe.auxiliary, processor, stride)
        self._targets.check_tasks(_TOKENS, "tasks are")

    def specs(self, begin: int, count: int) -> list[ExampleSpec]:
        """What reads the examples at indices ``begin`` to ``begin + count``, one per image."""
        numbers = range(begin // self._prompts, (begin + count) // self._prompts)
        return [
            ExampleSpec({"record": number}, partial(self.read, number), number)
            for number in numbers
        ]

    def blank(self) -> EncodedExample:
        """An example of the right shapes without content."""
        return blank_example(self.processor, self._targets)

    def read(self, number: int) -> list[EncodedExample]:
        """The examples of one image; those that are too long for the model are left out.

        Raises ``ValueError`` when none is left.
        """
        record = self.records[number]
        image = load_image(record.image_bytes())
        pixels, extra = self.processor.pixels(image), self._targets.build(record)
        sampled = [record.annotations[each] for each in self._sample(record, number)]
        encoded = [
            encode_annotation(self.processor, each, image.size, self._targets) for each in sampled
        ]
        examples = [
            EncodedExample(
                pixels, prompt, target, extra.image_arrays, extra.token_arrays(target, each)
            )
            for each, (prompt, target) in zip(sampled, encoded, strict=True)
            if len(target) <= self._max_tokens
        ]
        if not examples:
            check_length(encoded[0][1], self._max_tokens)
        return examples

    def _sample(self, record: Record, number: int) -> list[int]:
        """Indices of annotations, sampled by weight; without repeats if there are enough."""
        weights = np.asarray(
            [
                self.recipe.task_weights.get(each.task, 1.0) * each.decision.kept
                for each in record.annotations
            ],
            np.float64,
        )
        if not weights.sum():
            raise ValueError(
                f"record {record.id!r} has no annotation of a task with a weight above 0"
            )
        enough = np.count_nonzero(weights) >= self._prompts
        generator = np.random.default_rng((self.recipe.seed, number))
        sampled = generator.choice(
            len(weights), self._prompts, replace=not enough, p=weights / weights.sum()
        )
        return [int(index) for index in sampled]
