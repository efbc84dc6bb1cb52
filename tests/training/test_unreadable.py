"""Examples that cannot be read end neither a step, nor an evaluation, nor a sheet of samples."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from florence2.model.checkpoint.weights import load_checkpoint
from florence2.results.records import Annotation
from florence2.results.types import Text
from florence2.training import Recipe, override, train
from florence2.training.batches import BatchStream
from florence2.training.distributed import DistributedContext
from florence2.training.examples import ExampleReader, FiniteSource, check_text, list_examples
from florence2.training.loss import token_loss_sum
from florence2.training.step import forward

SHORT = [
    "batch.size=4", "schedule.epochs=1", "schedule.warmup_steps=1", "reporting.sample_every=0",
    "reporting.log_every=1", "optimizer.learning_rate=0.01",
]  # fmt: skip


def run(records: Any, start: Path, out: Path, *settings: str, **more: Any) -> Any:
    recipe = override(Recipe(start=str(start)), [*SHORT, *settings])
    return train(recipe, records, out, device="cpu", quiet=True, **more)


def lines(out: Path, kind: str) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in read if line["kind"] == kind]


def broken(record: Any) -> Any:
    return replace(record, image=b"no image")


def test_one_example_at_a_time_and_one_that_is_broken(
    records: Any, start: Path, tmp_path: Path
) -> None:
    """The broken one alone is left out: the others of its step teach what they would."""
    damaged = type(records)([broken(records[0]), *records[1:8]])
    rates = ("dropout", "attention_dropout", "activation_dropout", "drop_path")
    none = [f"regularization.{name}=0" for name in rates]
    outcome = run(damaged, start, tmp_path / "one", "batch.micro=1", *none)
    assert outcome.skipped_examples == 1
    problems = (tmp_path / "one" / "problems.jsonl").read_text().splitlines()
    assert [json.loads(each)["record"] for each in problems] == [0]
    assert any("skipped: record 0" in each["text"] for each in lines(tmp_path / "one", "note"))
    run(damaged, start, tmp_path / "four", "batch.micro=4", *none)
    found = [[each["loss"] for each in lines(tmp_path / name, "step")] for name in ("one", "four")]
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_a_step_without_a_readable_example_changes_nothing(
    records: Any, start: Path, tmp_path: Path
) -> None:
    bad = [broken(each) for each in records[:3]]
    damaged = type(records)([*bad, records[3]])
    outcome = run(damaged, start, tmp_path, "batch.size=1", "schedule.epochs=2")
    assert (outcome.steps, outcome.skipped_steps, outcome.skipped_examples) == (8, 6, 3)
    steps = lines(tmp_path, "step")
    assert [each["examples"] for each in steps].count(0) == 6
    assert all(each["loss"] is None for each in steps if not each["examples"])
    weights = load_file(outcome.last / "model.safetensors")
    assert all(bool(torch.isfinite(each).all()) for each in weights.values())


def test_when_nothing_can_be_read_the_run_says_so(
    records: Any, start: Path, tmp_path: Path
) -> None:
    damaged = type(records)([broken(each) for each in records[:4]])
    for settings in ((), ("schedule.epochs=50",)):
        with pytest.raises(ValueError, match=r"no example could be read .*problems\.jsonl"):
            run(damaged, start, tmp_path / str(len(settings)), *settings)
    listed = (tmp_path / "1" / "problems.jsonl").read_text().splitlines()
    assert len(listed) == 4


def test_an_error_of_any_type_is_that_of_its_example(
    records: Any, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ExampleReader.read

    def failing(self: Any, example: Any, draw: int) -> Any:
        if example.record == 2:
            raise RecursionError("odd")
        return original(self, example, draw)

    monkeypatch.setattr(ExampleReader, "read", failing)
    assert run(records[:4] and type(records)(records[:4]), start, tmp_path).skipped_examples == 1


def test_texts_that_cannot_fit_are_refused_before_they_are_tokenized() -> None:
    with pytest.raises(ValueError, match=r"5,000,000 characters, too many for 64 tokens"):
        check_text(Annotation("<CAPTION>", Text("word " * 1_000_000)), 64)
    check_text(Annotation("<CAPTION>", Text("word " * 60)), 64)


def test_evaluations_and_samples_pass_over_what_they_cannot_read(
    records: Any, start: Path, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    Image.new("1", (13000, 13000)).save(stream, "PNG")
    vast = replace(records[0], image=stream.getvalue())
    damaged = type(records)([vast, *records[1:6]])
    outcome = run(
        damaged, start, tmp_path, "batch.size=3", "reporting.sample_every=1",
        "reporting.evaluate_every=1", validation=type(records)([vast, records[7]]),
    )  # fmt: skip
    assert outcome.steps == 2
    assert all(each["loss"] > 0 for each in lines(tmp_path, "evaluation"))
    assert (tmp_path / "samples" / "step-00000001.png").is_file()
    assert any(each["text"].startswith("not drawn: 0: ") for each in lines(tmp_path, "note"))


def test_among_several_processes_a_blank_batch_takes_the_place(
    records: Any, start: Path, processor: Any, tmp_path: Path
) -> None:
    """Every process must go through the model equally often: a blank batch teaches nothing."""
    recipe = override(Recipe(start=str(start)), ["batch.size=2", "batch.micro=1"])
    damaged = type(records)([broken(each) for each in records[:2]])
    source = FiniteSource(
        ExampleReader(damaged, processor, recipe, 128), list_examples(damaged), recipe
    )
    world = DistributedContext(1, 2, torch.device("cpu"))
    stream = BatchStream(source, recipe, world, tmp_path / "problems.jsonl")
    (batch,) = next(stream.steps(0))
    assert batch.tokens == 0
    model = load_checkpoint(start).train()
    token_loss_sum(forward(model, batch, "fp32"), batch.target_ids).backward()
    gradients = [each.grad for each in model.parameters() if each.requires_grad]
    assert all(each is not None and not each.any() for each in gradients)
