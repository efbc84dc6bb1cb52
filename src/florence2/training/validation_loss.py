"""The loss on validation records, to detect overfitting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from ..model import Florence2Model
from ..processing.processor import Processor
from .batches import collate
from .examples import (
    EncodedExample,
    ExampleReader,
    TrainingExample,
    TrainingRecords,
    list_examples,
)
from .loss import token_loss_sum
from .recipe import Augmentation, AuxiliaryConfig, Recipe
from .step import forward


class UnreadableValidationError(ValueError):
    """No validation example can be read."""


# Enough examples for a stable mean.
MAX_EXAMPLES = 1024


def validation_loss(
    model: Florence2Model,
    validation: TrainingRecords,
    processor: Processor,
    recipe: Recipe,
    max_examples: int = MAX_EXAMPLES,
) -> float:
    """The mean loss per target token, without dropout, augmentation and auxiliary objectives.

    Of more than ``max_examples`` examples, as many are used at equal distances. Examples that
    cannot be read are skipped. Raises ``UnreadableValidationError`` when none is left.
    """
    positions = model.config.text.max_position_embeddings
    reader, examples = _select(validation, processor, recipe, positions, max_examples)
    reasons: list[str] = []
    was_training = model.training
    model.eval()
    loss, tokens = 0.0, 0
    with torch.no_grad():
        readable = _read_all(reader, examples, reasons)
        while chunk := list(islice(readable, recipe.batch.micro)):
            batch = collate(chunk, start=processor.tokenizer.eos, pad=processor.tokenizer.pad)
            batch = batch.to(model.embedding.weight.device)
            logits_MV = forward(model, batch, recipe.precision)
            loss += float(token_loss_sum(logits_MV, batch.target_ids))
            tokens += batch.tokens
    model.train(was_training)
    if not tokens:
        raise UnreadableValidationError(_describe_unreadable(reasons))
    return loss / tokens


def check_validation(
    validation: TrainingRecords,
    processor: Processor,
    recipe: Recipe,
    positions: int,
    max_examples: int = MAX_EXAMPLES,
) -> None:
    """Raise ``UnreadableValidationError`` when no validation example can be read.

    Reads up to the first readable example, so that the error comes before the first step.
    """
    reader, examples = _select(validation, processor, recipe, positions, max_examples)
    reasons: list[str] = []
    if next(_read_all(reader, examples, reasons), None) is None:
        raise UnreadableValidationError(_describe_unreadable(reasons))


def _select(
    validation: TrainingRecords,
    processor: Processor,
    recipe: Recipe,
    positions: int,
    max_examples: int,
) -> tuple[ExampleReader, list[TrainingExample]]:
    """A reader without augmentation, and the examples that are read."""
    examples = list_examples(validation)
    step = max(1, -(-len(examples) // max_examples))
    plain = replace(recipe, augmentation=Augmentation(), auxiliary=AuxiliaryConfig())
    return ExampleReader(validation, processor, plain, positions), examples[::step]


def _describe_unreadable(reasons: list[str]) -> str:
    reason = f" ({reasons[0]})" if reasons else ""
    return f"no validation example can be read{reason}: check the validation records"


def _read_all(
    reader: ExampleReader, examples: list[TrainingExample], reasons: list[str]
) -> Iterator[EncodedExample]:
    for example in examples:
        try:
            yield reader.read(example, draw=0)
        except Exception as error:  # a single bad example is skipped, with any error
            reasons.append(str(error))
