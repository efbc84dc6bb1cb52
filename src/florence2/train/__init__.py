"""Training: records in, checkpoints out, from one process to many."""

from .recipe import Recipe, override
from .step import TrainingError
from .training import TrainingOutcome, train

__all__ = ["Recipe", "TrainingError", "TrainingOutcome", "override", "train"]
