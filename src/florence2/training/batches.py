"""Pairs to the tensors a step reads: prompt, picture, target; padding masked.

Shapes: B examples, P prompt tokens or pictures, H and W pixels or cells, T target tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..io.atomic import complete_lines
from ..processing.processor import Processor
from .distributed import DistributedContext
from .examples import EncodedExample, ExampleSpec
from .loss import IGNORE_INDEX, pad_targets, shift_right
from .recipe import Recipe
from .worker_pool import WorkerPool, thread_readers

PROBLEMS_FILE = "problems.jsonl"
_LONGEST_REASON = 500


class PairSource(Protocol):
    """Where pairs come from: every place of an endless order has one, the same in every run."""

    processor: Processor

    @property
    def epoch_length(self) -> int | None:
        """The pairs of an epoch; ``None`` where there is no end."""
        ...

    def jobs(self, begin: int, count: int) -> list[ExampleSpec]:
        """Jobs that read the pairs at places ``begin`` to ``begin + count``, in that order."""
        ...

    def blank(self) -> EncodedExample:
        """A pair of the right shapes that means nothing."""
        ...


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once. ``padding_BP`` is true at padding of prompts;
    ``labels_BT`` is ``IGNORE_INDEX`` at padding of targets; ``seed`` is for its dropout.

    ``image_index_B`` says whose picture a pair is about where several pairs share one, else it is
    ``None``. ``classes_PHW``, ``boxes_PHW4`` and ``letters_PHWS`` are targets of the dense task,
    if it is on; ``places_BTC`` the cells that each target token is about, if that is told.
    """

    pixels_BCHW: Tensor
    prompt_BP: Tensor
    padding_BP: Tensor
    decoder_BT: Tensor
    labels_BT: Tensor
    seed: int
    image_index_B: Tensor | None = None
    classes_PHW: Tensor | None = None
    boxes_PHW4: Tensor | None = None
    letters_PHWS: Tensor | None = None
    places_BTC: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels_BT)

    @property
    def tokens(self) -> int:
        """The number of target tokens that count."""
        return int((self.labels_BT != IGNORE_INDEX).sum())

    def to(self, device: torch.device) -> MicroBatch:
        """The same batch on ``device``."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def collate(pairs: Sequence[EncodedExample], start: int, pad: int, seed: int = 0) -> MicroBatch:
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
        image_index_B=torch.tensor([rows[id(pair.pixels)] for pair in pairs]) if shared else None,
        classes_PHW=torch.from_numpy(np.stack([each.classes for each in cells])) if cells else None,
        boxes_PHW4=torch.from_numpy(np.stack([each.boxes for each in cells])) if cells else None,
        letters_PHWS=torch.from_numpy(np.stack(letters)) if letters else None,
        places_BTC=_padded_places(pairs, labels_BT.shape[1]),
    )


def _padded_places(pairs: Sequence[EncodedExample], longest: int) -> Tensor | None:
    told = [pair.places for pair in pairs if pair.places is not None]
    if len(told) < len(pairs):
        return None
    rows = [np.pad(each, ((0, longest - len(each)), (0, 0))) for each in told]
    return torch.from_numpy(np.stack(rows))


class BatchStream:
    """This process's micro-batches, step after step, prepared ahead by ``readers``.

    A pair that cannot be read is left out of its batch, listed once in ``problems`` with the
    reason, and told to ``notify``. A micro-batch with no pair left is left out too; where there are
    several processes, which must go through the model equally often, its place is taken by a blank
    one without targets.
    """

    def __init__(
        self,
        source: PairSource,
        recipe: Recipe,
        world: DistributedContext,
        problems: Path,
        readers: Callable[[], AbstractContextManager[WorkerPool]] = thread_readers,
        notify: Callable[[int, str], None] = lambda step, text: None,
    ) -> None:
        self.source, self.recipe, self.world = source, recipe, world
        self.problems, self.readers, self.notify = problems, readers, notify
        self.micro = micro_size(recipe, world.size)
        self._listed = _listed_before(problems)
        self._left_out: set[str] = set()

    @property
    def count(self) -> int:
        """The pairs that were left out."""
        return len(self._left_out)

    def steps(self, start: int) -> Iterator[list[MicroBatch]]:
        """The micro-batches of steps ``start``, ``start + 1``, ... without end."""
        with self.readers() as readers:
            ahead = [self._submit(readers, start), self._submit(readers, start + 1)]
            step = start
            while True:
                current = ahead.pop(0)
                ahead.append(self._submit(readers, step + 2))
                assembled = [self._assemble(step, *chunk) for chunk in current]
                yield [each for each in assembled if each is not None]
                step += 1

    def _submit(
        self, readers: WorkerPool, step: int
    ) -> list[tuple[int, list[tuple[ExampleSpec, Future[list[EncodedExample]]]]]]:
        """Reading jobs for this process's chunks of a step's batch."""
        size = self.recipe.batch.size
        chunks = []
        for number, begin in enumerate(range(0, size, self.micro)):
            if number % self.world.size == self.world.rank:
                jobs = self.source.jobs(step * size + begin, self.micro)
                chunks.append((number, [(job, readers.submit(job)) for job in jobs]))
        return chunks

    def _assemble(
        self,
        step: int,
        number: int,
        jobs: Sequence[tuple[ExampleSpec, Future[list[EncodedExample]]]],
    ) -> MicroBatch | None:
        pairs: list[EncodedExample] = []
        for job, reading in jobs:
            try:
                pairs += reading.result()
            except BrokenExecutor:
                raise  # a reader died: that is no fault of the pair
            except Exception as error:  # whatever it is, it is this pair's problem only
                self._note(step, job, error)
        tokenizer = self.source.processor.tokenizer
        seed = (self.recipe.seed * 1_000_003 + step) * 4_099 + number
        blank = not pairs
        if blank and self.world.size == 1:
            return None
        batch = collate(
            pairs or [self.source.blank()], start=tokenizer.eos, pad=tokenizer.pad, seed=seed
        )
        if blank:
            batch = replace(batch, labels_BT=torch.full_like(batch.labels_BT, IGNORE_INDEX))
        return batch.to(self.world.device)

    def _note(self, step: int, job: ExampleSpec, error: Exception) -> None:
        name = json.dumps(job.name)
        if name in self._left_out:
            return
        self._left_out.add(name)
        reason = str(error) if isinstance(error, ValueError | OSError) else repr(error)
        words = ", ".join(f"{key} {value}" for key, value in job.name.items())
        self.notify(step, f"left out: {words}: {reason[:_LONGEST_REASON]}")
        if name in self._listed:
            return
        line = {"step": step, **job.name, "problem": reason[:_LONGEST_REASON]}
        with self.problems.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _listed_before(problems: Path) -> set[str]:
    """The pairs that an earlier part of the run listed."""
    names: set[str] = set()
    for line in complete_lines(problems):
        try:
            values = json.loads(line)
            del values["step"], values["problem"]
        except (ValueError, KeyError, TypeError):
            continue
        names.add(json.dumps(values))
    return names


def micro_size(recipe: Recipe, processes: int) -> int:
    """Pairs that go through a model at once, so that every process gets as many micro-batches.

    Raises ``ValueError`` when the batch does not divide.
    """
    size = recipe.batch.size
    if size % processes:
        raise ValueError(f"batch.size {size} does not divide among {processes} processes")
    micro = min(recipe.batch.micro, size // processes)
    questions = recipe.auxiliary.prompts_per_image
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
