"""The dense loss on encoder states: its targets, which states it reads, a run that learns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from florence2.model.checkpoint.weights import load_checkpoint
from florence2.results.locations import BINS
from florence2.results.records import Record
from florence2.results.types import Boxes
from florence2.training.auxiliary.dense import ENCODER_HEAD_FILE, DenseHeadModel
from florence2.training.auxiliary.encoder_probe import (
    EncoderHead,
    capture_encoder_states,
    edge_loss,
    image_token_states,
)

from ..test_streaming import run_with_dense_loss

LOCATION = 10


def test_edges_that_are_right_cost_nothing_and_cells_count_by_their_weight() -> None:
    boxes = torch.tensor([[0.0, 0.25, 0.5, 1.0], [0.1, 0.1, 0.2, 0.2]])
    logits = torch.zeros(2, 4, BINS)
    for edge, bin_ in enumerate((0, 250, 500, 999)):
        logits[0, edge, bin_] = 100
    unknown = math.log(BINS)
    assert edge_loss(logits, boxes, torch.ones(2), 0).item() == pytest.approx(unknown / 2)
    assert edge_loss(logits, boxes, torch.tensor([2.0, 0.0]), 0).item() == pytest.approx(0)
    # A near miss costs little where targets are soft, and as much as any where they are not.
    near = torch.full((1, 4, BINS), -20.0)
    near[..., 250] = 0
    off = torch.full((1, 4), 252.5 / BINS)
    assert edge_loss(near, off, torch.ones(1), 0).item() == pytest.approx(20, rel=0.01)
    assert edge_loss(near, off, torch.ones(1), 2).item() < 18


def test_an_image_without_objects_costs_nothing_and_has_gradients() -> None:
    head = EncoderHead(8, 6)
    outputs = head(
        torch.randn(1, 2, 2, 8), torch.zeros(1, 2, 2, dtype=torch.bool), torch.randn(BINS, 8)
    )
    loss = edge_loss(outputs.edges_M4K, torch.zeros(0, 4), torch.zeros(0), 3.0)
    assert loss.item() == 0
    loss.backward()
    assert head.edges.weight.grad is not None and not head.edges.weight.grad.any()


def test_the_states_of_an_image_are_those_of_one_of_its_pairs() -> None:
    # Pair b has the state b everywhere but at the mean's place and in the prompt.
    pairs = torch.arange(5.0)[:, None, None].expand(5, 9, 3).clone()
    pairs[:, 0], pairs[:, 7:] = -1, -2
    pictures = torch.tensor([1, 0, 1, 1, 0])
    seen = set()
    for _ in range(40):
        states = image_token_states([pairs[:2], pairs[2:, :8]], pictures, (2, 3))
        assert states.shape == (2, 2, 3, 3)
        chosen = states[:, 0, 0, 0].int().tolist()
        assert torch.equal(states, pairs[chosen, 1:7].view(2, 2, 3, 3))
        assert pictures[chosen].tolist() == [0, 1]
        seen.update(chosen)
    assert seen == {0, 1, 2, 3, 4}
    alone = image_token_states([pairs], None, (2, 3))
    assert torch.equal(alone[:, 1, 2, 0], torch.arange(5.0))


def test_the_encoders_states_are_captured_only_within_the_block(start: Path) -> None:
    model = load_checkpoint(start)
    with capture_encoder_states(model.encoder) as states:
        model.encode(torch.randn(2, 5, model.config.text.d_model), torch.tensor([[0, 2], [0, 2]]))
    assert [tuple(each.shape[:2]) for each in states] == [(2, 7)]
    model.encode(torch.randn(2, 5, model.config.text.d_model), torch.tensor([[0, 2], [0, 2]]))
    assert len(states) == 1


def _with_a_large_thing(record: Record) -> Record:
    """The record, the first of its cells on a thing: the others are left out by chance."""
    box = Boxes(
        [[0, 0, record.width * 0.6, record.height * 0.6]], ["OPEN"], (record.width, record.height)
    )
    changed = [
        replace(each, answer=box) if each.task == "<OD>" else each for each in record.annotations
    ]
    return replace(record, annotations=tuple(changed))


def test_a_run_with_the_probe_learns_and_leaves_a_plain_checkpoint(
    many_questions, start: Path, tmp_path: Path
) -> None:
    pictures = [_with_a_large_thing(each) for each in many_questions]
    outcome, steps = run_with_dense_loss(
        pictures,
        start,
        tmp_path / "a",
        "schedule.samples=80",
        "auxiliary.dense_weight=0.1",
        "auxiliary.encoder_probe_weight=1.0",
        "auxiliary.location_smoothing_sigma=8.0",
        "auxiliary.char_loss_weight=0.5",
    )
    losses = [step["encoder_edge_loss"] for step in steps]
    assert losses[0] == pytest.approx(math.log(BINS), rel=0.05), "nothing is known at first"
    assert sum(losses[-4:]) < 0.93 * sum(losses[:4])
    assert 0 <= steps[-1]["encoder_cell_accuracy"] <= 1
    assert 0 <= steps[-1]["encoder_char_accuracy"] <= 1
    names_saved = load_file(outcome.last / "model.safetensors").keys()
    assert names_saved == load_file(start / "model.safetensors").keys()
    # A run that starts from there starts with the trained head.
    _, later = run_with_dense_loss(
        pictures,
        outcome.last,
        tmp_path / "b",
        "schedule.samples=4",
        "auxiliary.dense_weight=0.1",
        "auxiliary.encoder_probe_weight=1.0",
        "auxiliary.location_smoothing_sigma=8.0",
        "auxiliary.char_loss_weight=0.5",
    )
    assert later[0]["encoder_edge_loss"] < 0.95 * losses[0]


def test_a_run_without_the_probe_keeps_its_stored_head(start: Path, tmp_path: Path) -> None:
    model = load_checkpoint(start)
    old = DenseHeadModel(model, 2, dense_only=False, first_location=LOCATION)
    assert old.encoder_head is not None
    torch.nn.init.ones_(old.encoder_head.cells.weight)
    old.save_heads(tmp_path / "text")
    tower = DenseHeadModel(model, 2, dense_only=True)
    tower.load_heads(tmp_path / "text")
    tower.save_heads(tmp_path / "tower")
    after = DenseHeadModel(model, 2, dense_only=False, first_location=LOCATION)
    after.load_heads(tmp_path / "tower")
    assert after.encoder_head is not None and after.encoder_head.cells.weight.min() == 1
    DenseHeadModel(model, 2, dense_only=True).save_heads(tmp_path / "none")
    assert not (tmp_path / "none" / ENCODER_HEAD_FILE).exists()


def test_a_head_for_other_classes_is_left_alone(start: Path, tmp_path: Path) -> None:
    model = load_checkpoint(start)
    old = DenseHeadModel(model, 2, dense_only=False, first_location=LOCATION)
    assert old.encoder_head is not None
    torch.nn.init.ones_(old.encoder_head.cells.weight)
    old.save_heads(tmp_path)
    assert (tmp_path / ENCODER_HEAD_FILE).is_file()
    same = DenseHeadModel(model, 2, dense_only=False, first_location=LOCATION)
    same.load_heads(tmp_path)
    assert same.encoder_head is not None and same.encoder_head.cells.weight.min() == 1
    other = DenseHeadModel(model, 3, dense_only=False, first_location=LOCATION)
    other.load_heads(tmp_path)
    assert other.encoder_head is not None and not other.encoder_head.cells.weight.any()
