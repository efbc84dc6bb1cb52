"""Training: records in, checkpoints out, from one process to many.

``florence2.train(recipe, records, out)`` runs a recipe: the package is called by its one verb.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .convert import convert
    from .interruption import TrainingInterrupted
    from .presets import load_recipe
    from .recipe import Recipe, override
    from .step import TrainingError
    from .training import TrainingOutcome, train

__all__ = [
    "Recipe",
    "TrainingError",
    "TrainingInterrupted",
    "TrainingOutcome",
    "convert",
    "load_recipe",
    "override",
    "train",
]

_HOMES = {
    "Recipe": "recipe",
    "TrainingError": "step",
    "TrainingInterrupted": "interruption",
    "TrainingOutcome": "training",
    "convert": "convert",
    "load_recipe": "presets",
    "override": "recipe",
    "train": "training",
}


class _Package(ModuleType):
    """The package as a function, so that ``florence2.train(...)`` is the call it reads as."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module(".training", __name__).train(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        """Import on first use: a conversion needs no optimiser."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


sys.modules[__name__].__class__ = _Package
