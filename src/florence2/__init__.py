"""Florence-2: run, train and feed Microsoft's small vision foundation model.

>>> import florence2
>>> model = florence2.load("microsoft/Florence-2-base-ft")  # or a directory, or "nano"
>>> model("photo.jpg", "object-detection").answer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._moved import install_moved_modules
from .io.lazy_imports import import_lazily

if TYPE_CHECKING:
    from .inference.predictor import Features, Florence2, Prediction, load, parse
    from .results.tasks import TASKS, Task, custom_task
    from .results.types import Boxes, Failure, Polygons, Quads, Result, Text
    from .training.trainer import train
    from .workflows.labeling.label_config import LabelConfig
    from .workflows.labeling.labeler import label

__version__ = "0.1.0"

__all__ = [
    "TASKS",
    "Boxes",
    "Failure",
    "Features",
    "Florence2",
    "LabelConfig",
    "Polygons",
    "Prediction",
    "Quads",
    "Result",
    "Task",
    "Text",
    "__version__",
    "custom_task",
    "label",
    "load",
    "parse",
    "train",
]

_HOMES = {
    **dict.fromkeys(
        ("Features", "Florence2", "Prediction", "load", "parse"), "inference.predictor"
    ),
    **dict.fromkeys(("Boxes", "Failure", "Polygons", "Quads", "Result", "Text"), "results.types"),
    **dict.fromkeys(("TASKS", "Task", "custom_task"), "results.tasks"),
    "train": "training.trainer",
    "LabelConfig": "workflows.labeling.label_config",
    "label": "workflows.labeling.labeler",
}

# The command line answers ``--help`` without loading torch.
__getattr__ = import_lazily(__name__, _HOMES, renamed={"free_prompt": "custom_task"})
install_moved_modules()


def __dir__() -> list[str]:
    """The public names too, which are loaded at first use."""
    return sorted({*globals(), *__all__})
