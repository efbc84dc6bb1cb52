"""The recipe of a training run: one frozen value, returned by a preset or a file in ``recipes/``.

The defaults are for fine-tuning a released checkpoint. Learning rates and schedules of the paper
are in ``presets.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

from ..io.deprecation import rename_keys, renamed_fields, warn_renamed
from ..results.geometry import MIN_VERTICES
from ..synthetic.scene_config import OLD_LEVELS, rename_level

Trainable = Literal["full", "vision-stages-1-2-frozen", "vision-frozen", "vision_encoder", "lora"]
Precision = Literal["fp32", "bf16", "fp16"]
Layout = Literal["microsoft", "transformers"]
OptimizerKind = Literal["adamw", "muon"]

# Field names of release 0.1: groups, and fields by the group's current name.
GROUPS = {"aids": "auxiliary"}
AUXILIARY_FIELDS = {
    "location_spread": "location_smoothing_sigma",
    "final_location_spread": "final_location_smoothing_sigma",
    "dense_evenness": "dense_area_weight_power",
    "reading_weight": "char_loss_weight",
    "looking_weight": "attention_loss_weight",
    "encoder_weight": "encoder_probe_weight",
    "spelt_tasks": "char_level_tasks",
    "outline_corners": "polygon_vertices",
    "questions_per_picture": "prompts_per_image",
}
RENAMED_FIELDS = {
    "auxiliary": AUXILIARY_FIELDS,
    "lora": {"rank_stabilised": "rank_stabilized"},
}
# Values of release 0.1 by field.
_RENAMED_VALUES = {
    "trainable": {"tower": "vision_encoder"},
    "lora.parts": {"tower": "vision_encoder"},
}


def rename_value(path: str, value: Any, stacklevel: int = 3) -> Any:
    """The value of the field ``path``, or its new name if it is one of release 0.1.

    ``stacklevel`` is that of ``warnings.warn``; 0 gives no warning, for files that are read.
    """
    if isinstance(value, tuple | list):
        return type(value)(
            rename_value(path, each, stacklevel and stacklevel + 1) for each in value
        )
    new = _RENAMED_VALUES[path].get(value, value) if path in _RENAMED_VALUES else value
    if new != value and stacklevel:
        warn_renamed(f"{path}={value}", f"{path}={new}", stacklevel)
    return new


@dataclass(frozen=True)
class Optimizer:
    """AdamW. The paper gives its name and the peak rates, but no betas and no weight decay.

    ``kind="muon"`` updates matrices with Muon and everything else with AdamW, for training from
    scratch. Muon's updates have the usual size of AdamW's; its learning rate is ``muon_factor``
    times ``learning_rate``.
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
    """Length of the run, and learning rate: linear warm-up, then cosine or constant.

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
    """``size`` pairs make one optimizer step over all processes, ``micro`` at a time in each."""

    size: int = 8
    micro: int = 8


@renamed_fields(rank_stabilised="rank_stabilized")
@dataclass(frozen=True)
class Lora:
    """Low-rank adapters of ``parts``: some of vision_encoder, encoder, decoder."""

    rank: int = 16
    alpha: int = 16
    dropout: float = 0.0
    rank_stabilized: bool = True
    parts: tuple[str, ...] = ("vision_encoder", "encoder", "decoder")

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", rename_value("lora.parts", self.parts, stacklevel=5))


@dataclass(frozen=True)
class Augmentation:
    """Augmentations that keep labels true.

    ``flip`` and ``crop`` are probabilities; ``smallest_crop`` is the min share of each side that a
    crop keeps; ``scale_jitter`` is by how much a canvas around the image may exceed it.
    """

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
                "smallest_crop must be in (0, 1] and scale_jitter at least 0, got "
                f"{self.smallest_crop} and {self.scale_jitter}"
            )


@renamed_fields(**AUXILIARY_FIELDS)
@dataclass(frozen=True)
class AuxiliaryConfig:
    """Auxiliary objectives for training a small model from scratch; the released recipe has none.

    Attributes:
        location_smoothing_sigma: standard deviation, in bins, of soft targets over neighboring
            locations; 0 for hard targets.
        final_location_smoothing_sigma: the deviation at the end of the run, reached linearly.
        dense_weight: weight of the dense loss: class and box of the object at every cell of the
            vision encoder's last feature map.
        dense_only: train by the dense loss alone.
        dense_area_weight_power: a cell counts by its object's area to minus this power: 0 weights
            all cells alike, 1 all objects alike.
        dense_categories: class names of the dense loss.
        char_loss_weight: weight of predicting the characters in every cell.
        attention_loss_weight: weight of supervising some heads of the decoder's cross-attention
            with the cells that each target token is about. Endless sources only.
        encoder_probe_weight: weight of the dense loss on the encoder's states.
        char_level_tasks: tasks whose targets have one token per byte.
        polygon_vertices: number of vertices to which polygons are resampled; 0 keeps the labels'.
        prompts_per_image: prompts that share one pass of the vision encoder. Endless sources only.
        curriculum: levels of synthetic images by the number of samples seen at which they start;
            "+" alternates between levels: ``((0, "easy+text"), (20000, "full"))``.
    """

    location_smoothing_sigma: float = 0.0
    final_location_smoothing_sigma: float | None = None
    dense_weight: float = 0.0
    dense_only: bool = False
    dense_area_weight_power: float = 0.0
    dense_categories: tuple[str, ...] = ()
    char_loss_weight: float = 0.0
    attention_loss_weight: float = 0.0
    encoder_probe_weight: float = 0.0
    char_level_tasks: tuple[str, ...] = ()
    polygon_vertices: int = 0
    prompts_per_image: int = 1
    curriculum: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        sigmas = (self.location_smoothing_sigma, self.final_location_smoothing_sigma or 0.0)
        weights = (
            self.dense_weight,
            self.char_loss_weight,
            self.attention_loss_weight,
            self.encoder_probe_weight,
        )
        if min(*sigmas, *weights) < 0:
            raise ValueError(f"deviations and weights must not be negative, got {self}")
        if not 0 <= self.dense_area_weight_power <= 1:
            raise ValueError(
                "dense_area_weight_power must be between 0 and 1, got "
                f"{self.dense_area_weight_power}"
            )
        if self.polygon_vertices and self.polygon_vertices < MIN_VERTICES:
            raise ValueError(
                f"polygon_vertices must be 0 (keep the labels') or at least {MIN_VERTICES}, got "
                f"{self.polygon_vertices}"
            )
        if self.prompts_per_image < 1:
            raise ValueError(f"prompts_per_image must be at least 1, got {self.prompts_per_image}")
        curriculum = tuple((start, _rename_levels(levels)) for start, levels in self.curriculum)
        object.__setattr__(self, "curriculum", curriculum)


@dataclass(frozen=True)
class Regularization:
    """Rates that replace those of the checkpoint's config; ``None`` keeps the checkpoint's."""

    drop_path: float | None = None
    dropout: float | None = None
    attention_dropout: float | None = None
    activation_dropout: float | None = None


@dataclass(frozen=True)
class Reporting:
    """Steps between log lines, checkpoints, sample images and evaluations.

    A checkpoint is written after ``checkpoint_every`` steps or ``checkpoint_minutes``, whichever
    comes first. Evaluations run once an epoch when ``evaluate_every`` is ``None``, and only at the
    end when it is 0. ``metric`` selects the best checkpoint: ``loss``, the default, or a metric of
    ``evaluation.record_evaluation``.
    """

    log_every: int = 10
    checkpoint_every: int = 500
    checkpoint_minutes: float = 10.0
    sample_every: int = 500
    evaluate_every: int | None = None
    keep_checkpoints: int = 2
    metric: str = "loss"
    higher_is_better: bool = False


@renamed_fields(aids="auxiliary")
@dataclass(frozen=True)
class Recipe:
    """A training run. ``start`` is a checkpoint (Hub id, directory, ``nano``), ``scratch:base``,
    ``scratch:large`` or ``scratch:nano``; ``text_from`` a BART checkpoint for the language model.

    ``task_weights`` are the sampling rates of tasks relative to their number of examples
    (default 1; 0 excludes the task). ``layout`` is that of the written checkpoints.
    ``max_skipped_steps`` is the max number of consecutive steps with non-finite gradients before
    the run stops with an error.
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
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    reporting: Reporting = Reporting()

    def __post_init__(self) -> None:
        trainable = rename_value("trainable", self.trainable, stacklevel=5)
        object.__setattr__(self, "trainable", trainable)
        if self.batch.size < 1 or self.batch.micro < 1:
            raise ValueError(f"batch sizes must be at least 1, got {self.batch}")
        if not self.optimizer.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.optimizer.learning_rate}")


def override(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``a.b=value`` settings applied, as ``florence2 train --set`` does.

    Raises ``ValueError`` for a field that does not exist (with the nearest one), and for a value
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


def _rename_levels(levels: str) -> str:
    """``levels`` joined with "+", those of release 0.1 by their new names."""
    return "+".join(rename_level(level) for level in levels.split("+"))


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe (from ``to_dict``) with current field names, and defaults for new fields."""
    values = rename_keys(values, GROUPS, "recipe", stacklevel=0)
    defaults = to_dict(Recipe())
    groups = {
        name: {
            **defaults[name],
            **rename_keys(fields_, RENAMED_FIELDS.get(name, {}), name, stacklevel=0),
        }
        for name, fields_ in values.items()
        if is_dataclass(getattr(Recipe, name, None))
    }
    curriculum = groups.get("auxiliary", {}).get("curriculum")
    if curriculum:
        groups["auxiliary"]["curriculum"] = [
            [start, "+".join(OLD_LEVELS.get(level, level) for level in levels.split("+"))]
            for start, levels in curriculum
        ]
    if "parts" in groups.get("lora", {}):
        groups["lora"]["parts"] = rename_value("lora.parts", groups["lora"]["parts"], stacklevel=0)
    merged = {**defaults, **values, **groups}
    return {**merged, "trainable": rename_value("trainable", merged["trainable"], stacklevel=0)}
