r"""How the bundled model was trained, in twenty-five runs, from nothing but made scenes.

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
    python recipes/nano_grid.py runs/nano-retelling/last runs/nano-grid
    florence2 train recipes/nano.py:finer_heads --data scenes --out runs/nano-finer-heads
    florence2 train recipes/nano.py:sight --data scenes --out runs/nano-sight
    florence2 train recipes/nano.py:speech --data scenes --out runs/nano-speech
    florence2 train recipes/nano.py:keener --data scenes --out runs/nano-keener
    florence2 train recipes/nano.py:pointing --data scenes --out runs/nano-pointing
    florence2 train recipes/nano.py:tracing --data scenes --out runs/nano-tracing
    python recipes/nano_grid.py runs/nano-tracing/last runs/nano-closer-grid \
        --side 256 --window 8 --head runs/nano-keener/last
    florence2 train recipes/nano.py:closer --data scenes --out runs/nano-closer
    florence2 train recipes/nano.py:telling --data scenes --out runs/nano-telling
    florence2 train recipes/nano.py:spelling --data scenes --out runs/nano-spelling
    florence2 train recipes/nano.py:echoing --data scenes --out runs/nano-echoing
    florence2 train recipes/nano.py:unlearning --data scenes --out runs/nano-unlearning
    florence2 train recipes/nano.py:sketching --data scenes --out runs/nano-sketching
    florence2 train recipes/nano.py:recounting --data scenes --out runs/nano-recounting
    florence2 train recipes/nano.py:settling --data scenes --out runs/nano-settling

The tower learns first what lies where, alone; then the text half, over a tower that stands still,
to answer shortly; then the whole model the language of all tasks. The second three do the same
again with letters, which the first three had not learnt to read; three more on twice the drawings;
three on a finer grid; then the text half is told where to look; then both see larger pictures;
then it spells what it reads; then both see drawings that are changed, and outlines have sixteen
corners; at last the text half tells of crowds, as the tower did long before, in two runs. Each run
goes on where it was stopped. ``docs/nano.md`` has what each of them gave. Whoever goes on from the
bundled weights, which are without the heads of the dense task, begins with ``heads`` or
``finer_heads``, as these runs did.
"""

from dataclasses import replace
from typing import Any

from florence2.training.recipe import (
    AuxiliaryConfig,
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
# What the last two runs ask for: fewer of the longest texts, more outlines and names of regions.
LATE_WEIGHTS = {
    **WEIGHTS,
    "<MORE_DETAILED_CAPTION>": 0.3,
    "<REFERRING_EXPRESSION_SEGMENTATION>": 1.5,
    "<REGION_TO_SEGMENTATION>": 1.0,
    "<REGION_TO_CATEGORY>": 1.0,
}
# What is told letter by letter at last: a word is a token of many, a letter one of few.
READING_TASKS = ("<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>")
# Asked for more often where there are crowds.
CROWD_WEIGHTS = {
    **LATE_WEIGHTS,
    "<REGION_TO_CATEGORY>": 2.0,
    "<OPEN_VOCABULARY_DETECTION>": 2.5,
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
_REPORTING = Reporting(log_every=25, checkpoint_every=100, sample_every=0, evaluate_every=0)


def _muon(learning_rate: float, factor: float) -> Optimizer:
    """Muon at ``factor`` times the rate of what AdamW moves beside it."""
    return Optimizer(
        kind="muon",
        learning_rate=learning_rate,
        muon_factor=factor,
        betas=(0.9, 0.98),
        weight_decay=0.05,
    )


def _tower(
    name: str, start: str, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """A run of the tower alone, by what lies at each cell of its map."""
    return Recipe(
        name=name,
        start=start,
        trainable="tower",
        seed=seed,
        batch=Batch(size=32, micro=16),
        optimizer=_muon(learning_rate, 6.0),
        schedule=schedule,
        regularization=_NO_DROPOUT,
        auxiliary=AuxiliaryConfig(dense_weight=1.0, dense_only=True, **auxiliary),
        reporting=_REPORTING,
    )


def _text_half(
    name: str, start: str, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """A run of the text half, all tasks; the tower stands still, which makes pictures cheap."""
    return Recipe(
        name=name,
        start=start,
        trainable="vision-frozen",
        task_weights=WEIGHTS,
        seed=seed,
        max_target_tokens=160,
        batch=Batch(size=96, micro=48),
        optimizer=_muon(learning_rate, 4.0),
        schedule=schedule,
        regularization=_NO_DROPOUT,
        auxiliary=AuxiliaryConfig(dense_weight=1.0, **{"prompts_per_image": 6, **auxiliary}),
        reporting=_REPORTING,
    )


def _everything(
    name: str, start: str, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """A run of the whole model, all tasks, on all there is; the targets for locations sharpen."""
    return Recipe(
        name=name,
        start=start,
        task_weights=WEIGHTS,
        seed=seed,
        max_target_tokens=200,
        batch=Batch(size=80, micro=40),
        optimizer=_muon(learning_rate, 4.0),
        schedule=schedule,
        regularization=_NO_DROPOUT,
        auxiliary=AuxiliaryConfig(
            dense_weight=1.0, prompts_per_image=5, final_location_smoothing_sigma=2.0, **auxiliary
        ),
        reporting=_REPORTING,
    )


def tower() -> Recipe:
    """The tower alone: large objects first, then all."""
    recipe = _tower(
        "nano-tower",
        "scratch:nano",
        1,
        1e-3,
        Schedule(samples=40_000, warmup_steps=60, shape="cosine", final=0.3),
        curriculum=((0, "easy"), (4_000, "full")),
    )
    return replace(recipe, batch=Batch(size=32, micro=32))


def names() -> Recipe:
    """First words: short answers about few large things, until they follow the picture."""
    recipe = _text_half(
        "nano-names",
        "runs/nano-tower/last",
        4,
        1e-3,
        Schedule(samples=96_000, warmup_steps=40, shape="constant"),
        location_smoothing_sigma=8.0,
        curriculum=((0, "easy"),),
    )
    only_first = {**dict.fromkeys(WEIGHTS, 0.0), **FIRST}
    return replace(recipe, task_weights=only_first, max_target_tokens=60)


def words() -> Recipe:
    """All tasks, on all there is; the rate falls to nothing."""
    return _everything(
        "nano-words",
        "runs/nano-names/last",
        2,
        1e-3,
        Schedule(samples=64_000, warmup_steps=20, shape="cosine"),
        location_smoothing_sigma=8.0,
    )


def letters() -> Recipe:
    """The tower alone once more, now with the letters of every cell beside class and box."""
    return _tower(
        "nano-letters",
        "runs/nano-words/last",
        11,
        6e-4,
        Schedule(samples=22_400, warmup_steps=40, shape="cosine", final=0.1),
        char_loss_weight=1.0,
        curriculum=((0, "full+text"),),
    )


def answers() -> Recipe:
    """The text half alone again, all tasks, over a tower that now tells letters too."""
    recipe = _text_half(
        "nano-answers",
        "runs/nano-letters/last",
        12,
        1e-3,
        Schedule(samples=96_000, warmup_steps=20, shape="constant"),
        location_smoothing_sigma=6.0,
        char_loss_weight=0.5,
        curriculum=((0, "easy+text"), (36_000, "full+text")),
    )
    return replace(recipe, max_target_tokens=120)


def together() -> Recipe:
    """Everything once more, on full scenes; the rate falls to nothing."""
    return _everything(
        "nano",
        "runs/nano-answers/last",
        13,
        6e-4,
        Schedule(samples=44_000, warmup_steps=20, shape="cosine"),
        location_smoothing_sigma=6.0,
        char_loss_weight=0.5,
    )


def cells() -> Recipe:
    """The tower alone for a third time: class, box and letters of every cell, all scenes."""
    return _tower(
        "nano-cells",
        "runs/nano/last",
        21,
        5e-4,
        Schedule(samples=30_400, warmup_steps=20, shape="cosine", final=0.05),
        char_loss_weight=0.7,
        curriculum=((0, "full+text"),),
    )


def replies() -> Recipe:
    """The text half over it once more; the rate falls to nothing, targets sharpen."""
    return _text_half(
        "nano-replies",
        "runs/nano-cells/last",
        22,
        8e-4,
        Schedule(samples=110_400, warmup_steps=20, shape="cosine"),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=2.0,
        char_loss_weight=0.5,
        curriculum=((0, "full+text"),),
    )


def heads() -> Recipe:
    """Heads for the dense task over the bundled weights, which have none; the tower stands still.

    A fresh head would cost the tower what it knows.
    """
    recipe = _text_half(
        "nano-heads",
        "nano",
        30,
        2e-3,
        Schedule(samples=14_400, warmup_steps=20, shape="constant"),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=2.0,
        char_loss_weight=0.5,
        prompts_per_image=1,
        curriculum=((0, "full+text"),),
    )
    optimizer = _muon(2e-3, 1.0)
    return replace(recipe, optimizer=optimizer, precision="bf16", max_target_tokens=60)


def kinds() -> Recipe:
    """The tower alone for a fourth time: twice the drawings, in pictures as full as can be."""
    recipe = _tower(
        "nano-kinds",
        "runs/nano-heads/last",
        31,
        7e-4,
        Schedule(samples=60_000, warmup_steps=60, shape="cosine", final=0.04),
        char_loss_weight=0.5,
        curriculum=((0, "dense+full"), (40_000, "full+text")),
    )
    return replace(recipe, precision="bf16")


def retelling() -> Recipe:
    """The text half over it: all tasks; the rate falls to nothing, targets sharpen."""
    recipe = _text_half(
        "nano-retelling",
        "runs/nano-kinds/last",
        32,
        8e-4,
        Schedule(samples=115_200, warmup_steps=20, shape="cosine"),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=2.0,
        char_loss_weight=0.5,
        curriculum=((0, "full+text"),),
    )
    return replace(recipe, precision="bf16")


def finer_heads() -> Recipe:
    """Heads again, over the finer grid that ``recipes/nano_grid.py`` makes."""
    recipe = _tower(
        "nano-finer-heads",
        "runs/nano-grid",
        40,
        1e-2,
        Schedule(samples=6_400, warmup_steps=10, shape="cosine", final=0.05),
        char_loss_weight=0.5,
        curriculum=((0, "dense+full+text"),),
    )
    adamw = Optimizer(learning_rate=1e-2, betas=(0.9, 0.98), weight_decay=0.0)
    return replace(
        recipe,
        trainable="vision-frozen",
        precision="bf16",
        optimizer=adamw,
        batch=Batch(size=64, micro=32),
    )


def _sharp_tower(
    name: str, start: str, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """A run of the tower alone on a finer grid, letters and all."""
    recipe = _tower(name, start, seed, learning_rate, schedule, char_loss_weight=0.7, **auxiliary)
    return replace(recipe, precision="bf16", batch=Batch(size=64, micro=32))


def sight() -> Recipe:
    """The tower alone, on the finer grid."""
    return _sharp_tower(
        "nano-sight",
        "runs/nano-finer-heads/last",
        41,
        8e-4,
        Schedule(samples=96_000, warmup_steps=40, shape="cosine", final=0.03),
        curriculum=((0, "dense+full+text"), (70_400, "dense+full+full+text")),
    )


def speech() -> Recipe:
    """The text half over it: all tasks; the rate falls to nothing, targets sharpen."""
    recipe = _text_half(
        "nano-speech",
        "runs/nano-sight/last",
        42,
        1e-3,
        Schedule(samples=38_400, warmup_steps=20, shape="cosine"),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=1.5,
        char_loss_weight=0.5,
        curriculum=((0, "full+full+text"),),
    )
    return replace(recipe, precision="bf16", batch=Batch(size=192, micro=96))


def keener() -> Recipe:
    """The tower alone once more, over the text half that ``speech`` left."""
    return _sharp_tower(
        "nano-keener",
        "runs/nano-speech/last",
        51,
        6e-4,
        Schedule(samples=64_000, warmup_steps=40, shape="cosine", final=0.02),
        curriculum=((0, "dense+full+full+text"),),
    )


def _pointed(
    name: str,
    start: str,
    seed: int,
    learning_rate: float,
    schedule: Schedule,
    longest: int,
    **auxiliary: Any,
) -> Recipe:
    """A run of the text half that is told where to look for every word and place; answers of more
    than ``longest`` tokens are left out."""
    recipe = _text_half(
        name,
        start,
        seed,
        learning_rate,
        schedule,
        char_loss_weight=0.5,
        attention_loss_weight=1.0,
        **{"curriculum": ((0, "full+full+text"),), **auxiliary},
    )
    batch = Batch(size=192, micro=96)
    return replace(
        recipe, precision="bf16", batch=batch, task_weights=LATE_WEIGHTS, max_target_tokens=longest
    )


def pointing() -> Recipe:
    """The text half over it, told where to look."""
    return _pointed(
        "nano-pointing",
        "runs/nano-keener/last",
        52,
        1e-3,
        Schedule(samples=153_600, warmup_steps=40, shape="cosine", final=0.35),
        longest=160,
        location_smoothing_sigma=4.0,
        final_location_smoothing_sigma=2.5,
    )


def tracing() -> Recipe:
    """The same on outlines with even steps, and none of the longest; the rate falls to nothing."""
    return _pointed(
        "nano-tracing",
        "runs/nano-pointing/last",
        53,
        4e-4,
        Schedule(samples=134_400, warmup_steps=20, shape="cosine"),
        longest=112,
        location_smoothing_sigma=2.5,
        final_location_smoothing_sigma=1.5,
    )


def closer() -> Recipe:
    """The tower alone on pictures of 256 pixels, small things counting more than their cells do."""
    return _sharp_tower(
        "nano-closer",
        "runs/nano-closer-grid",
        61,
        6e-4,
        Schedule(samples=89_600, warmup_steps=30, shape="cosine", final=0.02),
        dense_area_weight_power=0.5,
        curriculum=((0, "dense+full+full+text"),),
    )


def telling() -> Recipe:
    """The text half over it, told where to look; the rate falls to nothing from the start."""
    return _pointed(
        "nano-telling",
        "runs/nano-closer/last",
        62,
        7e-4,
        Schedule(samples=105_600, warmup_steps=20, shape="cosine"),
        longest=112,
        location_smoothing_sigma=3.0,
        final_location_smoothing_sigma=1.5,
    )


def spelling() -> Recipe:
    """The same with what is written told letter by letter."""
    return _pointed(
        "nano-spelling",
        "runs/nano-telling/last",
        71,
        8e-4,
        Schedule(samples=38_400, warmup_steps=20, shape="constant"),
        longest=136,
        location_smoothing_sigma=2.5,
        char_level_tasks=READING_TASKS,
    )


def echoing() -> Recipe:
    """The same, the encoder told to keep what lies at every cell in words that can be said."""
    return _pointed(
        "nano-echoing",
        "runs/nano-spelling/last",
        72,
        8e-4,
        Schedule(samples=201_600, warmup_steps=20, shape="cosine"),
        longest=136,
        location_smoothing_sigma=3.0,
        final_location_smoothing_sigma=2.0,
        char_level_tasks=READING_TASKS,
        encoder_probe_weight=0.5,
        dense_area_weight_power=0.5,
    )


def unlearning() -> Recipe:
    """The tower alone, on drawings that are mostly changed: it knew those that it had seen, and the
    things less well."""
    return _sharp_tower(
        "nano-unlearning",
        "runs/nano-echoing/last",
        81,
        6e-4,
        Schedule(samples=57_600, warmup_steps=40, shape="cosine", final=0.02),
        dense_area_weight_power=0.5,
        curriculum=((0, "augmented-dense+augmented+augmented-dense+full+text"),),
    )


def _late(
    name: str,
    start: str,
    seed: int,
    learning_rate: float,
    samples: int,
    spreads: tuple[float, float],
    curriculum: tuple[tuple[int, str], ...],
    weights: dict[str, float],
) -> Recipe:
    """A run of the text half with all that helps it: it spells, its encoder is asked, and outlines
    have sixteen corners. ``spreads`` are those of locations at the start and at the end."""
    first, last = spreads
    recipe = _pointed(
        name,
        start,
        seed,
        learning_rate,
        Schedule(samples=samples, warmup_steps=20, shape="cosine"),
        longest=136,
        location_smoothing_sigma=first,
        final_location_smoothing_sigma=last,
        char_level_tasks=READING_TASKS,
        polygon_vertices=16,
        encoder_probe_weight=0.5,
        dense_area_weight_power=0.5,
        curriculum=curriculum,
    )
    return replace(recipe, task_weights=weights)


def sketching() -> Recipe:
    """The text half over it; outlines have sixteen corners, and drawings are changed here too, so
    that it hears of things that the tower is less sure of."""
    levels = ((0, "augmented+full+augmented+full+text"),)
    return _late(
        "nano-sketching",
        "runs/nano-unlearning/last",
        82,
        8e-4,
        134_400,
        (3.0, 1.5),
        levels,
        LATE_WEIGHTS,
    )


def recounting() -> Recipe:
    """The same for longer; from a third on two pictures of five are crowds, of which the text half
    had seen none: with ten things in a picture it named large ones far less well than the tower."""
    levels = (
        (0, "augmented+full+augmented+full+text"),
        (76_800, "augmented-dense+augmented+augmented-dense+full+text"),
        (201_600, "full+augmented+augmented-dense+full+text"),
    )
    return _late(
        "nano-recounting",
        "runs/nano-sketching/last",
        91,
        7e-4,
        249_600,
        (2.5, 1.0),
        levels,
        CROWD_WEIGHTS,
    )


def settling() -> Recipe:
    """The same once more, with crowds from the start and more outlines."""
    levels = (
        (0, "augmented-dense+augmented+augmented-dense+full+text"),
        (163_200, "full+augmented+augmented-dense+full+text"),
    )
    return _late(
        "nano-settling",
        "runs/nano-recounting/last",
        101,
        7e-4,
        220_800,
        (2.0, 1.0),
        levels,
        {**CROWD_WEIGHTS, "<REFERRING_EXPRESSION_SEGMENTATION>": 2.0},
    )
