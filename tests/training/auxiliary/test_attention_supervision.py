"""Supervised cross-attention: shares of attention counted by hand, and learned."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from florence2.model import TextConfig
from florence2.model.bart import Decoder
from florence2.model.checkpoint.weights import load_checkpoint
from florence2.training.auxiliary.attention_supervision import (
    attention_in_regions,
    record_attention,
)
from florence2.training.auxiliary.dense import DecoderBatch, decode_in_parts

from ..test_streaming import run_with_dense_loss


def test_uniform_attention_has_the_share_of_the_cells(start: Path) -> None:
    attention = load_checkpoint(start).decoder.layers[0].cross_attention
    torch.nn.init.zeros_(attention.query.weight)
    torch.nn.init.zeros_(attention.query.bias)
    width, heads = attention.query.in_features, attention.heads
    states, keys = torch.randn(1, 3, width), torch.randn(1, heads, 10, width // heads)
    places = torch.zeros(1, 3, 4, dtype=torch.bool)
    places[0, 0, :2] = places[0, 2, 1] = True
    found = attention_in_regions(attention, states, keys, None, places)
    assert found.shape == (max(1, heads // 3),)
    # Of ten positions two, then one; the token about no place does not count.
    assert found.tolist() == pytest.approx([math.log(0.2) + math.log(0.1)] * len(found), rel=1e-4)
    mask = torch.zeros(1, 1, 1, 10).masked_fill(torch.arange(10) >= 5, float("-inf"))
    masked = attention_in_regions(attention, states, keys, mask, places)
    assert masked.tolist() == pytest.approx([math.log(0.4) + math.log(0.2)] * len(found), rel=1e-4)


def test_the_first_position_is_the_pictures_mean_and_no_cell(start: Path) -> None:
    attention = load_checkpoint(start).decoder.layers[0].cross_attention
    width, heads = attention.query.in_features, attention.heads
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 1, width, generator=generator)
    keys = torch.randn(1, heads, 5, width // heads, generator=generator)
    # All attention on the second position: the first cell.
    keys[:, :, 1] = 1e4 * attention.queries(states)[0, :, 0].detach()
    for cell, share in ((0, 0.0), (1, -50.0)):
        places = torch.zeros(1, 1, 4, dtype=torch.bool)
        places[0, 0, cell] = True
        found = attention_in_regions(attention, states, keys, None, places)
        assert (found >= -1e-3).all() if share == 0 else (found < share).all()


def test_recording_changes_no_logit_and_gradients_are_finite(start: Path) -> None:
    model = load_checkpoint(start)
    rows, cells = 4, 4
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(rows, 1 + cells, model.config.text.d_model, generator=generator)
    prompts = torch.randint(4, 40, (rows, 5), generator=generator)
    padding = torch.arange(5) >= torch.tensor([[3], [5], [4], [5]])
    wanted = torch.arange(6) < torch.tensor([[2], [3], [5], [6]])
    ids = torch.randint(4, 40, (rows, 6), generator=generator)
    places = torch.rand(rows, 6, cells, generator=generator) < 0.3
    places &= wanted[:, :, None]
    batch = DecoderBatch(image, prompts, ids, padding, wanted)
    plain, nothing = decode_in_parts(model, batch)
    recorded, shares = decode_in_parts(model, batch, places)
    assert nothing is None and shares is not None
    assert torch.equal(plain, recorded)
    assert shares.item() < 0
    shares.backward()
    gradients = [each.grad for each in model.decoder.parameters() if each.grad is not None]
    assert gradients and all(torch.isfinite(each).all() for each in gradients)
    with record_attention(model.decoder, places) as recorded_shares:
        pass
    decode_in_parts(model, batch)
    assert recorded_shares == []


def test_a_third_of_the_heads_of_all_layers_but_the_first_is_recorded() -> None:
    text = TextConfig(
        d_model=48,
        encoder_layers=1,
        decoder_layers=3,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        vocab_size=3072,
        max_position_embeddings=64,
    )
    decoder = Decoder(text)
    cross = decoder.cross_attention(torch.randn(2, 5, 48), None)
    places = torch.ones(2, 3, 4, dtype=torch.bool)
    with record_attention(decoder, places) as shares:
        decoder(torch.randn(2, 3, 48), cross)
    assert [tuple(each.shape) for each in shares] == [(2,), (2,)]


def test_a_run_with_supervised_attention_learns_it(
    many_questions, start: Path, tmp_path: Path
) -> None:
    outcome, steps = run_with_dense_loss(
        many_questions, start, tmp_path, "schedule.samples=80", "auxiliary.dense_weight=0.1",
        "auxiliary.attention_loss_weight=1.0",
    )  # fmt: skip
    losses = [step["attention_loss"] for step in steps]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    names_saved = load_file(outcome.last / "model.safetensors").keys()
    assert names_saved == load_file(start / "model.safetensors").keys()
