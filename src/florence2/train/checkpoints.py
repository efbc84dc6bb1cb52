"""The state of a run on disk: written whole or not at all, resumed on any number of processes.

A checkpoint is a folder ``step-00000123`` of torch.distributed.checkpoint files. It is written
under another name and renamed when every process is done and the data is on the disk, so a kill
at any moment leaves the last good one.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from ..durable import synchronise
from .distributed import World
from .optimizers import Optimizers

_NAME = re.compile(r"step-(\d{8})")
_PROGRESS = "progress.json"


@dataclass
class Progress:
    """How far a run is: optimiser ``step``s done, steps skipped (all, and in a row), the loss
    scale of fp16, and the best value of the watched metric."""

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    loss_scale: float = 1.0
    good_steps: int = 0
    best: float | None = None


def save_state(
    directory: Path,
    model: nn.Module,
    optimizer: Optimizers,
    progress: Progress,
    world: World,
    keep: int,
) -> Path:
    """The folder of the new checkpoint; of the older ones the last ``keep - 1`` stay."""
    final = directory / f"step-{progress.step:08d}"
    temporary = directory / f".writing-{final.name}"
    if world.is_main:
        directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
    world.barrier()
    with _no_word_of_being_alone():
        save(_state(model, optimizer), checkpoint_id=temporary, no_dist=world.size == 1)
    world.barrier()
    if world.is_main:
        (temporary / _PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        for path in [*temporary.iterdir(), temporary]:
            synchronise(path)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        synchronise(directory)
        for old in find_checkpoints(directory)[:-keep]:
            shutil.rmtree(old)
    world.barrier()
    return final


def load_state(checkpoint: Path, model: nn.Module, optimizer: Optimizers, world: World) -> Progress:
    """Put a checkpoint into the model and the optimiser; how far the run was."""
    state = _state(model, optimizer)
    with _no_word_of_being_alone():
        load(state, checkpoint_id=checkpoint, no_dist=world.size == 1)
    set_state_dict(
        model,
        optimizer.parts,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=_OPTIONS,
    )
    return Progress(**json.loads((checkpoint / _PROGRESS).read_text(encoding="utf-8")))


def find_checkpoints(directory: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first; half-written ones are not among them."""
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(path for path in found if (path / _PROGRESS).is_file())


_OPTIONS = StateDictOptions(ignore_frozen_params=False)


def _state(model: nn.Module, optimizer: Optimizers) -> dict[str, Any]:
    model_state, optimizer_state = get_state_dict(model, optimizer.parts, options=_OPTIONS)
    return {"model": model_state, "optimizer": optimizer_state}


@contextmanager
def _no_word_of_being_alone() -> Iterator[None]:
    """Keep torch from warning, at every checkpoint, that there is only one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
