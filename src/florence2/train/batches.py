"""Pairs to the tensors a step reads: prompt, picture, target; padding masked.

Shapes: B examples, P prompt tokens or pictures, H and W pixels or cells, T target tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..processor import Processor
from .distributed import World
from .examples import Job, Sequences
from .loss import IGNORED, pad_targets, shift_right
from .readers import Readers, thread_readers
from .recipe import Recipe

PROBLEMS_FILE = "problems.jsonl"


class PairSource(Protocol):
    """Where pairs come from: every place of an endless order has one, the same in every run."""

    processor: Processor

    @property
    def epoch_length(self) -> int | None:
        """The pairs of an epoch; ``None`` where there is no end."""
        ...

    def jobs(self, begin: int, count: int) -> list[Job]:
        """Jobs that read the pairs at places ``begin`` to ``begin + count``, in that order."""
        ...


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once. ``padding_BP`` is true at padding of prompts;
    ``labels_BT`` is ``IGNORED`` at padding of targets; ``seed`` is for its dropout.

    ``pictures_B`` says whose picture a pair is about where several pairs share one, else it is
    ``None``. ``classes_PHW``, ``boxes_PHW4`` and ``letters_PHWS`` are targets of the dense task,
    if it is on; ``places_BTC`` the cells that each target token is about, if that is told.
    """

    pixels_BCHW: Tensor
    prompt_BP: Tensor
    padding_BP: Tensor
    decoder_BT: Tensor
    labels_BT: Tensor
    seed: int
    pictures_B: Tensor | None = None
    classes_PHW: Tensor | None = None
    boxes_PHW4: Tensor | None = None
    letters_PHWS: Tensor | None = None
    places_BTC: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels_BT)

    @property
    def tokens(self) -> int:
        """The number of target tokens that count."""
        return int((self.labels_BT != IGNORED).sum())

    def to(self, device: torch.device) -> MicroBatch:
        """The same batch on ``device``."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def collate(pairs: Sequence[Sequences], start: int, pad: int, seed: int = 0) -> MicroBatch:
    """Pairs padded to a batch; ``start`` and ``pad`` are the decoder's start and padding ids.

    Where pairs share pictures, or are told where to look, the shorter targets come first, so that
    parts of the batch can go through the text half without the padding that the longest asks for.
    """
    told = all(pair.places is not None for pair in pairs)
    shared = told or len({id(pair.pixels) for pair in pairs}) < len(pairs)
    if shared:
        pairs = sorted(pairs, key=lambda pair: len(pair.target))
    labels_BT = pad_targets([pair.target for pair in pairs])
    longest = max(len(pair.prompt) for pair in pairs)
    prompts = [[*pair.prompt, *[pad] * (longest - len(pair.prompt))] for pair in pairs]
    lengths = torch.tensor([[len(pair.prompt)] for pair in pairs])
    pictures = list({id(pair.pixels): pair for pair in pairs}.values())
    rows = {id(pair.pixels): row for row, pair in enumerate(pictures)}
    cells = [pair.cells for pair in pictures if pair.cells is not None]
    letters = [each.letters for each in cells if each.letters is not None]
    return MicroBatch(
        pixels_BCHW=torch.from_numpy(np.stack([pair.pixels for pair in pictures])),
        prompt_BP=torch.tensor(prompts),
        padding_BP=torch.arange(longest) >= lengths,
        decoder_BT=shift_right(labels_BT, start, pad),
        labels_BT=labels_BT,
        seed=seed,
        pictures_B=torch.tensor([rows[id(pair.pixels)] for pair in pairs]) if shared else None,
        classes_PHW=torch.from_numpy(np.stack([each.classes for each in cells])) if cells else None,
        boxes_PHW4=torch.from_numpy(np.stack([each.boxes for each in cells])) if cells else None,
        letters_PHWS=torch.from_numpy(np.stack(letters)) if letters else None,
        places_BTC=_padded_places(pairs, labels_BT.shape[1]),
    )


def _padded_places(pairs: Sequence[Sequences], longest: int) -> Tensor | None:
    told = [pair.places for pair in pairs if pair.places is not None]
    if len(told) < len(pairs):
        return None
    rows = [np.pad(each, ((0, longest - len(each)), (0, 0))) for each in told]
    return torch.from_numpy(np.stack(rows))


class BatchStream:
    """This process's micro-batches, step after step, prepared ahead by ``readers``.

    A pair that cannot be read is left out of its batch and listed, with the reason, in
    ``problems``; a micro-batch with no pair left is an error.
    """

    def __init__(
        self,
        source: PairSource,
        recipe: Recipe,
        world: World,
        problems: Path,
        readers: Callable[[], AbstractContextManager[Readers]] = thread_readers,
    ) -> None:
        self.source, self.recipe, self.world = source, recipe, world
        self.problems, self.readers = problems, readers
        self.micro = micro_size(recipe, world.size)
        self.count = 0

    def steps(self, start: int) -> Iterator[list[MicroBatch]]:
        """The micro-batches of steps ``start``, ``start + 1``, ... without end."""
        with self.readers() as readers:
            ahead = [self._submit(readers, start), self._submit(readers, start + 1)]
            step = start
            while True:
                current = ahead.pop(0)
                ahead.append(self._submit(readers, step + 2))
                yield [self._assemble(step, *chunk) for chunk in current]
                step += 1

    def _submit(
        self, readers: Readers, step: int
    ) -> list[tuple[int, list[tuple[Job, Future[list[Sequences]]]]]]:
        """Reading jobs for this process's chunks of a step's batch."""
        size = self.recipe.batch.size
        chunks = []
        for number, begin in enumerate(range(0, size, self.micro)):
            if number % self.world.size == self.world.rank:
                jobs = self.source.jobs(step * size + begin, self.micro)
                chunks.append((number, [(job, readers.submit(job)) for job in jobs]))
        return chunks

    def _assemble(
        self, step: int, number: int, jobs: Sequence[tuple[Job, Future[list[Sequences]]]]
    ) -> MicroBatch:
        pairs: list[Sequences] = []
        for job, reading in jobs:
            try:
                pairs += reading.result()
            except (ValueError, OSError) as error:
                self._note(step, job, error)
        if not pairs:
            raise ValueError(
                f"no pair of a micro-batch of step {step} can be read; see {self.problems}"
            )
        tokenizer = self.source.processor.tokenizer
        seed = (self.recipe.seed * 1_000_003 + step) * 4_099 + number
        return collate(pairs, start=tokenizer.eos, pad=tokenizer.pad, seed=seed).to(
            self.world.device
        )

    def _note(self, step: int, job: Job, error: Exception) -> None:
        self.count += 1
        line = {"step": step, **job.name, "problem": str(error)}
        with self.problems.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def micro_size(recipe: Recipe, processes: int) -> int:
    """Pairs that go through a model at once, so that every process gets as many micro-batches.

    Raises ``ValueError`` when the batch does not divide.
    """
    size = recipe.batch.size
    if size % processes:
        raise ValueError(f"batch.size {size} does not divide among {processes} processes")
    micro = min(recipe.batch.micro, size // processes)
    questions = recipe.aids.questions_per_picture
    if micro % questions:
        raise ValueError(
            f"a micro-batch of {micro} pairs does not divide into {questions} questions a picture: "
            "change batch.micro"
        )
    if size % (micro * processes):
        raise ValueError(
            f"batch.size {size} does not divide into micro-batches of {micro} on {processes} "
            "processes: change batch.micro"
        )
    return micro
