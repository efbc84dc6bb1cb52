"""The directory of a run: whose it is, and whether a call may go on with what it holds."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..io.atomic import replace_json
from ..io.files import read_json
from ..io.run_lock import lock_run_dir
from .checkpoints import find_checkpoints
from .distributed import DistributedContext
from .recipe import Recipe, to_dict, with_defaults
from .run_inputs import Description, compare_inputs

CHECKPOINTS = "checkpoints"
RECIPE_FILE, INPUTS_FILE = "recipe.json", "inputs.json"
LAST, BEST, ADAPTER = "last", "best", "adapter"
_MAX_BYTES = 2**24


@contextmanager
def locked_run_dir(out: Path, world: DistributedContext) -> Iterator[None]:
    """Hold the directory of a run, on its main process, while the block runs.

    Raises ``RunLockedError`` when another run holds it.
    """
    with lock_run_dir(out) if world.is_main else nullcontext():
        yield


def holds_training(out: Path) -> bool:
    """Whether a run got anywhere in ``out``: without that, nothing is lost by starting again."""
    finished = any((out / name).exists() for name in (LAST, BEST))
    return finished or bool(find_checkpoints(out / CHECKPOINTS))


def check_same_recipe(out: Path, recipe: Recipe) -> None:
    """Raise ``ValueError`` that names the difference when ``out`` holds a run of another recipe."""
    path = out / RECIPE_FILE
    if not path.exists() or not holds_training(out):
        return
    try:
        before = _flat(with_defaults(_read(path)))
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: restore it, or choose another directory") from error
    now = _flat(json.loads(json.dumps(to_dict(recipe))))
    weights = [name for name in before if name.startswith("task_weights.") and name not in now]
    changed = [name for name in [*now, *weights] if now.get(name) != before.get(name)]
    if changed:
        listed = "; ".join(
            f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in changed
        )
        raise ValueError(
            f"{out} holds a run with another recipe ({listed}): choose another directory, or the "
            "recipe it was started with"
        )


def check_same_inputs(out: Path, inputs: Description, allow_change: bool) -> None:
    """Raise ``ValueError`` that names the difference when a run in ``out`` had other inputs.

    With ``allow_change`` that is a warning. A run of an earlier release has no list of its inputs
    and is resumed with a warning too.
    """
    if not holds_training(out):
        return
    path = out / INPUTS_FILE
    if not path.exists():
        warnings.warn(
            f"{out} was started by an earlier release, which did not note its data: whether the "
            "data is still the same cannot be checked",
            stacklevel=2,
        )
        return
    differences = compare_inputs(_read(path), inputs)
    if not differences:
        return
    said = "; ".join(differences)
    if not allow_change:
        raise ValueError(
            f"{out} holds a run that was started with other inputs: {said}. Give it what it was "
            "started with, choose another directory, or add --allow-data-change to go on with the "
            "changed inputs"
        )
    warnings.warn(f"the run goes on with changed inputs: {said}", stacklevel=2)


def keep_run(out: Path, recipe: Recipe, inputs: Description) -> None:
    """Note whose directory it is, once everything that a run needs could be opened."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / RECIPE_FILE).exists() or not holds_training(out):
        replace_json(out / RECIPE_FILE, to_dict(recipe))
    replace_json(out / INPUTS_FILE, inputs)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path, _MAX_BYTES)
        if not isinstance(values, dict):
            raise ValueError(f"{path} is not a JSON object")
        return values
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{error}: restore this file of the run, or choose another directory"
        ) from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"batch": {"size": 8}}`` as ``{"batch.size": 8}``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = value
    return flat
