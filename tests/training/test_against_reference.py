"""Loss and gradients equal transformers' Florence-2, on one padded batch of all task kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Florence2ForConditionalGeneration

from florence2.model.checkpoint.state_dict_keys import layout_name
from florence2.model.checkpoint.weights import load_checkpoint, save_checkpoint
from florence2.processing.processor import Processor
from florence2.training.batches import MicroBatch, collate
from florence2.training.examples import ExampleReader, list_examples
from florence2.training.loss import IGNORE_INDEX, token_loss_sum
from florence2.training.recipe import Recipe


@pytest.fixture
def batch(records, start: Path) -> MicroBatch:  # type: ignore[no-untyped-def]
    processor = Processor.from_directory(start, positions=128, stride=32)
    reader = ExampleReader(records, processor, Recipe())
    examples = list_examples(records)[:15]
    return collate([reader.read(each, 0) for each in examples], start=2, pad=1)


def test_the_batch_has_padding_and_all_kinds(batch: MicroBatch) -> None:
    assert len(batch) == 15
    assert batch.padding_BP.any() and (batch.labels_BT == IGNORE_INDEX).any()
    assert batch.tokens == int((batch.labels_BT != IGNORE_INDEX).sum())


def test_there_is_one_shift(batch: MicroBatch) -> None:
    for labels, inputs in zip(batch.labels_BT.tolist(), batch.decoder_BT.tolist(), strict=True):
        kept = [token for token in labels if token != IGNORE_INDEX]
        assert (kept[0], kept[-1]) == (0, 2), "a target is <s> ... </s>"
        assert inputs[: len(kept)] == [2, *kept[:-1]], (
            "the start token, then the target but its end"
        )
        assert all(token in (1, 2) for token in inputs[len(kept) :])


def test_loss_and_gradients_equal_the_reference(
    batch: MicroBatch, start: Path, tmp_path: Path
) -> None:
    save_checkpoint(load_checkpoint(start), tmp_path, layout="transformers")
    ours = load_checkpoint(tmp_path, dtype=torch.float64)
    theirs = Florence2ForConditionalGeneration.from_pretrained(
        tmp_path, attn_implementation="eager", dtype=torch.float64
    ).eval()
    pixels = batch.pixels_BCHW.double()

    wanted = batch.labels_BT != IGNORE_INDEX
    logits = ours(pixels, batch.prompt_BP, batch.decoder_BT, batch.padding_BP, loss_mask_BT=wanted)
    loss = token_loss_sum(logits, batch.labels_BT[wanted]) / batch.tokens
    loss.backward()

    image = torch.full((len(batch), 5), ours.config.image_token_id or 0)
    reference = theirs(
        input_ids=torch.cat([image, batch.prompt_BP], dim=1),
        attention_mask=torch.cat([torch.ones_like(image), (~batch.padding_BP).long()], dim=1),
        pixel_values=pixels,
        labels=batch.labels_BT,
    )
    reference.loss.backward()
    assert loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)

    expected = {name: each.grad for name, each in theirs.named_parameters()}
    largest = max(float(each.norm()) for each in expected.values() if each is not None)
    compared = 0
    for name, parameter in ours.named_parameters():
        gradient = expected[layout_name(name, "transformers")]
        assert parameter.grad is not None and gradient is not None, name
        difference = float((parameter.grad - gradient).norm())
        # A key's bias shifts all scores alike and has no true gradient, only rounding.
        assert difference <= 1e-5 * max(float(gradient.norm()), 1e-5 * largest), name
        compared += 1
    assert compared == len(list(ours.parameters()))
