"""How the bundled model is trained, in three runs, from nothing but made scenes.

    florence2 train recipes/nano.py:tower  --data scenes --out runs/nano-tower
    florence2 train recipes/nano.py:words  --data scenes --out runs/nano-words
    florence2 train recipes/nano.py:polish --data scenes --out runs/nano

The tower learns first what lies where, alone; then the whole model learns the language of all
tasks, three questions a picture, with soft targets for locations; at the end the rate falls to
nothing and the targets sharpen. Each run goes on where it was stopped.
"""

from florence2.train.recipe import (
    Aids,
    Batch,
    Optimizer,
    Recipe,
    Regularization,
    Reporting,
    Schedule,
)

QUESTIONS = 3
# How often a task is asked for, beside the others: detection carries most of what all need.
WEIGHTS = {
    "<OD>": 4.0,
    "<DENSE_REGION_CAPTION>": 1.0,
    "<REGION_PROPOSAL>": 1.0,
    "<CAPTION>": 1.0,
    "<DETAILED_CAPTION>": 0.7,
    "<MORE_DETAILED_CAPTION>": 0.5,
    "<CAPTION_TO_PHRASE_GROUNDING>": 2.0,
    "<REFERRING_EXPRESSION_SEGMENTATION>": 1.0,
    "<REGION_TO_SEGMENTATION>": 0.7,
    "<OPEN_VOCABULARY_DETECTION>": 2.0,
    "<REGION_TO_CATEGORY>": 0.7,
    "<REGION_TO_DESCRIPTION>": 0.5,
    "<OCR>": 2.0,
    "<OCR_WITH_REGION>": 3.0,
    "<REGION_TO_OCR>": 1.5,
}
_NO_DROPOUT = Regularization(
    drop_path=0.0, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0
)
_REPORTING = Reporting(log_every=25, checkpoint_every=250, sample_every=0, evaluate_every=0)


def tower() -> Recipe:
    """The tower alone, by what lies at each cell of its map: large objects first, then all."""
    return Recipe(
        name="nano-tower",
        start="scratch:nano",
        trainable="tower",
        seed=1,
        batch=Batch(size=32, micro=32),
        optimizer=Optimizer(
            kind="muon", learning_rate=1e-3, muon_factor=6.0, betas=(0.9, 0.98), weight_decay=0.05
        ),
        schedule=Schedule(samples=40_000, warmup_steps=60, shape="cosine", final=0.3),
        regularization=_NO_DROPOUT,
        aids=Aids(
            dense_weight=1.0,
            dense_only=True,
            curriculum=((0, "easy"), (4_000, "full")),
        ),
        reporting=_REPORTING,
    )


def words() -> Recipe:
    """All tasks, at a constant rate: as long as there is time for."""
    return Recipe(
        name="nano-words",
        start="runs/nano-tower/last",
        task_weights=WEIGHTS,
        seed=2,
        max_target_tokens=200,
        batch=Batch(size=96, micro=48),
        optimizer=Optimizer(
            kind="muon", learning_rate=1e-3, muon_factor=4.0, betas=(0.9, 0.98), weight_decay=0.05
        ),
        schedule=Schedule(samples=240_000, warmup_steps=60, shape="constant"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=8.0,
            dense_weight=1.0,
            questions_per_picture=QUESTIONS,
            curriculum=((0, "easy"), (24_000, "full")),
        ),
        reporting=_REPORTING,
    )


def polish() -> Recipe:
    """The end of it: the rate falls to nothing, the targets for locations sharpen."""
    return Recipe(
        name="nano",
        start="runs/nano-words/last",
        task_weights=WEIGHTS,
        seed=3,
        max_target_tokens=200,
        batch=Batch(size=96, micro=48),
        optimizer=Optimizer(
            kind="muon", learning_rate=1e-3, muon_factor=4.0, betas=(0.9, 0.98), weight_decay=0.05
        ),
        schedule=Schedule(samples=60_000, warmup_steps=1, shape="cosine", final=0.0),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=8.0,
            final_location_spread=2.0,
            dense_weight=1.0,
            questions_per_picture=QUESTIONS,
        ),
        reporting=_REPORTING,
    )
