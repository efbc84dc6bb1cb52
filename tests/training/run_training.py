"""A training run in a process of its own, for tests that kill it.

Arguments: shards, start, out, steps, and the step to die at while its checkpoint is written (or
-1). The loss of every step goes to ``losses.txt`` in ``out``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

import florence2.training.checkpoints as checkpoints
import florence2.training.loop as loop
from florence2.datasets.shards import ShardDataset
from florence2.training import Recipe, override, train

shards, start, out, steps, die_at = sys.argv[1:6]
strategy = sys.argv[6] if len(sys.argv) > 6 else "ddp"
more = sys.argv[7:]
torch.set_num_threads(1)
original = loop.train_step


def recorded(*arguments):  # type: ignore[no-untyped-def]
    outcome = original(*arguments)
    if int(os.environ.get("RANK", 0)) == 0:
        with (Path(out) / "losses.txt").open("a") as file:
            file.write(f"{arguments[0].state.step} {outcome.loss!r}\n")
    return outcome


def dying(path: Path) -> None:
    if path.name == f".writing-step-{int(die_at):08d}":
        os.kill(os.getpid(), signal.SIGKILL)


loop.train_step = recorded
if int(die_at) >= 0:
    checkpoints.fsync = dying
recipe = override(
    Recipe(start=start),
    ["batch.size=4", "batch.micro=2", f"schedule.samples={4 * int(steps)}",
     "schedule.warmup_steps=2", "optimizer.learning_rate=0.003", "reporting.checkpoint_every=2",
     "reporting.sample_every=0", "regularization.dropout=0.1", *more],
)  # fmt: skip
train(recipe, ShardDataset(shards), out, device="cpu", strategy=strategy, quiet=True)  # type: ignore[arg-type]
