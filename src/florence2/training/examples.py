"""The pairs of a data set: which there are, and each read into pixels and ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..processing.image import load_image
from ..processing.processor import Processor
from ..results.records import Annotation, Record
from ..results.types import ImageSize, Polygons, Text
from .augment import augment
from .auxiliary.char_head import SLOTS, letters_of
from .auxiliary.dense import NOTHING, CellTargets, cells_of
from .auxiliary.polygon_resampling import resample_record_polygons
from .auxiliary.token_regions import Mask
from .recipe import AuxiliaryConfig, Recipe
from .sampler import DistributedSampler

# The longest word of a Florence-2 vocabulary has fewer characters.
_MOST_CHARACTERS = 128


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
class EncodedExample:
    """A pair as the model reads it: pixels ``float32[3, H, W]`` and ids ``<s> ... </s>``.

    Pairs about one picture hold the very same array. ``cells`` are for the dense task, ``places``
    ``bool[T, cells]`` for being told where to look.
    """

    pixels: NDArray[np.float32]
    prompt: Sequence[int]
    target: Sequence[int]
    cells: CellTargets | None = None
    places: Mask | None = None


def list_examples(records: Records) -> list[Example]:
    """Every kept annotation of the records, as a pair to learn from."""
    return [
        Example(record, number, annotation.task)
        for record, annotations in enumerate(records.annotations())
        for number, annotation in enumerate(annotations)
        if annotation.decision.kept
    ]


class ExampleReader:
    """Reads pairs, augmented by a draw that belongs to the seed and the place in the order.

    ``positions`` are those of the decoder, which no answer may exceed; ``stride`` is the tower's.
    """

    def __init__(
        self,
        records: Records,
        processor: Processor,
        recipe: Recipe,
        positions: int = 1024,
        stride: int = 32,
    ) -> None:
        self.records, self.processor, self.recipe = records, processor, recipe
        self.max_target_tokens = min(recipe.max_target_tokens, positions)
        self.cells = CellTargetBuilder(recipe, processor, stride)
        self._reading = Lock()  # shards are read by one thread at a time

    def read(self, example: Example, draw: int) -> EncodedExample:
        """The pair. ``ValueError`` or ``OSError`` tells why it cannot be learned from."""
        with self._reading:
            record = self.records[example.record]
        annotation = record.annotations[example.annotation]
        try:
            check_text(annotation, self.max_target_tokens)
            image = load_image(record.image_bytes())
            generator = np.random.default_rng((self.recipe.seed, draw))
            image, annotation = augment(image, annotation, self.recipe.augmentation, generator)
            prompt, target = encode_annotation(
                self.processor, annotation, image.size, self.recipe.auxiliary
            )
            check_length(target, self.max_target_tokens)
            cells = self.cells.make(record)
        except (ValueError, OSError) as error:
            raise ValueError(f"{record.id}: {error}") from error
        return EncodedExample(self.processor.pixels(image), prompt, target, cells)


class CellTargetBuilder:
    """The dense task's targets, where the recipe has that task.

    ``stride`` is the tower's: the pixels of a cell of its last map.
    """

    def __init__(self, recipe: Recipe, processor: Processor, stride: int = 32) -> None:
        width, height = processor.preprocessing.size
        self._grid = width // stride, height // stride
        names = recipe.auxiliary.dense_categories if recipe.auxiliary.dense_weight else ()
        self._numbers = {name: number for number, name in enumerate(names, start=1)}
        self._reading = recipe.auxiliary.char_loss_weight > 0

    def blank(self) -> CellTargets | None:
        """Targets where nothing is; ``None`` without the task."""
        if not self._numbers:
            return None
        width, height = self._grid
        classes = np.full((height, width), NOTHING, np.int64)
        owners = np.full((height, width), -1, np.int64)
        letters = np.zeros((height, width, SLOTS), np.int64) if self._reading else None
        return CellTargets(classes, np.zeros((height, width, 4), np.float32), owners, letters)

    def make(self, record: Record) -> CellTargets | None:
        """The record's targets; ``None`` without the task. ``ValueError`` as ``cells_of`` has."""
        if not self._numbers:
            return None
        cells = cells_of(record, self._grid, self._numbers)
        return replace(cells, letters=letters_of(record, self._grid)) if self._reading else cells


def blank_sequences(processor: Processor, cells: CellTargetBuilder) -> EncodedExample:
    """A pair of the right shapes that means nothing: black, with an empty prompt and answer."""
    width, height = processor.preprocessing.size
    tokens = [processor.tokenizer.eos]
    return EncodedExample(np.zeros((3, height, width), np.float32), tokens, tokens, cells.blank())


def check_text(annotation: Annotation, most: int) -> None:
    """Raise ``ValueError`` for texts that cannot fit into ``most`` tokens, before tokenizing them.

    A token is worth so many characters at most; tokenizing a vast text takes minutes.
    """
    answer = annotation.answer
    texts = [answer.text] if isinstance(answer, Text) else set(answer.labels)
    characters = len(annotation.text) + sum(map(len, texts))
    if characters > most * _MOST_CHARACTERS:
        raise ValueError(
            f"the question and the answer have {characters:,} characters, which {most:,} tokens "
            "cannot hold"
        )


def check_length(target: Sequence[int], most: int) -> None:
    """Raise ``ValueError`` when an answer has more tokens than the run or the model takes."""
    if len(target) > most:
        raise ValueError(
            f"the answer has {len(target)} tokens; the run takes {most} "
            "(max_target_tokens, and the positions of the model)"
        )


def encode_annotation(
    processor: Processor,
    annotation: Annotation,
    image_size: ImageSize,
    auxiliary: AuxiliaryConfig,
) -> tuple[Sequence[int], Sequence[int]]:
    """The ids of the prompt and of the target that an annotation means.

    In ``char_level_tasks`` the words of the target have a token for every byte; polygons have
    ``polygon_vertices`` vertices if that is set.
    """
    prompt = processor.prompt(annotation.task_definition, annotation.prompt_input, image_size)
    answer = annotation.answer
    if auxiliary.polygon_vertices and isinstance(answer, Polygons):
        answer = resample_record_polygons(answer, auxiliary.polygon_vertices)
    target = processor.encode_target(answer, annotation.kind)
    if annotation.task in auxiliary.char_level_tasks:
        target = processor.tokenizer.to_byte_tokens(target)
    return prompt.token_ids, target


@dataclass(frozen=True)
class ExampleSpec:
    """Reads the pairs at some places of the order; ``name`` tells which, for lists of problems.

    ``number`` is the record's.
    """

    name: dict[str, object]
    read: Callable[[], list[EncodedExample]]
    number: int


class OrderedPairs:
    """The pairs of a finite data set in the order that the recipe's seed and weights give.

    Raises ``ValueError`` when the recipe names tasks that the data has not.
    """

    def __init__(self, reader: ExampleReader, examples: Sequence[Example], recipe: Recipe) -> None:
        known = {each.task for each in examples}
        if unknown := set(recipe.auxiliary.char_level_tasks) - known:
            raise ValueError(
                f"auxiliary.char_level_tasks names {sorted(unknown)}; the data has {sorted(known)}"
            )
        self.processor = reader.processor
        self._reader, self._examples = reader, examples
        self._order = DistributedSampler(
            [each.task for each in examples], recipe.task_weights, recipe.seed
        )

    @property
    def epoch_length(self) -> int | None:
        """The pairs of an epoch."""
        return self._order.epoch_length

    def jobs(self, begin: int, count: int) -> list[ExampleSpec]:
        """Jobs that read the pairs at places ``begin`` to ``begin + count``, in that order."""
        return [
            ExampleSpec(
                {"record": each.record, "annotation": each.annotation, "task": each.task},
                partial(self._read, each, begin + offset),
                each.record,
            )
            for offset, each in enumerate(
                self._examples[index] for index in self._order.indices(begin, count)
            )
        ]

    def blank(self) -> EncodedExample:
        """A pair of the right shapes that means nothing."""
        return blank_sequences(self.processor, self._reader.cells)

    def _read(self, example: Example, draw: int) -> list[EncodedExample]:
        return [self._reader.read(example, draw)]
