"""Records to the tensors a step reads: prompt, picture, target; padding masked.

Shapes: B examples, H and W pixels, P prompt tokens, T target tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..image import load_image
from ..processor import Processor
from ..records import Annotation, Record
from ..results import ImageSize
from .augment import augment
from .distributed import World
from .loss import IGNORED, pad_targets, shift_right
from .order import DataOrder
from .recipe import Recipe

PROBLEMS_FILE = "problems.jsonl"


class Records(Protocol):
    """What training reads: records by number, and all annotations without the pictures."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Record: ...
    def annotations(self) -> Iterator[tuple[Annotation, ...]]: ...


@dataclass(frozen=True)
class Example:
    """One image-annotation pair, by the numbers of its record and annotation."""

    record: int
    annotation: int
    task: str


@dataclass(frozen=True)
class Sequences:
    """A pair as the model reads it: pixels ``float32[3, H, W]`` and ids ``<s> ... </s>``."""

    pixels: NDArray[np.float32]
    prompt: Sequence[int]
    target: Sequence[int]


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once. ``padding_BP`` is true at padding of prompts;
    ``labels_BT`` is ``IGNORED`` at padding of targets; ``seed`` is for its dropout."""

    pixels_BCHW: Tensor
    prompt_BP: Tensor
    padding_BP: Tensor
    decoder_BT: Tensor
    labels_BT: Tensor
    seed: int

    def __len__(self) -> int:
        return len(self.labels_BT)

    @property
    def tokens(self) -> int:
        """The number of target tokens that count."""
        return int((self.labels_BT != IGNORED).sum())

    def to(self, device: torch.device) -> MicroBatch:
        """The same batch on ``device``."""
        tensors = {name: value for name, value in vars(self).items() if name != "seed"}
        moved = {name: value.to(device) for name, value in tensors.items()}
        return MicroBatch(**moved, seed=self.seed)


def list_examples(records: Records) -> list[Example]:
    """Every kept annotation of the records, as a pair to learn from."""
    return [
        Example(record, number, annotation.task)
        for record, annotations in enumerate(records.annotations())
        for number, annotation in enumerate(annotations)
        if annotation.verdict.keep
    ]


def collate(pairs: Sequence[Sequences], start: int, pad: int, seed: int = 0) -> MicroBatch:
    """Pairs padded to a batch; ``start`` and ``pad`` are the decoder's start and padding ids."""
    labels_BT = pad_targets([pair.target for pair in pairs])
    longest = max(len(pair.prompt) for pair in pairs)
    prompts = [[*pair.prompt, *[pad] * (longest - len(pair.prompt))] for pair in pairs]
    lengths = torch.tensor([[len(pair.prompt)] for pair in pairs])
    return MicroBatch(
        pixels_BCHW=torch.from_numpy(np.stack([pair.pixels for pair in pairs])),
        prompt_BP=torch.tensor(prompts),
        padding_BP=torch.arange(longest) >= lengths,
        decoder_BT=shift_right(labels_BT, start, pad),
        labels_BT=labels_BT,
        seed=seed,
    )


class ExampleReader:
    """Reads pairs, augmented by a draw that belongs to the seed and the place in the order.

    ``positions`` are those of the decoder, which no answer may exceed.
    """

    def __init__(
        self, records: Records, processor: Processor, recipe: Recipe, positions: int = 1024
    ) -> None:
        self.records, self.processor, self.recipe = records, processor, recipe
        self.max_target_tokens = min(recipe.max_target_tokens, positions)
        self._reading = Lock()  # shards are read by one thread at a time

    def read(self, example: Example, draw: int) -> Sequences:
        """The pair. ``ValueError`` or ``OSError`` tells why it cannot be learned from."""
        with self._reading:
            record = self.records[example.record]
        image = load_image(record.image_bytes())
        generator = np.random.default_rng((self.recipe.seed, draw))
        image, annotation = augment(
            image, record.annotations[example.annotation], self.recipe.augmentation, generator
        )
        prompt, target = encode_annotation(self.processor, annotation, image.size)
        if len(target) > self.max_target_tokens:
            raise ValueError(
                f"the answer has {len(target)} tokens; the run takes {self.max_target_tokens} "
                "(max_target_tokens, and the positions of the model)"
            )
        return Sequences(self.processor.pixels(image), prompt, target)


def encode_annotation(
    processor: Processor, annotation: Annotation, image_size: ImageSize
) -> tuple[Sequence[int], Sequence[int]]:
    """The ids of the prompt and of the target that an annotation means."""
    prompt = processor.prompt(annotation.table_task, annotation.question, image_size)
    return prompt.token_ids, processor.target(annotation.answer, annotation.kind)


class BatchStream:
    """This process's micro-batches, step after step, prepared ahead by threads.

    A pair that cannot be read is left out of its batch and listed, with the reason, in
    ``problems``; a micro-batch with no pair left is an error.
    """

    def __init__(
        self,
        reader: ExampleReader,
        examples: Sequence[Example],
        recipe: Recipe,
        world: World,
        problems: Path,
        workers: int = 2,
    ) -> None:
        self.reader, self.examples, self.recipe, self.world = reader, examples, recipe, world
        self.problems, self.workers = problems, workers
        self.order = DataOrder([each.task for each in examples], recipe.task_weights, recipe.seed)
        self.micro = micro_size(recipe, world.size)
        self.count = 0

    def steps(self, start: int) -> Iterator[list[MicroBatch]]:
        """The micro-batches of steps ``start``, ``start + 1``, ... without end."""
        with ThreadPoolExecutor(self.workers) as pool:
            ahead = [self._submit(pool, start), self._submit(pool, start + 1)]
            step = start
            while True:
                current = ahead.pop(0)
                ahead.append(self._submit(pool, step + 2))
                yield [self._assemble(step, *chunk) for chunk in current]
                step += 1

    def _submit(
        self, pool: ThreadPoolExecutor, step: int
    ) -> list[tuple[int, list[Example], list[Future[Sequences]]]]:
        """Reading jobs for this process's chunks of a step's batch."""
        size = self.recipe.batch.size
        indices = self.order.batch(step, size)
        chunks = []
        for number, begin in enumerate(range(0, size, self.micro)):
            if number % self.world.size != self.world.rank:
                continue
            examples = [self.examples[index] for index in indices[begin : begin + self.micro]]
            jobs = [
                pool.submit(self.reader.read, example, step * size + begin + offset)
                for offset, example in enumerate(examples)
            ]
            chunks.append((number, examples, jobs))
        return chunks

    def _assemble(
        self,
        step: int,
        number: int,
        examples: Sequence[Example],
        jobs: Sequence[Future[Sequences]],
    ) -> MicroBatch:
        pairs = []
        for example, job in zip(examples, jobs, strict=True):
            try:
                pairs.append(job.result())
            except (ValueError, OSError) as error:
                self._note(step, example, error)
        if not pairs:
            raise ValueError(
                f"no pair of a micro-batch of step {step} can be read; see {self.problems}"
            )
        tokenizer = self.reader.processor.tokenizer
        seed = (self.recipe.seed * 1_000_003 + step) * 4_099 + number
        return collate(pairs, start=tokenizer.eos, pad=tokenizer.pad, seed=seed).to(
            self.world.device
        )

    def _note(self, step: int, example: Example, error: Exception) -> None:
        self.count += 1
        line = {
            "step": step,
            "record": example.record,
            "annotation": example.annotation,
            "task": example.task,
            "problem": str(error),
        }
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
    if size % (micro * processes):
        raise ValueError(
            f"batch.size {size} does not divide into micro-batches of {micro} on {processes} "
            "processes: change batch.micro"
        )
    return micro
