"""The state of a run on disk: written whole or not at all, resumed on any number of processes.

A checkpoint is a folder ``step-00000123`` of torch.distributed.checkpoint files. It is written
under another name and renamed when every process is done and the data is on the disk, so a kill
at any moment leaves the last good one. ``checksums.json`` in it lists every other file, so damage
is found before anything is loaded.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from ..io.atomic import explain_full_disk, file_hash, fsync, replace_json
from ..model.checkpoint.state_dict_keys import current_key
from .checkpoint_reader import DamagedCheckpointError, SafeCheckpointReader, SafeLoadPlanner
from .distributed import DistributedContext
from .optimizers import Optimizers

_NAME = re.compile(r"step-(\d{8})")
_PROGRESS = "progress.json"
CHECKSUMS_FILE = "checksums.json"
_CHECKSUMS_VERSION = 1


@dataclass
class TrainState:
    """How far a run is: optimiser ``step``s done, steps skipped (all, and in a row), the loss
    scale of fp16, and the best value of the watched metric. ``unreadable`` steps had no pair that
    could be read, all and in a row. An evaluation of this step that was interrupted is pending."""

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    loss_scale: float = 1.0
    good_steps: int = 0
    best: float | None = None
    unreadable: int = 0
    unreadable_in_a_row: int = 0
    evaluation_pending: bool = False


def save_state(
    directory: Path,
    model: nn.Module,
    optimizer: Optimizers,
    progress: TrainState,
    world: DistributedContext,
    keep: int,
) -> Path:
    """The folder of the new checkpoint; of the older ones the last ``keep - 1`` stay.

    Raises ``DiskFullError`` when there is no space for it; the older ones stay then.
    """
    final = directory / f"step-{progress.step:08d}"
    temporary = directory / f".writing-{final.name}"
    try:
        with explain_full_disk(directory, _what_is_kept(directory)):
            _write_state(temporary, model, optimizer, progress, world)
            world.barrier()
            if world.is_main:
                _put_in_place(temporary, final)
                for old in find_checkpoints(directory)[:-keep]:
                    shutil.rmtree(old)
    except BaseException:
        if world.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
        raise
    world.barrier()
    return final


def load_newest_state(
    directory: Path, model: nn.Module, optimizer: Optimizers, world: DistributedContext
) -> tuple[Path, TrainState] | None:
    """Load the newest checkpoint that is whole: where it is, and how far the run was.

    ``None`` when there is no checkpoint. A damaged one is passed over with a warning, and renamed
    to ``damaged-step-...`` so that it never counts as one of those kept. Every process must call
    this. Raises ``DamagedCheckpointError`` when there are checkpoints and none can be used.
    """
    found = find_checkpoints(directory)
    reasons: list[str] = []
    for checkpoint in reversed(found):
        damage = world.from_main(partial(_find_problem, checkpoint))
        if damage is None:
            try:
                progress = load_state(checkpoint, model, optimizer, world)
            except DamagedCheckpointError as error:
                damage = str(error)
            else:
                if world.is_main and reasons:
                    _set_aside(found[found.index(checkpoint) + 1 :], reasons, checkpoint)
                return checkpoint, progress
        reasons.append(damage)
    if not found:
        return None
    raise DamagedCheckpointError(
        f"no checkpoint in {directory} can be used: {'; '.join(reasons)}. Restore one of them, or "
        "start again in another --out"
    )


def load_state(
    checkpoint: Path, model: nn.Module, optimizer: Optimizers, world: DistributedContext
) -> TrainState:
    """Put a checkpoint into the model and the optimiser; how far the run was.

    Nothing in the checkpoint is run. Raises ``DamagedCheckpointError``.
    """
    progress = read_progress(checkpoint)
    state = _state(model, optimizer)
    try:
        reader = SafeCheckpointReader(checkpoint)
        with _no_word_of_being_alone():
            load(
                state,
                storage_reader=reader,
                planner=SafeLoadPlanner(),
                no_dist=world.size == 1,
            )
        for group in state["optimizer"].get("param_groups", ()):
            group["params"] = [current_key(name) for name in group["params"]]
        set_state_dict(
            model,
            optimizer.parts,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
            options=_OPTIONS,
        )
    except DamagedCheckpointError:
        raise
    # The class of torch is no Exception; damaged files raise errors of any type.
    except (CheckpointException, Exception) as error:
        reason = " ".join(str(_first_cause(error)).split())[:300]
        raise DamagedCheckpointError(
            f"{checkpoint} does not hold the state of this model and optimizer ({reason})"
        ) from None
    return progress


def read_progress(checkpoint: Path) -> TrainState:
    """How far the run of a checkpoint was. Raises ``DamagedCheckpointError``."""
    path = checkpoint / _PROGRESS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        usual = asdict(TrainState())
        if unknown := values.keys() - usual.keys():
            raise ValueError(f"it has unknown fields {sorted(unknown)}")
        for name, value in values.items():
            if not _is_like(value, usual[name]):
                raise ValueError(f"{name} is {value!r}")
        if f"step-{values['step']:08d}" != checkpoint.name:
            raise ValueError(f"it is of step {values['step']}")
        return TrainState(**values)
    except OSError:
        raise DamagedCheckpointError(f"{path} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedCheckpointError(f"{path} is damaged: {error}") from None


def find_checkpoints(directory: Path) -> list[Path]:
    """The checkpoints of a run, oldest first; half-written ones are not among them."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value of ``progress.json`` is of its field's type, and neither NaN nor negative."""
    if isinstance(usual, bool):
        return isinstance(value, bool)
    if usual is None and value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if usual is None:
        return True
    return (isinstance(value, int) or isinstance(usual, float)) and 0 <= value < float("inf")


def _write_state(
    temporary: Path,
    model: nn.Module,
    optimizer: Optimizers,
    progress: TrainState,
    world: DistributedContext,
) -> None:
    if world.is_main:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
    world.barrier()
    try:
        with _no_word_of_being_alone():
            save(_state(model, optimizer), checkpoint_id=temporary, no_dist=world.size == 1)
    except CheckpointException as error:
        # The class of torch is no Exception, and says what happened only inside.
        cause = _first_cause(error)
        raise RuntimeError(f"the checkpoint could not be written: {cause}") from cause
    world.barrier()
    if world.is_main:
        (temporary / _PROGRESS).write_text(json.dumps(asdict(progress)), encoding="utf-8")
        write_checksums(temporary)


def _put_in_place(temporary: Path, final: Path) -> None:
    for path in [*temporary.iterdir(), temporary]:
        fsync(path)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    fsync(final.parent)


def _what_is_kept(directory: Path) -> str:
    found = find_checkpoints(directory)
    return (
        f"The checkpoint {found[-1].name} is kept." if found else "No checkpoint was written yet."
    )


def _find_problem(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be used, found without loading it; ``None`` when nothing is wrong."""
    try:
        damage = find_damage(checkpoint)
    except FileNotFoundError:
        warnings.warn(
            f"{checkpoint} has no checksums: an earlier release wrote it, or they were deleted. "
            "It is used as it is",
            stacklevel=2,
        )
        damage = None
    except OSError as error:
        damage = f"{checkpoint} cannot be read: {error}"
    if damage is not None:
        return damage
    try:
        read_progress(checkpoint)
        SafeCheckpointReader(checkpoint)
    except DamagedCheckpointError as error:
        return str(error)
    except OSError as error:
        return f"{checkpoint} cannot be read: {error}"
    return None


def _set_aside(damaged: list[Path], reasons: list[str], used: Path) -> None:
    warnings.warn(
        f"damaged: {'; '.join(reasons)}. The run resumes from {used.name}",
        stacklevel=2,
    )
    for path in damaged:
        aside = path.with_name(f"damaged-{path.name}")
        with suppress(OSError):
            if aside.is_dir():
                shutil.rmtree(aside)
            path.rename(aside)


def _first_cause(error: BaseException) -> BaseException:
    """What went wrong on the first process where something did."""
    failures = getattr(error, "failures", None)
    if isinstance(failures, dict) and failures:
        return cast(BaseException, next(iter(failures.values()))[0])
    return error


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


def write_checksums(directory: Path) -> None:
    """List every file of ``directory`` with its size and SHA-256 in ``checksums.json``."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != CHECKSUMS_FILE
    }
    replace_json(directory / CHECKSUMS_FILE, {"version": _CHECKSUMS_VERSION, "files": files})


def find_damage(directory: Path) -> str | None:
    """What is wrong with the files that ``checksums.json`` lists; ``None`` when all are as written.

    Raises ``FileNotFoundError`` when the directory has no checksums.
    """
    path = directory / CHECKSUMS_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    if not path.is_file():
        return f"{path} is not a file"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        listed = {
            str(name): (int(each["bytes"]), str(each["sha256"]))
            for name, each in values["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{path} is damaged ({error})"
    present = {each.name for each in directory.iterdir()} - {CHECKSUMS_FILE}
    for name in sorted(present - listed.keys()):
        return f"{directory / name} is not listed in {CHECKSUMS_FILE}"
    for name, (size, digest) in listed.items():
        file = directory / name
        if name not in present or not file.is_file():
            return f"{file} is missing"
        if file.stat().st_size != size:
            return f"{file} has {file.stat().st_size:,} bytes and should have {size:,}"
        if file_hash(file) != digest:
            return f"{file} is damaged: its SHA-256 is not the one that was written"
    return None
