"""The loss on held-out records, to tell learning from learning by heart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from ..model import Florence2Model
from ..processing.processor import Processor
from .batches import collate
from .examples import EncodedExample, Example, ExampleReader, Records, list_examples
from .recipe import Augmentation, AuxiliaryConfig, Recipe
from .step import micro_batch_loss


class UnreadableValidationError(ValueError):
    """Not one of the validation examples can be read."""


# Enough pairs for a steady mean; more would only cost time.
MAX_EXAMPLES = 1024


def validation_loss(
    model: Florence2Model,
    held_out: Records,
    processor: Processor,
    recipe: Recipe,
    most_pairs: int = MAX_EXAMPLES,
) -> float:
    """The mean loss per target token over held-out pairs, without dropout or augmentation.

    Of more than ``most_pairs`` pairs, as many are taken at even distances. Pairs that cannot be
    read are passed over. Raises ``UnreadableValidationError`` when that leaves none.
    """
    reader, examples = _chosen(
        held_out, processor, recipe, model.config.text.max_position_embeddings, most_pairs
    )
    reasons: list[str] = []
    was_training = model.training
    model.eval()
    loss, tokens = 0.0, 0
    with torch.no_grad():
        readable = _readable(reader, examples, reasons)
        while pairs := list(islice(readable, recipe.batch.micro)):
            batch = collate(pairs, start=processor.tokenizer.eos, pad=processor.tokenizer.pad)
            batch = batch.to(model.embedding.weight.device)
            loss += float(micro_batch_loss(model, batch, recipe.precision))
            tokens += batch.tokens
    model.train(was_training)
    if not tokens:
        raise UnreadableValidationError(_nothing_readable(reasons))
    return loss / tokens


def check_validation(
    held_out: Records,
    processor: Processor,
    recipe: Recipe,
    positions: int,
    most_pairs: int = MAX_EXAMPLES,
) -> None:
    """Raise ``UnreadableValidationError`` when no held-out pair can be read.

    Reads until the first that can, so that this is known before the first step.
    """
    reader, examples = _chosen(held_out, processor, recipe, positions, most_pairs)
    reasons: list[str] = []
    if next(_readable(reader, examples, reasons), None) is None:
        raise UnreadableValidationError(_nothing_readable(reasons))


def _chosen(
    held_out: Records, processor: Processor, recipe: Recipe, positions: int, most_pairs: int
) -> tuple[ExampleReader, list[Example]]:
    """What reads the pairs, unaugmented, and those that are read."""
    examples = list_examples(held_out)
    step = max(1, -(-len(examples) // most_pairs))
    unchanged = replace(recipe, augmentation=Augmentation(), auxiliary=AuxiliaryConfig())
    return ExampleReader(held_out, processor, unchanged, positions), examples[::step]


def _nothing_readable(reasons: list[str]) -> str:
    why = f" ({reasons[0]})" if reasons else ""
    return f"no validation example can be read{why}: look at the validation records"


def _readable(
    reader: ExampleReader, examples: list[Example], reasons: list[str]
) -> Iterator[EncodedExample]:
    for example in examples:
        try:
            yield reader.read(example, draw=0)
        except Exception as error:  # one bad pair is passed over, whatever is wrong with it
            reasons.append(str(error))
