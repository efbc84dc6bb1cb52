"""The examples of a data set: which there are, and each one read into pixels and ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..processing.image import load_image
from ..processing.processor import Processor
from ..results.records import Annotation, Record
from ..results.types import ImageSize, Text
from .augment import augment
from .auxiliary.targets import AuxiliaryTargets
from .recipe import Recipe
from .sampler import DistributedSampler

# The longest token of a Florence-2 vocabulary has fewer characters.
_MAX_CHARS_PER_TOKEN = 128


class TrainingRecords(Protocol):
    """What training reads: records by index, and all annotations without the images."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Record: ...
    def annotations(self) -> Iterator[tuple[Annotation, ...]]: ...


@dataclass(frozen=True)
class TrainingExample:
    """One image-annotation pair, by the indices of its record and annotation."""

    record: int
    annotation: int
    task: str


@dataclass(frozen=True)
class EncodedExample:
    """An example as the model reads it: pixels ``float32[3, H, W]`` and ids ``<s> ... </s>``.

    Examples of one image share the same array of pixels. ``image_targets`` and ``token_targets``
    are those of auxiliary objectives, by name; the first axis of the latter is the target's.
    """

    pixels: NDArray[np.float32]
    prompt: Sequence[int]
    target: Sequence[int]
    image_targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    token_targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def list_examples(records: TrainingRecords) -> list[TrainingExample]:
    """Every kept annotation of the records as an example."""
    return [
        TrainingExample(record, number, annotation.task)
        for record, annotations in enumerate(records.annotations())
        for number, annotation in enumerate(annotations)
        if annotation.decision.kept
    ]


class ExampleReader:
    """Reads examples, augmented by a draw that depends on the seed and the index in the order.

    ``positions`` is the decoder's number of positions, which limits targets; ``stride`` is the
    vision encoder's.
    """

    def __init__(
        self,
        records: TrainingRecords,
        processor: Processor,
        recipe: Recipe,
        positions: int = 1024,
        stride: int = 32,
    ) -> None:
        self.records, self.processor, self.recipe = records, processor, recipe
        self.max_target_tokens = min(recipe.max_target_tokens, positions)
        self.targets = AuxiliaryTargets(recipe.auxiliary, processor, stride)
        self._reading = Lock()  # shards are read by one thread at a time

    def read(self, example: TrainingExample, draw: int) -> EncodedExample:
        """The encoded example. Raises ``ValueError`` when it cannot be used."""
        with self._reading:
            record = self.records[example.record]
        annotation = record.annotations[example.annotation]
        try:
            check_text(annotation, self.max_target_tokens)
            image = load_image(record.image_bytes())
            generator = np.random.default_rng((self.recipe.seed, draw))
            image, annotation = augment(image, annotation, self.recipe.augmentation, generator)
            prompt, target = encode_annotation(self.processor, annotation, image.size, self.targets)
            check_length(target, self.max_target_tokens)
            extra = self.targets.build(record)
        except (ValueError, OSError) as error:
            raise ValueError(f"{record.id}: {error}") from error
        pixels = self.processor.pixels(image)
        return EncodedExample(pixels, prompt, target, extra.image_arrays)


def blank_example(processor: Processor, targets: AuxiliaryTargets) -> EncodedExample:
    """An example of the right shapes without content: black, with an empty prompt and target."""
    width, height = processor.preprocessing.size
    tokens = [processor.tokenizer.eos]
    return EncodedExample(np.zeros((3, height, width), np.float32), tokens, tokens, targets.blank())


def check_text(annotation: Annotation, max_tokens: int) -> None:
    """Raise ``ValueError`` for texts that cannot fit into ``max_tokens``, before tokenizing them.

    Tokenizing a very long text takes minutes.
    """
    answer = annotation.answer
    texts = [answer.text] if isinstance(answer, Text) else set(answer.labels)
    characters = len(annotation.text) + sum(map(len, texts))
    if characters > max_tokens * _MAX_CHARS_PER_TOKEN:
        raise ValueError(
            f"the prompt and the target have {characters:,} characters, too many for "
            f"{max_tokens:,} tokens"
        )


def check_length(target: Sequence[int], max_tokens: int) -> None:
    """Raise ``ValueError`` when a target has more than ``max_tokens`` tokens."""
    if len(target) > max_tokens:
        raise ValueError(
            f"the target has {len(target)} tokens; the max is {max_tokens} "
            "(max_target_tokens, and the positions of the model)"
        )


def encode_annotation(
    processor: Processor,
    annotation: Annotation,
    image_size: ImageSize,
    targets: AuxiliaryTargets,
) -> tuple[Sequence[int], Sequence[int]]:
    """The ids of an annotation's prompt and target, shaped by the auxiliary objectives."""
    prompt = processor.prompt(annotation.task_definition, annotation.prompt_input, image_size)
    target = processor.encode_target(targets.shape_answer(annotation.answer), annotation.kind)
    return prompt.token_ids, targets.shape_target(target, annotation.task)


@dataclass(frozen=True)
class ExampleSpec:
    """Reads the examples at some indices of the order.

    ``name`` identifies them in lists of problems; ``number`` is the record's.
    """

    name: dict[str, object]
    read: Callable[[], list[EncodedExample]]
    number: int


class FiniteSource:
    """The examples of a finite data set in the order that the recipe's seed and weights give.

    Raises ``ValueError`` when the recipe names tasks that the data does not have.
    """

    def __init__(
        self, reader: ExampleReader, examples: Sequence[TrainingExample], recipe: Recipe
    ) -> None:
        reader.targets.check_tasks({each.task for each in examples}, "the data has")
        self.processor = reader.processor
        self._reader, self._examples = reader, examples
        self._sampler = DistributedSampler(
            [each.task for each in examples], recipe.task_weights, recipe.seed
        )

    @property
    def epoch_length(self) -> int | None:
        """The number of examples in an epoch."""
        return self._sampler.epoch_length

    def specs(self, begin: int, count: int) -> list[ExampleSpec]:
        """What reads the examples at indices ``begin`` to ``begin + count``, in that order."""
        return [
            ExampleSpec(
                {"record": each.record, "annotation": each.annotation, "task": each.task},
                partial(self._read, each, begin + offset),
                each.record,
            )
            for offset, each in enumerate(
                self._examples[index] for index in self._sampler.indices(begin, count)
            )
        ]

    def blank(self) -> EncodedExample:
        """An example of the right shapes without content."""
        return blank_example(self.processor, self._reader.targets)

    def _read(self, example: TrainingExample, draw: int) -> list[EncodedExample]:
        return [self._reader.read(example, draw)]
