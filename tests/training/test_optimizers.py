"""What moves which parameters, at which rate, and that it survives a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from florence2.model import Florence2Model
from florence2.results.records import Record
from florence2.training import Recipe, override, train
from florence2.training.muon import Muon, orthogonalize
from florence2.training.optimizers import make_optimizers
from florence2.training.recipe import Optimizer

MUON = Optimizer(kind="muon", learning_rate=1e-3, muon_factor=6.0, weight_decay=0.1)


@pytest.fixture
def model(start: Path) -> Florence2Model:
    from florence2.model.checkpoint.weights import load_checkpoint

    return load_checkpoint(start)


def test_adamw_moves_everything(model: Florence2Model) -> None:
    (only,) = make_optimizers(model, Optimizer()).parts
    assert isinstance(only, torch.optim.AdamW)
    assert sum(len(group["params"]) for group in only.param_groups) == len(list(model.parameters()))


def test_muon_moves_the_matrices_and_adamw_the_rest(model: Florence2Model) -> None:
    muon, adamw = make_optimizers(model, MUON).parts
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    by_muon = {id(each) for group in muon.param_groups for each in group["params"]}
    by_adamw = {id(each) for group in adamw.param_groups for each in group["params"]}
    assert by_muon.isdisjoint(by_adamw)
    assert len(by_muon) + len(by_adamw) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        looked_up = "embedding" in name or "positions" in name
        assert (id(parameter) in by_muon) == (parameter.ndim == 2 and not looked_up), name


def test_rates_keep_their_factor(model: Florence2Model) -> None:
    optimizers = make_optimizers(model, MUON)
    optimizers.set_rate(0.5)
    muon, adamw = optimizers.parts
    assert {group["lr"] for group in muon.param_groups} == {3.0}
    assert {group["lr"] for group in adamw.param_groups} == {0.5}


def test_frozen_parts_stay_out_of_muon(model: Florence2Model) -> None:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == "embedding.weight")
    (only,) = make_optimizers(model, MUON).parts
    assert isinstance(only, torch.optim.AdamW)


def test_a_run_with_muon_learns_and_goes_on_as_if_never_stopped(
    records: Sequence[Record], start: Path, tmp_path: Path
) -> None:
    recipe = override(
        Recipe(start=str(start), optimizer=replace(MUON, learning_rate=3e-3, muon_factor=2.0)),
        ["batch.size=4", "batch.micro=4", "schedule.samples=40", "schedule.warmup_steps=1",
         "schedule.shape=constant", "reporting.log_every=1", "reporting.sample_every=0",
         "reporting.evaluate_every=0", "reporting.checkpoint_every=5",
         "reporting.keep_checkpoints=2"],
    )  # fmt: skip
    whole = train(recipe, records, tmp_path / "whole", device="cpu", quiet=True)
    losses = _losses(tmp_path / "whole")
    assert losses[-1] < losses[0] - 0.3

    stopped = tmp_path / "stopped"
    train(recipe, records, stopped, device="cpu", quiet=True)
    # As if it had been killed after step 5: its end is gone.
    for path in (stopped / "checkpoints").iterdir():
        if path.name != "step-00000005":
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    again = train(recipe, records, stopped, device="cpu", quiet=True)
    expected, found = (load_file(each.last / "model.safetensors") for each in (whole, again))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def _losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "step"]


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (1, 5)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    found = orthogonalize(matrix)
    values = torch.linalg.svdvals(found)
    assert 0.6 < values.min() <= values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(
        found.flatten(), (left @ right).flatten(), dim=0
    ) > 0.97  # fmt: skip


def test_a_step_is_that_of_pytorchs_own() -> None:
    """Up to the precision it computes in."""
    ours, theirs = (torch.nn.Parameter(torch.eye(6, 10)) for _ in "ab")
    first = Muon([ours], lr=0.01, weight_decay=0.1)
    second = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for seed in range(3):
        gradient = torch.randn(6, 10, generator=torch.Generator().manual_seed(seed))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        first.step()
        second.step()
    assert torch.allclose(ours, theirs, atol=2e-3)
    assert not torch.allclose(ours, torch.eye(6, 10), atol=2e-3)


def test_a_run_in_bf16_computes_nearest_matrices_in_it() -> None:
    model = torch.nn.Linear(12, 8)
    (muon, _), (other, _) = (
        make_optimizers(model, MUON, precision).parts for precision in ("fp32", "bf16")
    )
    assert isinstance(muon, Muon) and muon.dtype == torch.float32
    assert isinstance(other, Muon) and other.dtype == torch.bfloat16
    matrix = torch.randn(8, 12, generator=torch.Generator().manual_seed(2))
    near = orthogonalize(matrix, torch.bfloat16)
    assert near.dtype == torch.float32
    assert torch.allclose(near, orthogonalize(matrix), atol=0.05)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="3, 1, 2"):
        Muon([torch.nn.Parameter(torch.zeros(3, 1, 2))], lr=0.1, weight_decay=0.0)
