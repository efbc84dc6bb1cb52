"""Both programs on the same small weights: the same answers of exactly the lengths asked for."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

import florence2
from florence2.bench import baseline
from florence2.bench.batching import time_eight_prompts, time_mixed_batch
from florence2.bench.candidates import add_baselines, load_models, make_checkpoint
from florence2.bench.florence2_stages import BenchInput, florence2_stages

LENGTHS = (6, 12)


@pytest.fixture(scope="module")
def image() -> bytes:
    return (files("florence2") / "nano" / "demo.png").read_bytes()


@pytest.fixture(scope="module")
def model() -> florence2.Florence2:
    return florence2.load("nano", device="cpu", runtime="torch")


def test_answers_have_exactly_the_length_and_are_the_same(
    model: florence2.Florence2, image: bytes, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    ours: Any = florence2_stages(model, BenchInput(image, "caption", LENGTHS))
    theirs: Any = baseline.baseline_stages(
        model, tmp_path, BenchInput(image, "caption", LENGTHS), torch.float32
    )
    for length in LENGTHS:
        (found,) = ours[f"{length} tokens, 3 beams"]()
        expected = theirs[f"{length} tokens, 3 beams"]()
        assert len(found.token_ids) == length
        # Theirs begin with the start token.
        assert list(found.token_ids) == expected[1:]
    assert set(theirs) < set(ours)
    for name in ("image", "vision encoder", "encoder", "token, 1 beam", "token, 3 beams"):
        ours[name]()
    for name in ("vision encoder", "encoder"):
        theirs[name]()


def test_what_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models, missing = load_models("nano", ["torch:fp32", "magic:fp32", "torch:int3"])
    assert list(models) == ["torch fp32"]
    assert "magic" in missing["magic fp32"]
    assert "int3" in missing["torch int3"]

    def absent(*_: object) -> None:
        raise baseline.BaselineUnavailableError("transformers is not installed")

    monkeypatch.setattr("florence2.bench.candidates.baseline_stages", absent)
    found: dict[str, Any] = {}
    reasons = add_baselines(
        found, models["torch fp32"], tmp_path, BenchInput(b"", "caption", LENGTHS)
    )
    assert not found
    assert set(reasons) == {"transformers fp32", "transformers bf16"}


def test_random_checkpoints_of_a_shape(tmp_path: Path) -> None:
    assert make_checkpoint("nano", tmp_path) == "nano"
    made = florence2.load(make_checkpoint("random:nano", tmp_path), device="cpu", runtime="torch")
    assert made.config.vision.dim_embed[-1] == 256
    with pytest.raises(ValueError, match="random shapes are base, large, nano, got 'random:tiny'"):
        make_checkpoint("random:tiny", tmp_path)


def test_batches_answer_what_single_calls_answer(model: florence2.Florence2, image: bytes) -> None:
    found = time_mixed_batch(model, image, 5, tokens=6)
    assert found.same
    assert found.requests == 5
    assert found.gain > 0
    eight, one = time_eight_prompts(model, image, tokens=4)
    assert min(eight, one) > 0
