"""What a training run is: one frozen value that a file in ``recipes/`` or a preset returns.

Every default is the gentle one for fine-tuning a released checkpoint. Learning rates and
schedules of the paper are in ``presets.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from ..results.geometry import MIN_VERTICES

Trainable = Literal["full", "vision-stages-1-2-frozen", "vision-frozen", "tower", "lora"]
Precision = Literal["fp32", "bf16", "fp16"]
Layout = Literal["microsoft", "transformers"]
OptimizerKind = Literal["adamw", "muon"]


@dataclass(frozen=True)
class Optimizer:
    """AdamW. The paper names it and the peak rates; betas and decay are not given there.

    ``kind="muon"`` moves matrices along their orthogonal factor and the rest by AdamW: for models
    that start from nothing. Muon's steps are scaled to be as large as AdamW's usually are, and
    ``muon_factor`` times the learning rate.
    """

    kind: OptimizerKind = "adamw"
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    muon_factor: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """How long, and how the learning rate moves: linear warm-up, then cosine or constant.

    ``samples`` counts image-annotation pairs, as the paper does; ``epochs`` is used when it is
    ``None``. ``final`` is the fraction of the peak rate left at the end.
    """

    epochs: float = 10
    samples: int | None = None
    warmup_steps: int = 100
    shape: Literal["cosine", "constant"] = "cosine"
    final: float = 0.0


@dataclass(frozen=True)
class Batch:
    """``size`` pairs make one optimiser step over all processes, ``micro`` at a time in each."""

    size: int = 8
    micro: int = 8


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters; ``parts`` says where: encoder, decoder, tower."""

    rank: int = 16
    alpha: int = 16
    dropout: float = 0.0
    rank_stabilised: bool = True
    parts: tuple[str, ...] = ("tower", "encoder", "decoder")


@dataclass(frozen=True)
class Augmentation:
    """Changes to pictures that keep labels true: probabilities of a mirror image and of a crop,
    the smallest part of each side that a crop keeps, and by how much a canvas around the picture
    may be larger than it."""

    flip: float = 0.0
    crop: float = 0.0
    smallest_crop: float = 0.6
    scale_jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "crop"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}")
        if not 0 < self.smallest_crop <= 1 or self.scale_jitter < 0:
            raise ValueError(
                "smallest_crop must lie in (0, 1] and scale_jitter at 0 or above, got "
                f"{self.smallest_crop} and {self.scale_jitter}"
            )


@dataclass(frozen=True)
class AuxiliaryConfig:
    """Helps for a small model that starts from nothing; all are off, for the released recipe has
    none of them.

    ``location_spread`` is the deviation, in bins, of soft targets over neighbouring locations; it
    moves evenly to ``final_location_spread`` by the end. ``dense_weight`` is that of the task
    which names the object at every cell of the tower's last map, one of ``dense_categories``, and
    draws its box; with ``dense_only`` nothing else is learned. ``dense_evenness`` says how cells
    count there: 0 each the same, so that large things count most, 1 each thing the same, in between
    by that power of its area. ``reading_weight`` is that of its second part, which tells the
    letters of every cell. ``looking_weight`` is that of telling some of the decoder's heads in
    which cells lies what each token of an answer is about, for endless sources with the dense task.
    ``encoder_weight`` is that of the dense task asked of the encoder's states too.
    The answers of ``spelt_tasks`` are told letter by letter, so that a word is read and not guessed
    among whole words; outlines are told with ``outline_corners`` corners at even distances, 0 for
    those of the labels. ``questions_per_picture`` of an endless source share one pass through the
    tower. ``curriculum`` are the levels of made scenes by the number of samples seen at which they
    begin, where "+" takes turns: ``((0, "easy+text"), (20000, "full"))``.
    """

    location_spread: float = 0.0
    final_location_spread: float | None = None
    dense_weight: float = 0.0
    dense_only: bool = False
    dense_evenness: float = 0.0
    dense_categories: tuple[str, ...] = ()
    reading_weight: float = 0.0
    looking_weight: float = 0.0
    encoder_weight: float = 0.0
    spelt_tasks: tuple[str, ...] = ()
    outline_corners: int = 0
    questions_per_picture: int = 1
    curriculum: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        spreads = (self.location_spread, self.final_location_spread or 0.0)
        weights = (self.dense_weight, self.reading_weight, self.looking_weight, self.encoder_weight)
        if min(*spreads, *weights) < 0:
            raise ValueError(f"spreads and weights must not be negative, got {self}")
        if not 0 <= self.dense_evenness <= 1:
            raise ValueError(f"dense_evenness is between 0 and 1, got {self.dense_evenness}")
        if self.outline_corners and self.outline_corners < MIN_VERTICES:
            raise ValueError(
                f"outline_corners is 0 for those of the labels or {MIN_VERTICES} and more, got "
                f"{self.outline_corners}"
            )
        if self.questions_per_picture < 1:
            raise ValueError(
                f"questions_per_picture must be at least 1, got {self.questions_per_picture}"
            )


@dataclass(frozen=True)
class Regularization:
    """Rates that replace those of the checkpoint's config; ``None`` keeps its value."""

    drop_path: float | None = None
    dropout: float | None = None
    attention_dropout: float | None = None
    activation_dropout: float | None = None


@dataclass(frozen=True)
class Reporting:
    """When things are written: steps between log lines, checkpoints, pictures, evaluations.

    A checkpoint is due after so many steps or minutes, whichever is first. Evaluations are made
    once an epoch when ``evaluate_every`` is ``None``, never when it is 0 but at the end. The best
    checkpoint is the one by the figure ``metric``: ``loss``, the default, or one of those that
    ``evaluate.records`` lists.
    """

    log_every: int = 10
    checkpoint_every: int = 500
    checkpoint_minutes: float = 10.0
    sample_every: int = 500
    evaluate_every: int | None = None
    keep_checkpoints: int = 2
    metric: str = "loss"
    higher_is_better: bool = False


@dataclass(frozen=True)
class Recipe:
    """A run. ``start`` is a checkpoint (Hub id, directory, ``nano``), ``scratch:base``,
    ``scratch:large`` or ``scratch:nano``; ``text_from`` a BART checkpoint for the text half.

    ``task_weights`` says how often the examples of a task are seen relative to their number
    (1 where a task is not named, 0 leaves it out). ``layout`` is that of the checkpoints made.
    ``max_skipped_steps`` bounds how many steps in a row may have gradients that are not finite
    before the run stops with an error.
    """

    name: str = "fine-tune"
    start: str = "microsoft/Florence-2-base-ft"
    text_from: str | None = None
    image_size: tuple[int, int] | None = None
    trainable: Trainable = "full"
    task_weights: Mapping[str, float] = field(default_factory=dict)
    precision: Precision = "fp32"
    gradient_checkpointing: bool = False
    layout: Layout = "microsoft"
    max_target_tokens: int = 1024
    max_skipped_steps: int = 20
    seed: int = 0
    batch: Batch = Batch()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    lora: Lora = Lora()
    augmentation: Augmentation = Augmentation()
    regularization: Regularization = Regularization()
    aids: AuxiliaryConfig = AuxiliaryConfig()
    reporting: Reporting = Reporting()

    def __post_init__(self) -> None:
        if self.batch.size < 1 or self.batch.micro < 1:
            raise ValueError(f"batch sizes must be at least 1, got {self.batch}")
        if not self.optimizer.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.optimizer.learning_rate}")


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``a.b=value`` settings applied, as ``florence2 train --set`` does.

    Raises ``ValueError`` for a field that is not there (with the nearest one), and for a value
    that is not of the field's type, range or choices.
    """
    from .recipe_fields import apply_settings

    return apply_settings(recipe, settings)


def to_dict(value: Any) -> Any:
    """A recipe as plain JSON values, for logs and checkpoints."""
    if is_dataclass(value):
        return {each.name: to_dict(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_dict(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


def completed(form: dict[str, Any]) -> dict[str, Any]:
    """What ``to_dict`` gave, with the defaults of settings that there were not yet."""
    usual = to_dict(Recipe())
    parts = {
        name: {**usual[name], **values}
        for name, values in form.items()
        if is_dataclass(getattr(Recipe, name, None))
    }
    return {**usual, **form, **parts}
