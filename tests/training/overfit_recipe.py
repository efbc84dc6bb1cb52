"""A recipe that learns a few records by heart: a small fresh model, nothing regularised."""

from __future__ import annotations

from florence2.training.recipe import Batch, Optimizer, Recipe, Regularization, Reporting, Schedule


def recipe() -> Recipe:
    return Recipe(
        name="overfit",
        start="scratch:nano",
        image_size=(64, 64),
        batch=Batch(size=32, micro=32),
        optimizer=Optimizer(learning_rate=1e-3, weight_decay=0.0),
        schedule=Schedule(samples=32 * 200, warmup_steps=20),
        regularization=Regularization(0.0, 0.0, 0.0, 0.0),
        reporting=Reporting(log_every=20, checkpoint_every=100, sample_every=0),
    )
