"""A run that is killed and goes on is, to the bit, the run that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from florence2.datasets.shards import ShardWriter
from florence2.model.checkpoint.adapters import merge_adapter_files
from florence2.model.checkpoint.weights import load_checkpoint

SCRIPT = Path(__file__).with_name("run_training.py")
STEPS = 8


@pytest.fixture(scope="module")
def shards(records, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("shards")
    with ShardWriter(folder) as writer:
        for record in records:
            writer.write(record)
    return folder


def start_run(
    shards: Path, start: Path, out: Path, *, processes: int = 1, die_at: int = -1,
    strategy: str = "ddp", settings: tuple[str, ...] = (),
) -> subprocess.Popen[bytes]:  # fmt: skip
    out.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(SCRIPT), str(shards),
               str(start), str(out), str(STEPS), str(die_at), strategy, *settings]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def finish(run: subprocess.Popen[bytes]) -> None:
    _, errors = run.communicate(timeout=240)
    assert run.returncode == 0, errors.decode()[-3000:]


def losses(out: Path) -> dict[int, float]:
    """The loss of every step; of a step that was done twice, both must be the same."""
    found: dict[int, float] = {}
    for line in (out / "losses.txt").read_text().splitlines():
        step, loss = line.split()
        assert found.setdefault(int(step), float(loss)) == float(loss), f"step {step} differs"
    return found


def kill_after(run: subprocess.Popen[bytes], out: Path, step: int) -> None:
    """Kill -9 the whole run once ``step`` is done."""
    path, deadline = out / "losses.txt", time.monotonic() + 200
    while time.monotonic() < deadline and run.poll() is None:
        if path.exists() and len(path.read_text().splitlines()) >= step:
            break
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    time.sleep(0.2)


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(out / "last" / "model.safetensors") for out in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(shards: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    finish(start_run(shards, start, out))
    assert sorted(losses(out)) == list(range(1, STEPS + 1))
    return out


def test_killed_at_a_random_step(shards: Path, start: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = start_run(shards, start, out)
    kill_after(run, out, random.randint(3, STEPS - 2))
    finish(start_run(shards, start, out))
    assert losses(out) == losses(unbroken)
    assert same_weights(out, unbroken)


def test_killed_while_a_checkpoint_is_written(
    shards: Path, start: Path, unbroken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = start_run(shards, start, out, die_at=4)
    run.communicate(timeout=240)
    assert run.returncode == -signal.SIGKILL
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert names == [".writing-step-00000004", "step-00000002"]
    finish(start_run(shards, start, out))
    assert losses(out) == losses(unbroken)
    assert same_weights(out, unbroken)


@pytest.mark.slow
def test_two_processes_killed_and_resumed(shards: Path, start: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    finish(start_run(shards, start, whole, processes=2))
    run = start_run(shards, start, out, processes=2)
    kill_after(run, out, random.randint(3, STEPS - 2))
    finish(start_run(shards, start, out, processes=2))
    assert losses(out) == losses(whole)
    assert same_weights(out, whole)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_then_one(
    shards: Path, start: Path, unbroken: Path, tmp_path: Path, strategy: str
) -> None:
    out = tmp_path / "out"
    # It kills itself: by the time that somebody else does, a fast machine may be through.
    run = start_run(shards, start, out, processes=2, strategy=strategy, die_at=6)
    run.communicate(timeout=240)
    assert run.returncode != 0
    kept = sorted(path.name for path in (out / "checkpoints").iterdir() if path.name[0] != ".")
    assert kept == ["step-00000002", "step-00000004"]
    (out / "losses.txt").rename(out / "losses-of-two.txt")
    finish(start_run(shards, start, out))
    alone, expected = losses(out), losses(unbroken)
    assert max(alone) == STEPS and min(alone) > 2
    for step, loss in alone.items():
        assert loss == pytest.approx(expected[step], rel=1e-5)
    for line in (out / "losses-of-two.txt").read_text().splitlines():
        step, loss = line.split()
        assert float(loss) == pytest.approx(expected[int(step)], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_adapters_of_two_processes_are_those_of_one(
    shards: Path, start: Path, tmp_path: Path, strategy: str
) -> None:
    settings = ("trainable=lora", "lora.rank=4")
    for name, processes in (("one", 1), ("two", 2)):
        finish(start_run(shards, start, tmp_path / name, processes=processes, strategy=strategy,
                         settings=settings))  # fmt: skip
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    for file in ("last/model.safetensors", "adapter/adapter_model.safetensors"):
        one, two = (load_file(tmp_path / name / file) for name in ("one", "two"))
        assert one.keys() == two.keys()
        assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)
    merged = load_checkpoint(start)
    merge_adapter_files(merged, tmp_path / "two" / "adapter")
    whole = load_checkpoint(tmp_path / "two" / "last")
    for first, second in zip(merged.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-6)
