r"""How the bundled model was trained: 25 stages on synthetic images, from random weights.

Stage NN is the function ``stage_NN_...`` below and runs in ``runs/nano-NN``:

    florence2 train recipes/nano.py:stage_01_vision_encoder --data scenes --out runs/nano-01

Each stage starts from ``last`` of the one before, and resumes when it was stopped. Before stages 12
and 18 the vision encoder gets a finer grid:

    python recipes/nano_grid.py runs/nano-11/last runs/nano-grid
    python recipes/nano_grid.py runs/nano-17/last runs/nano-grid-256 \
        --side 256 --window 8 --head runs/nano-15/last

A stage trains the vision encoder alone (by the dense loss), the language model over a frozen vision
encoder, or the full model. ``docs/nano.md`` has the result of each. To continue from the bundled
weights, which have no heads of the dense loss, start with stage 9 or 12, as these runs did.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from florence2.io.deprecation import warn_renamed
from florence2.training.recipe import (
    AuxiliaryConfig,
    Batch,
    Optimizer,
    Recipe,
    Regularization,
    Reporting,
    Schedule,
)

# Sampling weights of tasks: detection has most of what all tasks need.
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
# Weights from stage 16 on: fewer of the longest texts, more polygons and region categories.
LATE_WEIGHTS = {
    **WEIGHTS,
    "<MORE_DETAILED_CAPTION>": 0.3,
    "<REFERRING_EXPRESSION_SEGMENTATION>": 1.5,
    "<REGION_TO_SEGMENTATION>": 1.0,
    "<REGION_TO_CATEGORY>": 1.0,
}
# Weights of stages with dense scenes.
DENSE_SCENE_WEIGHTS = {
    **LATE_WEIGHTS,
    "<REGION_TO_CATEGORY>": 2.0,
    "<OPEN_VOCABULARY_DETECTION>": 2.5,
}
# Weights of stage 2: each target depends on one object, or on few.
SHORT_TARGET_WEIGHTS = {
    "<OD>": 3.0,
    "<REGION_TO_CATEGORY>": 3.0,
    "<OPEN_VOCABULARY_DETECTION>": 2.0,
    "<REGION_PROPOSAL>": 1.0,
    "<CAPTION>": 1.0,
    "<REGION_TO_OCR>": 1.0,
}
# The tasks with character-level targets: a word is one of many tokens, a character one of few.
OCR_TASKS = ("<OCR>", "<OCR_WITH_REGION>", "<REGION_TO_OCR>")
_NO_DROPOUT = Regularization(
    drop_path=0.0, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0
)
_REPORTING = Reporting(log_every=25, checkpoint_every=100, sample_every=0, evaluate_every=0)


def _muon_optimizer(learning_rate: float, factor: float) -> Optimizer:
    """Muon at ``factor`` times the rate of AdamW, which updates the other parameters."""
    return Optimizer(
        kind="muon",
        learning_rate=learning_rate,
        muon_factor=factor,
        betas=(0.9, 0.98),
        weight_decay=0.05,
    )


def _cosine(samples: int, warmup: int, final: float = 0.0) -> Schedule:
    return Schedule(samples=samples, warmup_steps=warmup, shape="cosine", final=final)


def _constant(samples: int, warmup: int) -> Schedule:
    return Schedule(samples=samples, warmup_steps=warmup, shape="constant")


def _base_recipe(stage: int, seed: int, optimizer: Optimizer, schedule: Schedule) -> Recipe:
    """What all stages share; each starts from the one before."""
    return Recipe(
        name=f"nano-{stage:02d}",
        start=f"runs/nano-{stage - 1:02d}/last",
        seed=seed,
        optimizer=optimizer,
        schedule=schedule,
        regularization=_NO_DROPOUT,
        reporting=_REPORTING,
    )


def _vision_encoder_batch32(
    stage: int, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """The vision encoder alone, by the dense loss, at Muon factor 6."""
    return replace(
        _base_recipe(stage, seed, _muon_optimizer(learning_rate, 6.0), schedule),
        trainable="vision_encoder",
        batch=Batch(size=32, micro=16),
        auxiliary=AuxiliaryConfig(dense_weight=1.0, dense_only=True, **auxiliary),
    )


def _vision_encoder_batch64_bf16(
    stage: int, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """The vision encoder alone on a finer grid, with character loss 0.7, in bf16."""
    recipe = _vision_encoder_batch32(
        stage, seed, learning_rate, schedule, char_loss_weight=0.7, **auxiliary
    )
    return replace(recipe, precision="bf16", batch=Batch(size=64, micro=32))


def _language_model_batch96(
    stage: int, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """The language model, all tasks; the vision encoder is frozen, which makes images cheap."""
    return replace(
        _base_recipe(stage, seed, _muon_optimizer(learning_rate, 4.0), schedule),
        trainable="vision-frozen",
        task_weights=WEIGHTS,
        max_target_tokens=160,
        batch=Batch(size=96, micro=48),
        auxiliary=AuxiliaryConfig(dense_weight=1.0, **{"prompts_per_image": 6, **auxiliary}),
    )


def _language_model_batch192_attention(
    stage: int,
    seed: int,
    learning_rate: float,
    schedule: Schedule,
    max_tokens: int,
    sigmas: tuple[float, float | None],
    **auxiliary: Any,
) -> Recipe:
    """The language model in bf16, with attention loss 1 and character loss 0.5.

    ``sigmas`` are the location smoothing at the start and at the end; longer targets than
    ``max_tokens`` are skipped.
    """
    recipe = _language_model_batch96(
        stage,
        seed,
        learning_rate,
        schedule,
        char_loss_weight=0.5,
        attention_loss_weight=1.0,
        location_smoothing_sigma=sigmas[0],
        final_location_smoothing_sigma=sigmas[1],
        **{"curriculum": ((0, "full+full+text"),), **auxiliary},
    )
    return replace(
        recipe,
        precision="bf16",
        batch=Batch(size=192, micro=96),
        task_weights=LATE_WEIGHTS,
        max_target_tokens=max_tokens,
    )


def _language_model_batch192_16_vertices(
    stage: int,
    seed: int,
    learning_rate: float,
    samples: int,
    sigmas: tuple[float, float],
    curriculum: tuple[tuple[int, str], ...],
) -> Recipe:
    """The same with character-level OCR, encoder probe 0.5 and polygons of 16 vertices."""
    return _language_model_batch192_attention(
        stage,
        seed,
        learning_rate,
        _cosine(samples, 20),
        136,
        sigmas,
        char_level_tasks=OCR_TASKS,
        polygon_vertices=16,
        encoder_probe_weight=0.5,
        dense_area_weight_power=0.5,
        curriculum=curriculum,
    )


def _full_model_batch80(
    stage: int, seed: int, learning_rate: float, schedule: Schedule, **auxiliary: Any
) -> Recipe:
    """The full model, all tasks, all scenes; location smoothing ends at 2 bins."""
    return replace(
        _base_recipe(stage, seed, _muon_optimizer(learning_rate, 4.0), schedule),
        task_weights=WEIGHTS,
        max_target_tokens=200,
        batch=Batch(size=80, micro=40),
        auxiliary=AuxiliaryConfig(
            dense_weight=1.0,
            prompts_per_image=5,
            final_location_smoothing_sigma=2.0,
            **auxiliary,
        ),
    )


def stage_01_vision_encoder() -> Recipe:
    """The vision encoder alone: large objects first, then all."""
    levels = ((0, "easy"), (4_000, "full"))
    recipe = _vision_encoder_batch32(1, 1, 1e-3, _cosine(40_000, 60, 0.3), curriculum=levels)
    return replace(recipe, start="scratch:nano", batch=Batch(size=32, micro=32))


def stage_02_language_model_short_targets() -> Recipe:
    """The language model on short targets about few large objects."""
    levels = ((0, "easy"),)
    recipe = _language_model_batch96(
        2, 4, 1e-3, _constant(96_000, 40), location_smoothing_sigma=8.0, curriculum=levels
    )
    weights = {**dict.fromkeys(WEIGHTS, 0.0), **SHORT_TARGET_WEIGHTS}
    return replace(recipe, task_weights=weights, max_target_tokens=60)


def stage_03_full_model() -> Recipe:
    """The full model: all tasks, all scenes."""
    return _full_model_batch80(3, 2, 1e-3, _cosine(64_000, 20), location_smoothing_sigma=8.0)


def stage_04_vision_encoder_characters() -> Recipe:
    """The vision encoder alone, now with the characters of every cell."""
    levels = ((0, "full+text"),)
    return _vision_encoder_batch32(
        4, 11, 6e-4, _cosine(22_400, 40, 0.1), char_loss_weight=1.0, curriculum=levels
    )


def stage_05_language_model() -> Recipe:
    """The language model, all tasks, over the vision encoder with characters."""
    recipe = _language_model_batch96(
        5,
        12,
        1e-3,
        _constant(96_000, 20),
        location_smoothing_sigma=6.0,
        char_loss_weight=0.5,
        curriculum=((0, "easy+text"), (36_000, "full+text")),
    )
    return replace(recipe, max_target_tokens=120)


def stage_06_full_model() -> Recipe:
    """The full model on full scenes."""
    schedule = _cosine(44_000, 20)
    return _full_model_batch80(
        6, 13, 6e-4, schedule, location_smoothing_sigma=6.0, char_loss_weight=0.5
    )


def stage_07_vision_encoder() -> Recipe:
    """The vision encoder alone: class, box and characters of every cell, all scenes."""
    levels = ((0, "full+text"),)
    return _vision_encoder_batch32(
        7, 21, 5e-4, _cosine(30_400, 20, 0.05), char_loss_weight=0.7, curriculum=levels
    )


def stage_08_language_model() -> Recipe:
    """The language model, all tasks."""
    return _language_model_batch96(
        8,
        22,
        8e-4,
        _cosine(110_400, 20),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=2.0,
        char_loss_weight=0.5,
        curriculum=((0, "full+text"),),
    )


def stage_09_heads() -> Recipe:
    """Heads of the dense loss over the bundled weights, which have none.

    Training the vision encoder with an untrained head would damage it.
    """
    recipe = _language_model_batch96(
        9,
        30,
        2e-3,
        _constant(14_400, 20),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=2.0,
        char_loss_weight=0.5,
        prompts_per_image=1,
        curriculum=((0, "full+text"),),
    )
    return replace(
        recipe,
        start="nano",
        optimizer=_muon_optimizer(2e-3, 1.0),
        precision="bf16",
        max_target_tokens=60,
    )


def stage_10_vision_encoder_more_art() -> Recipe:
    """The vision encoder alone, on twice as many drawings and on dense scenes."""
    levels = ((0, "dense+full"), (40_000, "full+text"))
    recipe = _vision_encoder_batch32(
        10, 31, 7e-4, _cosine(60_000, 60, 0.04), char_loss_weight=0.5, curriculum=levels
    )
    return replace(recipe, precision="bf16")


def stage_11_language_model() -> Recipe:
    """The language model, all tasks."""
    recipe = _language_model_batch96(
        11,
        32,
        8e-4,
        _cosine(115_200, 20),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=2.0,
        char_loss_weight=0.5,
        curriculum=((0, "full+text"),),
    )
    return replace(recipe, precision="bf16")


def stage_12_heads_finer_grid() -> Recipe:
    """The heads again, over the finer grid of ``recipes/nano_grid.py``."""
    levels = ((0, "dense+full+text"),)
    recipe = _vision_encoder_batch32(
        12, 40, 1e-2, _cosine(6_400, 10, 0.05), char_loss_weight=0.5, curriculum=levels
    )
    return replace(
        recipe,
        start="runs/nano-grid",
        trainable="vision-frozen",
        precision="bf16",
        optimizer=Optimizer(learning_rate=1e-2, betas=(0.9, 0.98), weight_decay=0.0),
        batch=Batch(size=64, micro=32),
    )


def stage_13_vision_encoder_finer_grid() -> Recipe:
    """The vision encoder alone, on the finer grid."""
    levels = ((0, "dense+full+text"), (70_400, "dense+full+full+text"))
    schedule = _cosine(96_000, 40, 0.03)
    return _vision_encoder_batch64_bf16(13, 41, 8e-4, schedule, curriculum=levels)


def stage_14_language_model() -> Recipe:
    """The language model, all tasks."""
    recipe = _language_model_batch96(
        14,
        42,
        1e-3,
        _cosine(38_400, 20),
        location_smoothing_sigma=5.0,
        final_location_smoothing_sigma=1.5,
        char_loss_weight=0.5,
        curriculum=((0, "full+full+text"),),
    )
    return replace(recipe, precision="bf16", batch=Batch(size=192, micro=96))


def stage_15_vision_encoder() -> Recipe:
    """The vision encoder alone."""
    levels = ((0, "dense+full+full+text"),)
    schedule = _cosine(64_000, 40, 0.02)
    return _vision_encoder_batch64_bf16(15, 51, 6e-4, schedule, curriculum=levels)


def stage_16_language_model_attention() -> Recipe:
    """The language model with supervised cross-attention."""
    schedule = _cosine(153_600, 40, 0.35)
    return _language_model_batch192_attention(16, 52, 1e-3, schedule, 160, (4.0, 2.5))


def stage_17_language_model_attention() -> Recipe:
    """The same on polygons with equal steps, without the longest targets."""
    schedule = _cosine(134_400, 20)
    return _language_model_batch192_attention(17, 53, 4e-4, schedule, 112, (2.5, 1.5))


def stage_18_vision_encoder_256px() -> Recipe:
    """The vision encoder alone on images of 256 pixels; cells of small objects weigh more."""
    recipe = _vision_encoder_batch64_bf16(
        18,
        61,
        6e-4,
        _cosine(89_600, 30, 0.02),
        dense_area_weight_power=0.5,
        curriculum=((0, "dense+full+full+text"),),
    )
    return replace(recipe, start="runs/nano-grid-256")


def stage_19_language_model_attention() -> Recipe:
    """The language model with supervised cross-attention."""
    schedule = _cosine(105_600, 20)
    return _language_model_batch192_attention(19, 62, 7e-4, schedule, 112, (3.0, 1.5))


def stage_20_language_model_char_level() -> Recipe:
    """The same with character-level targets of the OCR tasks."""
    schedule = _constant(38_400, 20)
    return _language_model_batch192_attention(
        20, 71, 8e-4, schedule, 136, (2.5, None), char_level_tasks=OCR_TASKS
    )


def stage_21_language_model_encoder_probe() -> Recipe:
    """The same with the dense loss on the encoder's states."""
    return _language_model_batch192_attention(
        21,
        72,
        8e-4,
        _cosine(201_600, 20),
        136,
        (3.0, 2.0),
        char_level_tasks=OCR_TASKS,
        encoder_probe_weight=0.5,
        dense_area_weight_power=0.5,
    )


def stage_22_vision_encoder_augmented() -> Recipe:
    """The vision encoder alone, mostly on augmented drawings: it had overfitted to plain ones."""
    return _vision_encoder_batch64_bf16(
        22,
        81,
        6e-4,
        _cosine(57_600, 40, 0.02),
        dense_area_weight_power=0.5,
        curriculum=((0, "augmented-dense+augmented+augmented-dense+full+text"),),
    )


def stage_23_language_model_16_vertices() -> Recipe:
    """The language model on polygons with 16 vertices, and on augmented drawings too."""
    levels = ((0, "augmented+full+augmented+full+text"),)
    return _language_model_batch192_16_vertices(23, 82, 8e-4, 134_400, (3.0, 1.5), levels)


def stage_24_language_model_dense_scenes() -> Recipe:
    """The same for longer; from a third on, two of five images are dense scenes.

    The language model had seen none: with ten objects in an image it named large ones far less
    often than the head of the vision encoder did.
    """
    levels = (
        (0, "augmented+full+augmented+full+text"),
        (76_800, "augmented-dense+augmented+augmented-dense+full+text"),
        (201_600, "full+augmented+augmented-dense+full+text"),
    )
    recipe = _language_model_batch192_16_vertices(24, 91, 7e-4, 249_600, (2.5, 1.0), levels)
    return replace(recipe, task_weights=DENSE_SCENE_WEIGHTS)


def stage_25_language_model_dense_scenes() -> Recipe:
    """The same again, with dense scenes from the start and more polygons."""
    levels = (
        (0, "augmented-dense+augmented+augmented-dense+full+text"),
        (163_200, "full+augmented+augmented-dense+full+text"),
    )
    recipe = _language_model_batch192_16_vertices(25, 101, 7e-4, 220_800, (2.0, 1.0), levels)
    weights = {**DENSE_SCENE_WEIGHTS, "<REFERRING_EXPRESSION_SEGMENTATION>": 2.0}
    return replace(recipe, task_weights=weights)


# The stages' names in release 0.1, in order; stage 6 had the run "nano", others "nano-NAME".
_NAMES = (
    "tower names words letters answers together cells replies heads kinds retelling finer_heads "
    "sight speech keener pointing tracing closer telling spelling echoing unlearning sketching "
    "recounting settling"
)
_OLD_STAGES = _NAMES.split()


def __getattr__(name: str) -> Callable[[], Recipe]:
    """A stage by its old name, with the old names of runs, so that a run of release 0.1 resumes."""
    if name not in _OLD_STAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    stage = _OLD_STAGES.index(name) + 1
    new = next(each for each in globals() if each.startswith(f"stage_{stage:02d}_"))
    warn_renamed(f"recipes/nano.py:{name}", f"recipes/nano.py:{new}")
    recipe: Recipe = globals()[new]()
    start = recipe.start.replace("nano-grid-256", "nano-closer-grid")
    if start == f"runs/nano-{stage - 1:02d}/last":
        start = f"runs/{_old_run(stage - 1)}/last"
    return lambda: replace(recipe, name=_old_run(stage), start=start)


def _old_run(stage: int) -> str:
    name = _OLD_STAGES[stage - 1].replace("_", "-")
    return "nano" if name == "together" else f"nano-{name}"
