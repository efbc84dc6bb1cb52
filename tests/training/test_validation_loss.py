from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from florence2.results.records import Annotation, FilterDecision, Record
from florence2.results.types import Text
from florence2.training.batches import collate
from florence2.training.examples import ExampleReader, list_examples
from florence2.training.loss import token_loss_sum
from florence2.training.model_init import build_model
from florence2.training.recipe import AuxiliaryConfig, Batch, Recipe
from florence2.training.step import forward
from florence2.training.validation_loss import validation_loss


def test_the_loss_is_the_mean_over_tokens_whatever_the_batch_and_the_dropout(
    records: Any, start: Path
) -> None:
    recipe = Recipe(start=str(start), batch=Batch(size=4, micro=4))
    model, processor = build_model(recipe)
    model.train()
    reader = ExampleReader(records, processor, recipe)
    total, tokens = 0.0, 0
    for example in list_examples(records):
        batch = collate([reader.read(example, 0)], processor.tokenizer.eos, processor.tokenizer.pad)
        with torch.no_grad():
            total += float(token_loss_sum(forward(model.eval(), batch, "fp32"), batch.target_ids))
        tokens += batch.tokens
    model.train()
    found = validation_loss(model, records, processor, recipe)
    assert found == pytest.approx(total / tokens, rel=1e-5)
    assert model.training


def test_what_cannot_be_read_is_passed_over_unless_it_is_everything(
    records: Any, start: Path
) -> None:
    recipe = Recipe(start=str(start))
    model, processor = build_model(recipe)
    broken = Record("x", 4, 4, "", b"no picture", None, (Annotation("<CAPTION>", Text("a")),))
    some = type(records)([*records[:3], broken])
    assert validation_loss(model, some, processor, recipe) == pytest.approx(
        validation_loss(model, type(records)(records[:3]), processor, recipe), rel=1e-6
    )
    with pytest.raises(ValueError, match="no validation example can be read"):
        validation_loss(model, type(records)([broken]), processor, recipe)


def test_dropped_annotations_do_not_count(records: Any, start: Path) -> None:
    recipe = Recipe(start=str(start))
    model, processor = build_model(recipe)
    dropped = Annotation("<CAPTION>", Text("a" * 20), decision=FilterDecision(False, "too long"))
    first = records[0]
    both = Record(**{**vars(first), "annotations": (*first.annotations, dropped)})
    losses = [
        validation_loss(model, type(records)([each]), processor, recipe) for each in (first, both)
    ]
    assert losses[0] == losses[1]


def test_aids_of_training_do_not_reach_the_held_out_records(records: Any, start: Path) -> None:
    plain = Recipe(start=str(start))
    model, processor = build_model(plain)
    captions = type(records)(each for each in records if each.annotations[0].task == "<CAPTION>")
    # Such records have no boxes for the dense task, and none are needed.
    aided = replace(plain, auxiliary=AuxiliaryConfig(dense_weight=1.0, dense_categories=("car",)))
    assert validation_loss(model, captions, processor, aided) == validation_loss(
        model, captions, processor, plain
    )
