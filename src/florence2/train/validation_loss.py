"""The loss on held-out records, to tell learning from learning by heart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from ..model import Florence2Model
from ..processor import Processor
from .batches import collate
from .examples import Example, ExampleReader, Records, Sequences, list_examples
from .recipe import Aids, Augmentation, Recipe
from .step import micro_batch_loss

# Enough pairs for a steady mean; more would only cost time.
MOST_PAIRS = 1024


def validation_loss(
    model: Florence2Model,
    held_out: Records,
    processor: Processor,
    recipe: Recipe,
    most_pairs: int = MOST_PAIRS,
) -> float:
    """The mean loss per target token over held-out pairs, without dropout or augmentation.

    Of more than ``most_pairs`` pairs, as many are taken at even distances. Pairs that cannot be
    read are passed over. Raises ``ValueError`` when that leaves none.
    """
    examples = list_examples(held_out)
    step = max(1, -(-len(examples) // most_pairs))
    unchanged = replace(recipe, augmentation=Augmentation(), aids=Aids())
    reader = ExampleReader(held_out, processor, unchanged, model.config.text.positions)
    was_training = model.training
    model.eval()
    loss, tokens = 0.0, 0
    with torch.no_grad():
        readable = _readable(reader, examples[::step])
        while pairs := list(islice(readable, recipe.batch.micro)):
            batch = collate(pairs, start=processor.tokenizer.eos, pad=processor.tokenizer.pad)
            batch = batch.to(model.embedding.weight.device)
            loss += float(micro_batch_loss(model, batch, recipe.precision))
            tokens += batch.tokens
    model.train(was_training)
    if not tokens:
        raise ValueError("no held-out pair can be read: look at the validation records")
    return loss / tokens


def _readable(reader: ExampleReader, examples: list[Example]) -> Iterator[Sequences]:
    for example in examples:
        try:
            yield reader.read(example, draw=0)
        except (ValueError, OSError):
            continue
