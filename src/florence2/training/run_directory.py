"""The directory of a training run, and whether a call may resume what is in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..io.atomic import replace_json
from ..io.run_dir import RunFormat, compare_settings, read_run_settings
from ..io.run_lock import lock_run_dir
from .checkpoints import find_checkpoints
from .distributed import DistributedContext
from .recipe import Recipe, to_dict, with_defaults
from .run_inputs import Description, compare_inputs

CHECKPOINTS = "checkpoints"
RECIPE_FILE, INPUTS_FILE = "recipe.json", "inputs.json"
LAST, BEST, ADAPTER = "last", "best", "adapter"


def holds_training(out: Path) -> bool:
    """Whether a run in ``out`` has a checkpoint; otherwise nothing is lost by starting again."""
    is_finished = any((out / name).exists() for name in (LAST, BEST))
    return is_finished or bool(find_checkpoints(out / CHECKPOINTS))


# Two files, as the recipe is checked before the data is read.
_RECIPE = RunFormat(settings_file=RECIPE_FILE, upgrade=with_defaults, has_results=holds_training)
_INPUTS = RunFormat(settings_file=INPUTS_FILE, has_results=holds_training)


@contextmanager
def locked_run_dir(out: Path, world: DistributedContext) -> Iterator[None]:
    """Hold the directory of a run, on its main process, while the block runs.

    Raises ``RunLockedError`` when another run holds it.
    """
    with lock_run_dir(out) if world.is_main else nullcontext():
        yield


def check_same_recipe(out: Path, recipe: Recipe) -> None:
    """Raise ``ValueError`` that names the differences when ``out`` has a run of another recipe."""
    stored = read_run_settings(out, _RECIPE)
    differences = compare_settings(stored, to_dict(recipe), _RECIPE) if stored else []
    if differences:
        raise ValueError(
            f"{out} holds a run with another recipe ({'; '.join(differences)}): choose another "
            "directory, or the recipe that it was started with"
        )


def check_same_inputs(out: Path, inputs: Description, allow_change: bool) -> None:
    """Raise ``ValueError`` that names the differences when a run in ``out`` had other inputs.

    With ``allow_change`` that is a warning. A run of an early release has no list of its inputs
    and resumes with a warning too.
    """
    if not holds_training(out):
        return
    if not (out / INPUTS_FILE).exists():
        warnings.warn(
            f"{out} was started by an earlier release, which did not store a description of its "
            "data: whether the data is still the same cannot be checked",
            stacklevel=2,
        )
        return
    differences = compare_inputs(read_run_settings(out, _INPUTS), inputs)
    if not differences:
        return
    if not allow_change:
        raise ValueError(
            f"{out} holds a run that was started with other inputs: {'; '.join(differences)}. Use "
            "the inputs that it was started with, choose another directory, or add "
            "--allow-data-change to resume with the changed inputs"
        )
    warnings.warn(f"resuming with changed inputs: {'; '.join(differences)}", stacklevel=2)


def store_run(out: Path, recipe: Recipe, inputs: Description) -> None:
    """Store the recipe and the inputs, once everything that a run needs could be opened."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / RECIPE_FILE).exists() or not holds_training(out):
        replace_json(out / RECIPE_FILE, to_dict(recipe))
    replace_json(out / INPUTS_FILE, inputs)
