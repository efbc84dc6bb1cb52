"""Training: records in, checkpoints out, on one process or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .interruption import TrainingInterrupted
    from .presets import load_recipe
    from .recipe import Recipe, override
    from .step import TrainingError
    from .trainer import TrainingOutcome, train

__all__ = [
    "Recipe",
    "TrainingError",
    "TrainingInterrupted",
    "TrainingOutcome",
    "load_recipe",
    "override",
    "train",
]

_HOMES = {
    "Recipe": "recipe",
    "TrainingError": "step",
    "TrainingInterrupted": "interruption",
    "TrainingOutcome": "trainer",
    "load_recipe": "presets",
    "override": "recipe",
    "train": "trainer",
}

# Reading a recipe needs no torch.
__getattr__ = import_lazily(__name__, _HOMES)
