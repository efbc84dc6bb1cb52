"""The student of ``benchmarks/engine_loop.py``: detection, starting from the bundled model.

Short, for two CPU cores: the loop measures the value of its labels, not the best possible model.
"""

from florence2.training.recipe import (
    AuxiliaryConfig,
    Batch,
    Optimizer,
    Recipe,
    Regularization,
    Reporting,
    Schedule,
)


def student() -> Recipe:
    """All weights of ``nano`` on the kept annotations; cosine to 0, location targets sharpen."""
    return Recipe(
        name="loop-student",
        start="nano",
        task_weights={"<OD>": 1.0, "<CAPTION>": 0.0},
        seed=5,
        max_target_tokens=120,
        batch=Batch(size=64, micro=64),
        optimizer=Optimizer(
            kind="muon", learning_rate=5e-4, muon_factor=4.0, betas=(0.9, 0.98), weight_decay=0.05
        ),
        schedule=Schedule(samples=16_000, warmup_steps=20, shape="cosine"),
        regularization=Regularization(
            drop_path=0.0, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0
        ),
        auxiliary=AuxiliaryConfig(location_smoothing_sigma=5.0, final_location_smoothing_sigma=2.0),
        reporting=Reporting(log_every=25, checkpoint_every=125, sample_every=0, evaluate_every=0),
    )
