"""Ctrl-C and SIGTERM: the state is saved, and the run that resumes is the unbroken one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from florence2.training import Recipe, TrainingInterrupted, loop, override, train

SHORT = [
    "batch.size=2", "schedule.samples=8", "schedule.warmup_steps=1", "reporting.sample_every=0",
    "optimizer.learning_rate=0.01",
]  # fmt: skip


def run(records: Any, start: Path, out: Path, *settings: str, **more: Any) -> Any:
    recipe = override(Recipe(start=str(start)), [*SHORT, *settings])
    return train(recipe, records, out, device="cpu", quiet=True, **more)


def weights(out: Path) -> bytes:
    return (out / "last" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_step_and_saves(
    records: Any, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    run(records, start, tmp_path / "whole")
    original, before = loop.train_step, signal.getsignal(number)

    def stopping(setup: Any, batches: Any) -> Any:
        if setup.state.step == 1:
            os.kill(os.getpid(), number)
        return original(setup, batches)

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(TrainingInterrupted) as interrupt:
        run(records, start, tmp_path / "run")
    assert signal.getsignal(number) is before
    stopped = interrupt.value
    assert (stopped.signal_number, stopped.step, stopped.steps) == (number, 2, 4)
    assert stopped.checkpoint == tmp_path / "run" / "checkpoints" / "step-00000002"
    assert "stopped at step 2 of 4" in str(stopped) and "same command again" in str(stopped)
    monkeypatch.undo()
    run(records, start, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


@pytest.mark.parametrize("due", [2, 4])
def test_an_interrupted_evaluation_is_made_when_the_run_resumes(
    records: Any, start: Path, tmp_path: Path, due: int
) -> None:
    calls: list[int] = []

    def evaluate(model: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return {"exact": 0.5}

    settings = (f"reporting.evaluate_every={due}", "reporting.metric=exact")
    with pytest.raises(TrainingInterrupted) as interrupt:
        run(records, start, tmp_path, *settings, evaluator=evaluate)
    assert interrupt.value.step == due
    run(records, start, tmp_path, *settings, evaluator=evaluate)
    read = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    evaluated = [line["step"] for line in read if line["kind"] == "evaluation"]
    assert evaluated == list(range(due, 5, due))
    assert (tmp_path / "last").is_dir() and (tmp_path / "best").is_dir()


def test_checkpoints_are_due_by_time_too(records: Any, start: Path, tmp_path: Path) -> None:
    short = "schedule.samples=4"
    settings = (short, "reporting.checkpoint_minutes=0.0000001", "reporting.keep_checkpoints=9")
    run(records, start, tmp_path, *settings)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    run(records, start, tmp_path / "off", short, "reporting.checkpoint_minutes=0")
    assert len(list((tmp_path / "off" / "checkpoints").iterdir())) == 1
