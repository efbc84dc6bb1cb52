"""The configuration of a Florence-2 model, read from and written to both checkpoint layouts.

Fields have the names of ``config.json``; the defaults are the released base model. The token ids
of the encoder-decoder are read from ``text_config``, never from the top level, which was wrong in
the first release.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..io.deprecation import renamed_fields


@renamed_fields(
    widths="dim_embed",
    heads="num_heads",
    groups="num_groups",
    patch_sizes="patch_size",
    patch_strides="patch_stride",
    patch_paddings="patch_padding",
    window="window_size",
    max_grid="max_position_embeddings",
    temporal_positions="max_temporal_embeddings",
)
@dataclass(frozen=True)
class VisionConfig:
    """The DaViT vision encoder: four stages, each a convolution and ``depths[i]`` block pairs.

    The tuples have an entry per stage. ``max_position_embeddings`` is the largest height and width
    of the last feature map in cells; ``max_temporal_embeddings`` the most frames of a clip.
    """

    dim_embed: tuple[int, ...] = (128, 256, 512, 1024)
    num_heads: tuple[int, ...] = (4, 8, 16, 32)
    num_groups: tuple[int, ...] = (4, 8, 16, 32)
    depths: tuple[int, ...] = (1, 1, 9, 1)
    patch_size: tuple[int, ...] = (7, 3, 3, 3)
    patch_stride: tuple[int, ...] = (4, 2, 2, 2)
    patch_padding: tuple[int, ...] = (3, 1, 1, 1)
    patch_prenorm: tuple[bool, ...] = (False, True, True, True)
    window_size: int = 12
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    max_position_embeddings: int = 50
    max_temporal_embeddings: int = 100

    def __post_init__(self) -> None:
        stages = len(self.dim_embed)
        for name in ("dim_embed", *_STAGE_FIELDS):
            values = getattr(self, name)
            if len(values) != stages or stages > _MAX_STAGES:
                raise ValueError(
                    f"vision {name} needs an entry for each of {stages} entries of dim_embed (at "
                    f"most {_MAX_STAGES}), got {str(values)[:100]}"
                )
            if name not in ("patch_padding", "patch_prenorm"):
                _check_counts(f"vision {name}", *values)
        for name in ("window_size", "max_position_embeddings", "max_temporal_embeddings"):
            _check_counts(f"vision {name}", getattr(self, name))
        _check_range("vision drop_path_rate", self.drop_path_rate, 1)
        _check_range("vision mlp_ratio", self.mlp_ratio, _MAX_RATIO)
        if not all(isinstance(prenorm, bool) for prenorm in self.patch_prenorm):
            raise ValueError(f"vision patch_prenorm must be booleans, got {self.patch_prenorm}")
        for padding, size in zip(self.patch_padding, self.patch_size, strict=True):
            _check_range("vision patch_padding", padding, size, integer=True)
        for dim, heads, groups in zip(self.dim_embed, self.num_heads, self.num_groups, strict=True):
            if dim % heads or dim % groups:
                raise ValueError(
                    f"vision dim_embed {dim} is not divisible by {heads} heads and {groups} groups"
                )

    @property
    def stride(self) -> int:
        """Pixels per cell of the last feature map (32 in the released models)."""
        return math.prod(self.patch_stride)


@renamed_fields(
    width="d_model",
    encoder_heads="encoder_attention_heads",
    decoder_heads="decoder_attention_heads",
    encoder_hidden="encoder_ffn_dim",
    decoder_hidden="decoder_ffn_dim",
    positions="max_position_embeddings",
    bos="bos_token_id",
    pad="pad_token_id",
    eos="eos_token_id",
    decoder_start="decoder_start_token_id",
    no_repeat_ngram="no_repeat_ngram_size",
)
@dataclass(frozen=True)
class TextConfig:
    """The BART encoder-decoder: post-norm, learned positions, one embedding for all ends.

    ``no_repeat_ngram_size`` is the only decoding setting that a checkpoint decides: no n-gram of
    this size occurs twice in an output, unless a call overrides it.
    """

    d_model: int = 768
    encoder_layers: int = 6
    decoder_layers: int = 6
    encoder_attention_heads: int = 12
    decoder_attention_heads: int = 12
    encoder_ffn_dim: int = 3072
    decoder_ffn_dim: int = 3072
    vocab_size: int = 51289
    max_position_embeddings: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    init_std: float = 0.02
    bos_token_id: int = 0
    pad_token_id: int = 1
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    no_repeat_ngram_size: int = 3

    def __post_init__(self) -> None:
        rates = ("dropout", "attention_dropout", "activation_dropout", "init_std")
        for name, value in asdict(self).items():
            if name in rates:
                _check_range(f"text {name}", value, 1)
            elif name.endswith("_token_id"):
                _check_range(f"text {name}", value, self.vocab_size - 1, integer=True)
            else:
                _check_counts(f"text {name}", value)
        for name in ("encoder_attention_heads", "decoder_attention_heads"):
            heads = getattr(self, name)
            if self.d_model % heads:
                raise ValueError(f"text d_model {self.d_model} is not divisible by {heads} {name}")


@renamed_fields(tied_head="tie_word_embeddings", image_token="image_token_id")
@dataclass(frozen=True)
class Florence2Config:
    """A whole model.

    ``tie_word_embeddings`` is false for fine-tunes whose output head is not the embedding.
    """

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    tie_word_embeddings: bool = True
    image_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.image_token_id is not None:
            last = self.text.vocab_size - 1
            _check_range("image_token_id", self.image_token_id, last, integer=True)

    @classmethod
    def large(cls, positions: int = 4096) -> Florence2Config:
        """The released large model; its 2024-06 revision had 1,024 positions."""
        heads = (8, 16, 32, 64)
        vision = VisionConfig(dim_embed=(256, 512, 1024, 2048), num_heads=heads, num_groups=heads)
        text = TextConfig(
            d_model=1024,
            encoder_layers=12,
            decoder_layers=12,
            encoder_attention_heads=16,
            decoder_attention_heads=16,
            encoder_ffn_dim=4096,
            decoder_ffn_dim=4096,
            max_position_embeddings=positions,
        )
        return cls(vision, text)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Florence2Config:
        """The configuration in a ``config.json`` of either layout.

        Unknown keys are ignored, because converted files have leftover ones.

        Raises:
            ValueError: for another model, a missing key, or an unsupported feature.
        """
        for section in ("vision_config", "text_config"):
            if not isinstance(values.get(section), Mapping):
                raise ValueError(
                    f"not a Florence-2 config: {section} is missing "
                    f"(model_type is {values.get('model_type')!r})"
                )
        vision, text = values["vision_config"], values["text_config"]
        _refuse_unknown_features(vision, text)
        config = cls(
            _read_vision(vision), _read_text(text), image_token_id=values.get("image_token_id")
        )
        d_model = config.text.d_model
        projection = vision.get("projection_dim", d_model)
        if projection != d_model:
            raise ValueError(
                f"vision projection_dim {projection} differs from text d_model {d_model}"
            )
        return config

    def with_vocabulary(self, size: int) -> Florence2Config:
        """The same model with ``size`` rows in its embedding."""
        return replace(self, text=replace(self.text, vocab_size=size))

    def to_microsoft(self) -> dict[str, Any]:
        """The ``config.json`` of the released layout."""
        vision = {
            "model_type": "davit",
            "drop_path_rate": self.vision.drop_path_rate,
            **_write_stages(self.vision, "dim_embed"),
            "window_size": self.vision.window_size,
            "mlp_ratio": self.vision.mlp_ratio,
            "projection_dim": self.text.d_model,
            "visual_temporal_embedding": {
                "type": "COSINE",
                "max_temporal_embeddings": self.vision.max_temporal_embeddings,
            },
            "image_pos_embed": {
                "type": "learned_abs_2d",
                "max_pos_embeddings": self.vision.max_position_embeddings,
            },
            "image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"],
        }
        text = {"model_type": "florence2_language", **_write_text(self.text)}
        values = self._top_level(vision, text)
        if self.image_token_id is not None:
            # Microsoft's code lacks this token; kept for conversion to transformers' layout.
            values["image_token_id"] = self.image_token_id
        return values

    def to_transformers(self) -> dict[str, Any]:
        """The ``config.json`` that transformers' own Florence-2 reads."""
        vision = {
            "model_type": "florence_vision",
            "drop_path_rate": self.vision.drop_path_rate,
            **_write_stages(self.vision, "embed_dim"),
            "window_size": self.vision.window_size,
            "mlp_ratio": self.vision.mlp_ratio,
            "qkv_bias": True,
            "activation_function": "gelu",
            "in_channels": 3,
            "projection_dim": self.text.d_model,
            "max_temporal_embeddings": self.vision.max_temporal_embeddings,
            "max_position_embeddings": self.vision.max_position_embeddings,
        }
        text = {"model_type": "bart", "tie_word_embeddings": self.tie_word_embeddings}
        text |= _write_text(self.text)
        values = self._top_level(vision, text)
        values["tie_word_embeddings"] = self.tie_word_embeddings
        values["image_token_id"] = self.image_token_id
        return values

    def _top_level(self, vision: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
        return {
            "architectures": ["Florence2ForConditionalGeneration"],
            "model_type": "florence2",
            "bos_token_id": self.text.bos_token_id,
            "eos_token_id": self.text.eos_token_id,
            "pad_token_id": self.text.pad_token_id,
            "is_encoder_decoder": True,
            "projection_dim": self.text.d_model,
            "vocab_size": self.text.vocab_size,
            "text_config": text,
            "vision_config": vision,
        }


# Above all models, and low enough that a damaged config cannot fill the memory.
_MAX_COUNT = 10_000_000
_MAX_DEPTH = 1_000
_MAX_RATIO = 100
_MAX_STAGES = 16


def _check_range(name: str, value: Any, maximum: int, *, integer: bool = False) -> None:
    """Raise ``ValueError`` unless ``value`` is a number (or an integer) from 0 to ``maximum``."""
    kinds = int if integer else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value <= maximum:
        kind = "an integer" if integer else "a number"
        raise ValueError(f"{name} must be {kind} from 0 to {maximum}, got {value!r}")


def _check_counts(name: str, *values: Any) -> None:
    """Raise ``ValueError`` for sizes that no model has.

    Depths and layers take time to build; the temporal table is computed when a file lacks it.
    """
    costly = ("depths", "layers", "temporal_embeddings")
    maximum = _MAX_DEPTH if name.endswith(costly) else _MAX_COUNT
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= maximum:
            raise ValueError(f"{name} must be integers from 1 to {maximum}, got {value!r}")


# The fields with a value per stage that both layouts name alike; the key of dim_embed differs.
_STAGE_FIELDS = (
    "num_heads",
    "num_groups",
    "depths",
    "patch_size",
    "patch_stride",
    "patch_padding",
    "patch_prenorm",
)

_REQUIRED_TEXT_KEYS = ("d_model", "encoder_layers", "decoder_layers", "vocab_size")


def _read_vision(values: Mapping[str, Any]) -> VisionConfig:
    default = VisionConfig()
    dim_embed = values.get("dim_embed") or values.get("embed_dim")
    if dim_embed is None:
        raise ValueError("vision_config has neither dim_embed nor embed_dim")
    position = _read_section("image_pos_embed", values)
    temporal = _read_section("visual_temporal_embedding", values)
    # Microsoft's layout has these two in sections, transformers' beside the others.
    tables = {
        "max_position_embeddings": position.get("max_pos_embeddings"),
        "max_temporal_embeddings": temporal.get("max_temporal_embeddings"),
    }
    found: dict[str, Any] = {
        name: values.get(name, getattr(default, name))
        for name in (*_STAGE_FIELDS, "window_size", "mlp_ratio", "drop_path_rate", *tables)
    }
    found |= {name: value for name, value in tables.items() if value is not None}
    found |= {name: _read_list(name, found[name]) for name in _STAGE_FIELDS}
    return VisionConfig(dim_embed=_read_list("dim_embed", dim_embed), **found)


def _read_list(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"vision_config {name} must be a list, got {str(value)[:60]!r}")
    return tuple(value)


def _read_section(name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    section = values.get(name)
    if section is not None and not isinstance(section, Mapping):
        raise ValueError(f"vision_config {name} must be an object, got {str(section)[:60]!r}")
    return section or {}


def _read_text(values: Mapping[str, Any]) -> TextConfig:
    for key in _REQUIRED_TEXT_KEYS:
        if key not in values:
            raise ValueError(f"text_config has no {key}")
    known = {each.name: values.get(each.name) for each in fields(TextConfig)}
    # transformers writes its own default of 0, with which the released weights repeat endlessly.
    known["no_repeat_ngram_size"] = known["no_repeat_ngram_size"] or None
    return TextConfig(**{name: value for name, value in known.items() if value is not None})


def _write_stages(vision: VisionConfig, dim_key: str) -> dict[str, Any]:
    stages = {name: list(getattr(vision, name)) for name in _STAGE_FIELDS}
    return {dim_key: list(vision.dim_embed), **stages}


def _write_text(text: TextConfig) -> dict[str, Any]:
    return {
        **asdict(text),
        "num_hidden_layers": text.encoder_layers,
        "activation_function": "gelu",
        "scale_embedding": False,
        "is_encoder_decoder": True,
        "forced_bos_token_id": text.bos_token_id,
        "forced_eos_token_id": text.eos_token_id,
        "num_beams": 3,
        "early_stopping": True,
    }


def _refuse_unknown_features(vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a setting that differs from all released models'."""
    expected = [
        (text, "activation_function", "gelu"),
        (text, "scale_embedding", False),
        (text, "normalize_before", False),
        (text, "add_final_layer_norm", False),
        (vision, "activation_function", "gelu"),
        (vision, "qkv_bias", True),
        (vision, "in_channels", 3),
        (vision, "image_feature_source", ["spatial_avg_pool", "temporal_avg_pool"]),
    ]
    for section, key, value in expected:
        if section.get(key, value) != value:
            raise ValueError(f"config has {key} = {section[key]!r}; only {value!r} is supported")
