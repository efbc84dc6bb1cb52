"""Florence-2: run, train and feed Microsoft's small vision foundation model.

>>> import florence2
>>> model = florence2.load("microsoft/Florence-2-base-ft")  # or a directory, or "nano"
>>> model("photo.jpg", "object-detection").answer
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import train
    from .predictor import Features, Florence2, Prediction, load, parse
    from .results import Boxes, Failure, Polygons, Quads, Result, Text
    from .tasks import TASKS, Task, free_prompt

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "Boxes",
    "Failure",
    "Features",
    "Florence2",
    "Polygons",
    "Prediction",
    "Quads",
    "Result",
    "Task",
    "Text",
    "__version__",
    "free_prompt",
    "load",
    "parse",
    "train",
]

# Packages that are used as they are: ``florence2.train(recipe, records, out)``.
_PACKAGES = ("train",)

_HOMES = {
    **dict.fromkeys(("Features", "Florence2", "Prediction", "load", "parse"), "predictor"),
    **dict.fromkeys(("Boxes", "Failure", "Polygons", "Quads", "Result", "Text"), "results"),
    **dict.fromkeys(("TASKS", "Task", "free_prompt"), "tasks"),
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that the command line answers ``--help`` without loading torch."""
    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """The public names too, which are loaded at first use."""
    return sorted({*globals(), *__all__})
