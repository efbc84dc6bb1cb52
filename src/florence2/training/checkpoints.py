"""The state of a run on disk: written atomically, resumed on any number of processes.

A checkpoint is a directory ``step-00000123`` of torch.distributed.checkpoint files. It is written
under a temporary name and renamed when every process has finished and the data is on disk, so a
kill at any moment leaves the last good checkpoint. Its ``checksums.json`` lists every other file,
so damage is found before anything is loaded.
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
    """The progress of a run.

    Attributes:
        step: finished optimizer steps.
        skipped: steps with gradients that were not finite; ``skipped_in_a_row`` up to now.
        loss_scale: the loss scale of fp16; ``good_steps`` count towards its next doubling.
        best: best value of the metric that selects the best checkpoint.
        unreadable: steps without a readable example; ``unreadable_in_a_row`` up to now.
        evaluation_pending: whether an evaluation after this step was interrupted.
    """

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
    state: TrainState,
    world: DistributedContext,
    keep: int,
) -> Path:
    """Write a checkpoint and return its directory; of the older ones the last ``keep - 1`` stay.

    Raises ``DiskFullError`` when there is no space for it; the older ones then stay.
    """
    final = directory / f"step-{state.step:08d}"
    temporary = directory / f".writing-{final.name}"
    try:
        with explain_full_disk(directory, _describe_kept(directory)):
            _write_state(temporary, model, optimizer, state, world)
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
    """Load the newest undamaged checkpoint; return its path and the run's state.

    ``None`` when there is no checkpoint. A damaged one is skipped with a warning, and renamed to
    ``damaged-step-...`` so that it does not count as a kept checkpoint. Every process must call
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
    """Load a checkpoint into the model and the optimizer; return the run's state.

    Executes nothing in the checkpoint. Raises ``DamagedCheckpointError``.
    """
    progress = read_train_state(checkpoint)
    state = _state(model, optimizer)
    try:
        reader = SafeCheckpointReader(checkpoint)
        with _suppress_single_process_warning():
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
    # CheckpointException is not an Exception; damaged files raise errors of any type.
    except (CheckpointException, Exception) as error:
        reason = " ".join(str(_first_cause(error)).split())[:300]
        raise DamagedCheckpointError(
            f"{checkpoint} does not hold the state of this model and optimizer ({reason})"
        ) from None
    return progress


def read_train_state(checkpoint: Path) -> TrainState:
    """The run's state in a checkpoint. Raises ``DamagedCheckpointError``."""
    path = checkpoint / _PROGRESS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        defaults = asdict(TrainState())
        if unknown := values.keys() - defaults.keys():
            raise ValueError(f"it has unknown fields {sorted(unknown)}")
        for name, value in values.items():
            if not _is_like(value, defaults[name]):
                raise ValueError(f"{name} is {value!r}")
        if f"step-{values['step']:08d}" != checkpoint.name:
            raise ValueError(f"its step is {values['step']}")
        return TrainState(**values)
    except OSError:
        raise DamagedCheckpointError(f"{path} is missing") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedCheckpointError(f"{path} is damaged: {error}") from None


def find_checkpoints(directory: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value of ``progress.json`` has its field's type and is not NaN or negative."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if default is None and value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if default is None:
        return True
    return (isinstance(value, int) or isinstance(default, float)) and 0 <= value < float("inf")


def _write_state(
    temporary: Path,
    model: nn.Module,
    optimizer: Optimizers,
    state: TrainState,
    world: DistributedContext,
) -> None:
    if world.is_main:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
    world.barrier()
    try:
        with _suppress_single_process_warning():
            save(_state(model, optimizer), checkpoint_id=temporary, no_dist=world.size == 1)
    except CheckpointException as error:
        # CheckpointException is not an Exception, and has the cause only inside.
        cause = _first_cause(error)
        raise RuntimeError(f"the checkpoint could not be written: {cause}") from cause
    world.barrier()
    if world.is_main:
        (temporary / _PROGRESS).write_text(json.dumps(asdict(state)), encoding="utf-8")
        write_checksums(temporary)


def _put_in_place(temporary: Path, final: Path) -> None:
    for path in [*temporary.iterdir(), temporary]:
        fsync(path)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    fsync(final.parent)


def _describe_kept(directory: Path) -> str:
    found = find_checkpoints(directory)
    return (
        f"The checkpoint {found[-1].name} is kept." if found else "No checkpoint was written yet."
    )


def _find_problem(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be used, without loading it; ``None`` when it can."""
    try:
        damage = find_damage(checkpoint)
    except FileNotFoundError:
        warnings.warn(
            f"{checkpoint} has no checksums: an earlier release wrote it, or they were deleted. "
            "It is used unchecked",
            stacklevel=2,
        )
        damage = None
    except OSError as error:
        damage = f"{checkpoint} cannot be read: {error}"
    if damage is not None:
        return damage
    try:
        read_train_state(checkpoint)
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
    """The error of the first process that failed."""
    failures = getattr(error, "failures", None)
    if isinstance(failures, dict) and failures:
        return cast(BaseException, next(iter(failures.values()))[0])
    return error


_OPTIONS = StateDictOptions(ignore_frozen_params=False)


def _state(model: nn.Module, optimizer: Optimizers) -> dict[str, Any]:
    model_state, optimizer_state = get_state_dict(model, optimizer.parts, options=_OPTIONS)
    return {"model": model_state, "optimizer": optimizer_state}


@contextmanager
def _suppress_single_process_warning() -> Iterator[None]:
    """Suppress torch's warning, at every checkpoint, that there is only one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def write_checksums(directory: Path) -> None:
    """Write ``checksums.json`` with the size and SHA-256 of every file of ``directory``."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != CHECKSUMS_FILE
    }
    replace_json(directory / CHECKSUMS_FILE, {"version": _CHECKSUMS_VERSION, "files": files})


def find_damage(directory: Path) -> str | None:
    """The first fault in the files of ``checksums.json``; ``None`` when all are as written.

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
