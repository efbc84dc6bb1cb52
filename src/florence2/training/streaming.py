"""Pairs from an endless source: a picture made for every number, and some questions about it."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np

from ..processing.image import load_image
from ..processing.processor import Processor
from ..results.records import Record
from ..results.tasks import TASKS
from .auxiliary.token_regions import RegionTargets, build_attention_targets
from .examples import (
    CellTargetBuilder,
    EncodedExample,
    ExampleSpec,
    blank_sequences,
    check_length,
    encode_annotation,
)
from .recipe import Recipe

_TOKENS = frozenset(task.token for task in TASKS)


class IterableRecords(Protocol):
    """A record for every number from 0 on, the same whenever it is asked for."""

    def __getitem__(self, number: int, /) -> Record: ...


class IterablePairs:
    """``prompts_per_image`` pairs of each record in turn, chosen by the weights of their tasks.

    Raises ``ValueError`` when a weight is for no task. ``positions`` are those of the decoder,
    ``stride`` is the tower's.
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
        for name, named in (
            ("task_weights", recipe.task_weights),
            ("auxiliary.char_level_tasks", recipe.auxiliary.char_level_tasks),
        ):
            if unknown := set(named) - _TOKENS:
                raise ValueError(f"{name} names {sorted(unknown)}; tasks are {sorted(_TOKENS)}")
        self.records, self.processor, self.recipe = records, processor, recipe
        self._questions = recipe.auxiliary.prompts_per_image
        self._longest = min(recipe.max_target_tokens, positions)
        self._cells = CellTargetBuilder(recipe, processor, stride)

    def jobs(self, begin: int, count: int) -> list[ExampleSpec]:
        """Jobs that read the pairs at places ``begin`` to ``begin + count``, a picture each."""
        numbers = range(begin // self._questions, (begin + count) // self._questions)
        return [
            ExampleSpec({"record": number}, partial(self.read, number), number)
            for number in numbers
        ]

    def blank(self) -> EncodedExample:
        """A pair of the right shapes that means nothing."""
        return blank_sequences(self.processor, self._cells)

    def read(self, number: int) -> list[EncodedExample]:
        """The pairs of one picture; those too long for the model are left out.

        ``ValueError`` tells why there is none.
        """
        record = self.records[number]
        image = load_image(record.image_bytes())
        pixels, cells = self.processor.pixels(image), self._cells.make(record)
        chosen = [record.annotations[each] for each in self._choose(record, number)]
        auxiliary = self.recipe.auxiliary
        encoded = [
            encode_annotation(self.processor, each, image.size, auxiliary) for each in chosen
        ]
        sights = RegionTargets(record, cells) if auxiliary.attention_loss_weight and cells else None
        tokenizer = self.processor.tokenizer
        pairs = [
            EncodedExample(
                pixels,
                prompt,
                target,
                cells,
                None
                if sights is None
                else build_attention_targets(target, each, sights, tokenizer),
            )
            for each, (prompt, target) in zip(chosen, encoded, strict=True)
            if len(target) <= self._longest
        ]
        if not pairs:
            check_length(encoded[0][1], self._longest)
        return pairs

    def _choose(self, record: Record, number: int) -> list[int]:
        """Annotations by weight, each once unless there are too few."""
        weights = np.asarray(
            [
                self.recipe.task_weights.get(each.task, 1.0) * each.decision.kept
                for each in record.annotations
            ],
            np.float64,
        )
        if not weights.sum():
            raise ValueError(f"record {record.id!r} has no answer of a task with a weight above 0")
        enough = np.count_nonzero(weights) >= self._questions
        generator = np.random.default_rng((self.recipe.seed, number))
        chosen = generator.choice(
            len(weights), self._questions, replace=not enough, p=weights / weights.sum()
        )
        return [int(index) for index in chosen]
