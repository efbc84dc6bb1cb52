"""How the bundled model was trained, in eleven runs, from nothing but made scenes.

    florence2 train recipes/nano.py:tower --data scenes --out runs/nano-tower
    florence2 train recipes/nano.py:names --data scenes --out runs/nano-names
    florence2 train recipes/nano.py:words --data scenes --out runs/nano-words
    florence2 train recipes/nano.py:letters --data scenes --out runs/nano-letters
    florence2 train recipes/nano.py:answers --data scenes --out runs/nano-answers
    florence2 train recipes/nano.py:together --data scenes --out runs/nano
    florence2 train recipes/nano.py:cells --data scenes --out runs/nano-cells
    florence2 train recipes/nano.py:replies --data scenes --out runs/nano-replies
    florence2 train recipes/nano.py:heads --data scenes --out runs/nano-heads
    florence2 train recipes/nano.py:kinds --data scenes --out runs/nano-kinds
    florence2 train recipes/nano.py:retelling --data scenes --out runs/nano-retelling

The tower learns first what lies where, alone; then the text half, over a tower that stands still,
to answer shortly; then the whole model the language of all tasks. The second three do the same
again with letters, which the first three had not learnt to read; the last three on twice the
drawings. Each run goes on where it was stopped. ``docs/nano.md`` has what each of them gave.
Whoever goes on from the bundled weights, which are without the heads of the dense task, begins
with ``heads``, as these three runs did.
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
# What the run of first words asks for: each answer hangs on one thing, or on few.
FIRST = {
    "<OD>": 3.0,
    "<REGION_TO_CATEGORY>": 3.0,
    "<OPEN_VOCABULARY_DETECTION>": 2.0,
    "<REGION_PROPOSAL>": 1.0,
    "<CAPTION>": 1.0,
    "<REGION_TO_OCR>": 1.0,
}
_NO_DROPOUT = Regularization(
    drop_path=0.0, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0
)
_REPORTING = Reporting(log_every=25, checkpoint_every=250, sample_every=0, evaluate_every=0)


def _muon(learning_rate: float, factor: float) -> Optimizer:
    """Muon at ``factor`` times the rate of what AdamW moves beside it."""
    return Optimizer(
        kind="muon",
        learning_rate=learning_rate,
        muon_factor=factor,
        betas=(0.9, 0.98),
        weight_decay=0.05,
    )


def tower() -> Recipe:
    """The tower alone, by what lies at each cell of its map: large objects first, then all."""
    return Recipe(
        name="nano-tower",
        start="scratch:nano",
        trainable="tower",
        seed=1,
        batch=Batch(size=32, micro=32),
        optimizer=_muon(1e-3, 6.0),
        schedule=Schedule(samples=40_000, warmup_steps=60, shape="cosine", final=0.3),
        regularization=_NO_DROPOUT,
        aids=Aids(
            dense_weight=1.0,
            dense_only=True,
            curriculum=((0, "easy"), (4_000, "full")),
        ),
        reporting=_REPORTING,
    )


def names() -> Recipe:
    """First words: short answers about few large things, until they follow the picture.

    The tower stands still, which makes pictures cheap: six questions cost little more than one.
    """
    return Recipe(
        name="nano-names",
        start="runs/nano-tower/last",
        trainable="vision-frozen",
        task_weights={**dict.fromkeys(WEIGHTS, 0.0), **FIRST},
        seed=4,
        max_target_tokens=60,
        batch=Batch(size=96, micro=48),
        optimizer=_muon(1e-3, 4.0),
        schedule=Schedule(samples=96_000, warmup_steps=40, shape="constant"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=8.0,
            dense_weight=1.0,
            questions_per_picture=6,
            curriculum=((0, "easy"),),
        ),
        reporting=_REPORTING,
    )


def words() -> Recipe:
    """All tasks, on all there is; the rate falls to nothing, the targets for locations sharpen."""
    return Recipe(
        name="nano-words",
        start="runs/nano-names/last",
        task_weights=WEIGHTS,
        seed=2,
        max_target_tokens=200,
        batch=Batch(size=80, micro=40),
        optimizer=_muon(1e-3, 4.0),
        schedule=Schedule(samples=64_000, warmup_steps=20, shape="cosine"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=8.0,
            final_location_spread=2.0,
            dense_weight=1.0,
            questions_per_picture=5,
        ),
        reporting=_REPORTING,
    )


def letters() -> Recipe:
    """The tower alone once more, now with the letters of every cell beside class and box."""
    return Recipe(
        name="nano-letters",
        start="runs/nano-words/last",
        trainable="tower",
        seed=11,
        batch=Batch(size=32, micro=16),
        optimizer=_muon(6e-4, 6.0),
        schedule=Schedule(samples=22_400, warmup_steps=40, shape="cosine", final=0.1),
        regularization=_NO_DROPOUT,
        aids=Aids(
            dense_weight=1.0,
            dense_only=True,
            reading_weight=1.0,
            curriculum=((0, "full+text"),),
        ),
        reporting=_REPORTING,
    )


def answers() -> Recipe:
    """The text half alone again, all tasks, over a tower that now tells letters too."""
    return Recipe(
        name="nano-answers",
        start="runs/nano-letters/last",
        trainable="vision-frozen",
        task_weights=WEIGHTS,
        seed=12,
        max_target_tokens=120,
        batch=Batch(size=96, micro=48),
        optimizer=_muon(1e-3, 4.0),
        schedule=Schedule(samples=96_000, warmup_steps=20, shape="constant"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=6.0,
            dense_weight=1.0,
            reading_weight=0.5,
            questions_per_picture=6,
            curriculum=((0, "easy+text"), (36_000, "full+text")),
        ),
        reporting=_REPORTING,
    )


def together() -> Recipe:
    """Everything once more, on full scenes; the rate falls to nothing, targets sharpen."""
    return Recipe(
        name="nano",
        start="runs/nano-answers/last",
        task_weights=WEIGHTS,
        seed=13,
        max_target_tokens=200,
        batch=Batch(size=80, micro=40),
        optimizer=_muon(6e-4, 4.0),
        schedule=Schedule(samples=44_000, warmup_steps=20, shape="cosine"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=6.0,
            final_location_spread=2.0,
            dense_weight=1.0,
            reading_weight=0.5,
            questions_per_picture=5,
        ),
        reporting=_REPORTING,
    )


def cells() -> Recipe:
    """The tower alone for a third time: class, box and letters of every cell, all scenes."""
    return Recipe(
        name="nano-cells",
        start="runs/nano/last",
        trainable="tower",
        seed=21,
        batch=Batch(size=32, micro=16),
        optimizer=_muon(5e-4, 6.0),
        schedule=Schedule(samples=30_400, warmup_steps=20, shape="cosine", final=0.05),
        regularization=_NO_DROPOUT,
        aids=Aids(
            dense_weight=1.0,
            dense_only=True,
            reading_weight=0.7,
            curriculum=((0, "full+text"),),
        ),
        reporting=_REPORTING,
    )


def replies() -> Recipe:
    """The text half over it once more; the rate falls to nothing, targets sharpen."""
    return Recipe(
        name="nano-replies",
        start="runs/nano-cells/last",
        trainable="vision-frozen",
        task_weights=WEIGHTS,
        seed=22,
        max_target_tokens=160,
        batch=Batch(size=96, micro=48),
        optimizer=_muon(8e-4, 4.0),
        schedule=Schedule(samples=110_400, warmup_steps=20, shape="cosine"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=5.0,
            final_location_spread=2.0,
            dense_weight=1.0,
            reading_weight=0.5,
            questions_per_picture=6,
            curriculum=((0, "full+text"),),
        ),
        reporting=_REPORTING,
    )


def heads() -> Recipe:
    """Heads for the dense task over the bundled weights, which have none; the tower stands still.

    A fresh head would cost the tower what it knows.
    """
    return Recipe(
        name="nano-heads",
        start="nano",
        trainable="vision-frozen",
        task_weights=WEIGHTS,
        seed=30,
        precision="bf16",
        max_target_tokens=60,
        batch=Batch(size=96, micro=48),
        optimizer=_muon(2e-3, 1.0),
        schedule=Schedule(samples=14_400, warmup_steps=20, shape="constant"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=5.0,
            final_location_spread=2.0,
            dense_weight=1.0,
            reading_weight=0.5,
            questions_per_picture=1,
            curriculum=((0, "full+text"),),
        ),
        reporting=_REPORTING,
    )


def kinds() -> Recipe:
    """The tower alone for a fourth time: twice the drawings, in pictures as full as can be."""
    return Recipe(
        name="nano-kinds",
        start="runs/nano-heads/last",
        trainable="tower",
        seed=31,
        precision="bf16",
        batch=Batch(size=32, micro=16),
        optimizer=_muon(7e-4, 6.0),
        schedule=Schedule(samples=60_000, warmup_steps=60, shape="cosine", final=0.04),
        regularization=_NO_DROPOUT,
        aids=Aids(
            dense_weight=1.0,
            dense_only=True,
            reading_weight=0.5,
            curriculum=((0, "crowd+full"), (40_000, "full+text")),
        ),
        reporting=_REPORTING,
    )


def retelling() -> Recipe:
    """The text half over it: all tasks; the rate falls to nothing, targets sharpen."""
    return Recipe(
        name="nano-retelling",
        start="runs/nano-kinds/last",
        trainable="vision-frozen",
        task_weights=WEIGHTS,
        seed=32,
        precision="bf16",
        max_target_tokens=160,
        batch=Batch(size=96, micro=48),
        optimizer=_muon(8e-4, 4.0),
        schedule=Schedule(samples=115_200, warmup_steps=20, shape="cosine"),
        regularization=_NO_DROPOUT,
        aids=Aids(
            location_spread=5.0,
            final_location_spread=2.0,
            dense_weight=1.0,
            reading_weight=0.5,
            questions_per_picture=6,
            curriculum=((0, "full+text"),),
        ),
        reporting=_REPORTING,
    )
