"""Batches of examples: images, prompts and targets, padded, and prefetched for the steps.

Shapes: B examples or images, P prompt tokens, H and W pixels, T and M target tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
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
from .worker_pool import WorkerPool, thread_workers

PROBLEMS_FILE = "problems.jsonl"
_MAX_REASON = 500

# What reads some examples, and their future.
_Job = tuple[ExampleSpec, "Future[list[EncodedExample]]"]


class ExampleSource(Protocol):
    """An endless order of examples, the same in every run."""

    processor: Processor

    @property
    def epoch_length(self) -> int | None:
        """The number of examples in an epoch; ``None`` for an endless source."""
        ...

    def specs(self, begin: int, count: int) -> list[ExampleSpec]:
        """What reads the examples at indices ``begin`` to ``begin + count``, in that order."""
        ...

    def blank(self) -> EncodedExample:
        """An example of the right shapes without content."""
        ...


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass.

    Attributes:
        pixels_BCHW: the images; fewer than examples when ``image_index_B`` is set.
        prompt_BP: ids of the prompts.
        padding_BP: true at padding of prompts.
        decoder_BT: ids that the decoder reads.
        labels_BT: ids that it predicts, ``IGNORE_INDEX`` at padding.
        seed: seed of dropout.
        image_index_B: each example's row in ``pixels_BCHW`` where examples share images.
        targets: targets of auxiliary objectives, by name.
    """

    pixels_BCHW: Tensor
    prompt_BP: Tensor
    padding_BP: Tensor
    decoder_BT: Tensor
    labels_BT: Tensor
    seed: int
    image_index_B: Tensor | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels_BT)

    @property
    def tokens(self) -> int:
        """The number of target tokens."""
        return int((self.labels_BT != IGNORE_INDEX).sum())

    @property
    def target_ids(self) -> Tensor:
        """The ids of all target tokens, ``int[M]``."""
        return self.labels_BT[self.labels_BT != IGNORE_INDEX]

    def to(self, device: torch.device) -> MicroBatch:
        """The same batch on ``device``."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        targets = {name: value.to(device) for name, value in self.targets.items()}
        return replace(self, **moved, targets=targets)


def collate(examples: Sequence[EncodedExample], start: int, pad: int, seed: int = 0) -> MicroBatch:
    """Examples padded to a batch; ``start`` and ``pad`` are the decoder's start and padding ids.

    Where examples share images or have token targets, they are sorted by target length, so that
    parts of the batch can be decoded with less padding.
    """
    has_token_targets = all(each.token_targets for each in examples)
    is_sorted = has_token_targets or len({id(each.pixels) for each in examples}) < len(examples)
    if is_sorted:
        examples = sorted(examples, key=lambda each: len(each.target))
    labels_BT = pad_targets([each.target for each in examples])
    length = max(len(each.prompt) for each in examples)
    prompts = [[*each.prompt, *[pad] * (length - len(each.prompt))] for each in examples]
    lengths = torch.tensor([[len(each.prompt)] for each in examples])
    images = list({id(each.pixels): each for each in examples}.values())
    rows = {id(each.pixels): row for row, each in enumerate(images)}
    image_index = torch.tensor([rows[id(each.pixels)] for each in examples])
    targets = {
        name: torch.from_numpy(np.stack([each.image_targets[name] for each in images]))
        for name in images[0].image_targets
    }
    if has_token_targets:
        targets |= _pad_token_targets(examples, labels_BT.shape[1])
    return MicroBatch(
        pixels_BCHW=torch.from_numpy(np.stack([each.pixels for each in images])),
        prompt_BP=torch.tensor(prompts),
        padding_BP=torch.arange(length) >= lengths,
        decoder_BT=shift_right(labels_BT, start, pad),
        labels_BT=labels_BT,
        seed=seed,
        image_index_B=image_index if is_sorted else None,
        targets=targets,
    )


def _pad_token_targets(examples: Sequence[EncodedExample], length: int) -> dict[str, Tensor]:
    """The token targets of each name, padded to ``length`` tokens."""
    padded: dict[str, Tensor] = {}
    for name in examples[0].token_targets:
        arrays = [each.token_targets[name] for each in examples]
        rows = [np.pad(each, ((0, length - len(each)), (0, 0))) for each in arrays]
        padded[name] = torch.from_numpy(np.stack(rows))
    return padded


class BatchStream:
    """This process's micro-batches, step after step, prefetched by the workers of ``make_workers``.

    An example that cannot be read is left out of its batch, logged once in ``problems`` with the
    reason, and reported to ``notify``. A micro-batch without examples is left out; with several
    processes, which must run equally many forward passes, a blank one without targets replaces it.
    """

    def __init__(
        self,
        source: ExampleSource,
        recipe: Recipe,
        world: DistributedContext,
        problems: Path,
        make_workers: Callable[[], AbstractContextManager[WorkerPool]] = thread_workers,
        notify: Callable[[int, str], None] = lambda step, text: None,
    ) -> None:
        self.source, self.recipe, self.world = source, recipe, world
        self.problems, self.make_workers, self.notify = problems, make_workers, notify
        self.micro = micro_size(recipe, world.size)
        self._logged_before = _read_logged(problems)
        self._skipped: set[str] = set()

    @property
    def skipped_examples(self) -> int:
        """The number of examples that were left out."""
        return len(self._skipped)

    def steps(self, start: int) -> Iterator[list[MicroBatch]]:
        """The micro-batches of steps ``start``, ``start + 1``, ... without end."""
        with self.make_workers() as workers:
            prefetched = [self._submit(workers, start), self._submit(workers, start + 1)]
            step = start
            while True:
                chunks = prefetched.pop(0)
                prefetched.append(self._submit(workers, step + 2))
                batches = [self._assemble(step, *chunk) for chunk in chunks]
                yield [each for each in batches if each is not None]
                step += 1

    def _submit(self, workers: WorkerPool, step: int) -> list[tuple[int, list[_Job]]]:
        """Start reading this process's micro-batches of a step: their numbers and jobs."""
        size = self.recipe.batch.size
        chunks = []
        for number, begin in enumerate(range(0, size, self.micro)):
            if number % self.world.size == self.world.rank:
                specs = self.source.specs(step * size + begin, self.micro)
                chunks.append((number, [(spec, workers.submit(spec)) for spec in specs]))
        return chunks

    def _assemble(self, step: int, number: int, jobs: Sequence[_Job]) -> MicroBatch | None:
        examples: list[EncodedExample] = []
        for spec, future in jobs:
            try:
                examples += future.result()
            except BrokenExecutor:
                raise  # a worker process died, which is not the example's fault
            except Exception as error:  # any other error concerns this example only
                self._log_skipped(step, spec, error)
        tokenizer = self.source.processor.tokenizer
        seed = (self.recipe.seed * 1_000_003 + step) * 4_099 + number
        is_blank = not examples
        if is_blank and self.world.size == 1:
            return None
        batch = collate(
            examples or [self.source.blank()], start=tokenizer.eos, pad=tokenizer.pad, seed=seed
        )
        if is_blank:
            batch = replace(batch, labels_BT=torch.full_like(batch.labels_BT, IGNORE_INDEX))
        return batch.to(self.world.device)

    def _log_skipped(self, step: int, spec: ExampleSpec, error: Exception) -> None:
        name = json.dumps(spec.name)
        if name in self._skipped:
            return
        self._skipped.add(name)
        reason = str(error) if isinstance(error, ValueError | OSError) else repr(error)
        words = ", ".join(f"{key} {value}" for key, value in spec.name.items())
        self.notify(step, f"skipped: {words}: {reason[:_MAX_REASON]}")
        if name in self._logged_before:
            return
        line = {"step": step, **spec.name, "problem": reason[:_MAX_REASON]}
        with self.problems.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _read_logged(problems: Path) -> set[str]:
    """The examples that an earlier part of the run logged."""
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
    """The size of a micro-batch, so that all processes have equally many micro-batches.

    Raises ``ValueError`` when the batch is not divisible.
    """
    size = recipe.batch.size
    if size % processes:
        raise ValueError(f"batch.size {size} is not divisible by {processes} processes")
    micro = min(recipe.batch.micro, size // processes)
    prompts = recipe.auxiliary.prompts_per_image
    if micro % prompts:
        raise ValueError(
            f"a micro-batch of {micro} examples is not divisible by {prompts} prompts per image: "
            "change batch.micro"
        )
    if size % (micro * processes):
        raise ValueError(
            f"batch.size {size} is not divisible by micro-batches of {micro} on {processes} "
            "processes: change batch.micro"
        )
    return micro
