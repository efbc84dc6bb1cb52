"""The shape of a Florence-2 model, read from and written to both checkpoint layouts.

The class defaults are the released base model. The token ids of the encoder-decoder come from
``text_config``, never from the top level, which was wrong in the first release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class VisionConfig:
    """The DaViT tower: four stages, each a convolution and ``depths[i]`` pairs of blocks."""

    widths: tuple[int, ...] = (128, 256, 512, 1024)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    groups: tuple[int, ...] = (4, 8, 16, 32)
    depths: tuple[int, ...] = (1, 1, 9, 1)
    patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    patch_strides: tuple[int, ...] = (4, 2, 2, 2)
    patch_paddings: tuple[int, ...] = (3, 1, 1, 1)
    patch_prenorm: tuple[bool, ...] = (False, True, True, True)
    window: int = 12
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.1
    max_grid: int = 50
    temporal_positions: int = 100

    def __post_init__(self) -> None:
        stages = len(self.widths)
        for name in (
            "widths",
            "heads",
            "groups",
            "depths",
            "patch_sizes",
            "patch_strides",
            "patch_paddings",
            "patch_prenorm",
        ):
            values = getattr(self, name)
            if len(values) != stages or stages > _MAX_STAGES:
                raise ValueError(
                    f"vision {name} needs an entry for each of {stages} widths (at most "
                    f"{_MAX_STAGES}), got {str(values)[:100]}"
                )
            if name not in ("patch_paddings", "patch_prenorm"):
                _check_counts(f"vision {name}", *values)
        _check_counts("vision window and grid", self.window, self.max_grid)
        _check_counts("vision temporal_positions", self.temporal_positions)
        _check_range("vision drop_path_rate", self.drop_path_rate, 1)
        _check_range("vision mlp_ratio", self.mlp_ratio, _LARGEST_RATIO)
        if not all(isinstance(each, bool) for each in self.patch_prenorm):
            raise ValueError(f"vision patch_prenorm must be booleans, got {self.patch_prenorm}")
        for padding, size in zip(self.patch_paddings, self.patch_sizes, strict=True):
            _check_range("vision patch_paddings", padding, size, whole=True)
        for width, heads, groups in zip(self.widths, self.heads, self.groups, strict=True):
            if width % heads or width % groups:
                raise ValueError(f"width {width} does not divide by {heads} heads, {groups} groups")

    @property
    def stride(self) -> int:
        """Pixels per cell of the last feature map (32 in the released models)."""
        product = 1
        for stride in self.patch_strides:
            product *= stride
        return product


@dataclass(frozen=True)
class TextConfig:
    """The BART encoder-decoder: post-norm, learned positions, one embedding for all ends.

    ``no_repeat_ngram`` is the one of its decoding settings that a checkpoint decides: how many
    tokens in a row may not come twice in an answer, unless a call says otherwise.
    """

    width: int = 768
    encoder_layers: int = 6
    decoder_layers: int = 6
    encoder_heads: int = 12
    decoder_heads: int = 12
    encoder_hidden: int = 3072
    decoder_hidden: int = 3072
    vocab_size: int = 51289
    positions: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    init_std: float = 0.02
    bos: int = 0
    pad: int = 1
    eos: int = 2
    decoder_start: int = 2
    no_repeat_ngram: int = 3

    def __post_init__(self) -> None:
        for name in (
            "width",
            "encoder_layers",
            "decoder_layers",
            "encoder_heads",
            "decoder_heads",
            "encoder_hidden",
            "decoder_hidden",
            "vocab_size",
            "positions",
            "no_repeat_ngram",
        ):
            _check_counts(f"text {name}", getattr(self, name))
        for name in ("dropout", "attention_dropout", "activation_dropout", "init_std"):
            _check_range(f"text {name}", getattr(self, name), 1)
        for name in ("bos", "pad", "eos", "decoder_start"):
            last = self.vocab_size - 1
            _check_range(f"text {name} token id", getattr(self, name), last, whole=True)
        for side in ("encoder", "decoder"):
            heads = getattr(self, f"{side}_heads")
            if self.width % heads:
                raise ValueError(f"{side}: width {self.width} is not divisible by {heads} heads")


@dataclass(frozen=True)
class Florence2Config:
    """A whole model. ``tied_head`` is false for fine-tunes whose output head left the embedding."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    tied_head: bool = True
    image_token: int | None = None

    def __post_init__(self) -> None:
        if self.image_token is not None:
            last = self.text.vocab_size - 1
            _check_range("image_token_id", self.image_token, last, whole=True)

    @classmethod
    def large(cls, positions: int = 4096) -> Florence2Config:
        """The released large model; its 2024-06 revision had 1,024 positions."""
        widths, heads = (256, 512, 1024, 2048), (8, 16, 32, 64)
        text = TextConfig(
            width=1024,
            encoder_layers=12,
            decoder_layers=12,
            encoder_heads=16,
            decoder_heads=16,
            encoder_hidden=4096,
            decoder_hidden=4096,
            positions=positions,
        )
        return cls(VisionConfig(widths=widths, heads=heads, groups=heads), text)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Florence2Config:
        """The model that a ``config.json`` of either layout describes.

        Unknown keys are ignored, as converted files carry left-overs. ``ValueError`` for a file
        of another model, a missing key, or a feature that no released Florence-2 has.
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
            _read_vision(vision), _read_text(text), image_token=values.get("image_token_id")
        )
        projection = vision.get("projection_dim", config.text.width)
        if projection != config.text.width:
            raise ValueError(
                f"vision projection_dim {projection} differs from text d_model {config.text.width}"
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
            "window_size": self.vision.window,
            "mlp_ratio": self.vision.mlp_ratio,
            "projection_dim": self.text.width,
            "visual_temporal_embedding": {
                "type": "COSINE",
                "max_temporal_embeddings": self.vision.temporal_positions,
            },
            "image_pos_embed": {
                "type": "learned_abs_2d",
                "max_pos_embeddings": self.vision.max_grid,
            },
            "image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"],
        }
        text = {"model_type": "florence2_language", **_write_text(self.text)}
        values = self._top_level(vision, text)
        if self.image_token is not None:
            # Microsoft's code has no such token; kept for the way back to transformers' layout.
            values["image_token_id"] = self.image_token
        return values

    def to_transformers(self) -> dict[str, Any]:
        """The ``config.json`` that transformers' own Florence-2 reads."""
        vision = {
            "model_type": "florence_vision",
            "drop_path_rate": self.vision.drop_path_rate,
            **_write_stages(self.vision, "embed_dim"),
            "window_size": self.vision.window,
            "mlp_ratio": self.vision.mlp_ratio,
            "qkv_bias": True,
            "activation_function": "gelu",
            "in_channels": 3,
            "projection_dim": self.text.width,
            "max_temporal_embeddings": self.vision.temporal_positions,
            "max_position_embeddings": self.vision.max_grid,
        }
        text = {"model_type": "bart", "tie_word_embeddings": self.tied_head}
        text |= _write_text(self.text)
        values = self._top_level(vision, text)
        values["tie_word_embeddings"] = self.tied_head
        values["image_token_id"] = self.image_token
        return values

    def _top_level(self, vision: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
        return {
            "architectures": ["Florence2ForConditionalGeneration"],
            "model_type": "florence2",
            "bos_token_id": self.text.bos,
            "eos_token_id": self.text.eos,
            "pad_token_id": self.text.pad,
            "is_encoder_decoder": True,
            "projection_dim": self.text.width,
            "vocab_size": self.text.vocab_size,
            "text_config": text,
            "vision_config": vision,
        }


def _check_range(name: str, value: Any, largest: int, *, whole: bool = False) -> None:
    """Refuse what is not a number from 0 to ``largest``; ``whole`` asks for a whole one."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value <= largest:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} must be {kind} from 0 to {largest}, got {value!r}")


# Far above any model, and low enough that a damaged config cannot fill the memory.
_LARGEST_COUNT = 10_000_000
_LARGEST_DEPTH = 1_000
_LARGEST_RATIO = 100
_MAX_STAGES = 16


def _check_counts(name: str, *values: Any) -> None:
    """Refuse sizes that no model has.

    Depths and layers cost time to build; the temporal table is made here when a file lacks it.
    """
    costly = ("depths", "layers", "temporal_positions")
    largest = _LARGEST_DEPTH if name.endswith(costly) else _LARGEST_COUNT
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
            raise ValueError(f"{name} must be whole numbers from 1 to {largest}, got {value!r}")


# Our stage-wise names beside the names both layouts share (the widths' key differs).
_STAGE_KEYS = {
    "heads": "num_heads",
    "groups": "num_groups",
    "depths": "depths",
    "patch_sizes": "patch_size",
    "patch_strides": "patch_stride",
    "patch_paddings": "patch_padding",
    "patch_prenorm": "patch_prenorm",
}

_TEXT_KEYS = {
    "width": "d_model",
    "encoder_layers": "encoder_layers",
    "decoder_layers": "decoder_layers",
    "encoder_heads": "encoder_attention_heads",
    "decoder_heads": "decoder_attention_heads",
    "encoder_hidden": "encoder_ffn_dim",
    "decoder_hidden": "decoder_ffn_dim",
    "vocab_size": "vocab_size",
    "positions": "max_position_embeddings",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "init_std": "init_std",
    "bos": "bos_token_id",
    "pad": "pad_token_id",
    "eos": "eos_token_id",
    "decoder_start": "decoder_start_token_id",
    "no_repeat_ngram": "no_repeat_ngram_size",
}

_REQUIRED_TEXT_KEYS = ("d_model", "encoder_layers", "decoder_layers", "vocab_size")


def _read_vision(values: Mapping[str, Any]) -> VisionConfig:
    default = VisionConfig()
    widths = values.get("dim_embed") or values.get("embed_dim")
    if widths is None:
        raise ValueError("vision_config holds neither dim_embed nor embed_dim")
    stages = {
        ours: _read_list(theirs, values.get(theirs, getattr(default, ours)))
        for ours, theirs in _STAGE_KEYS.items()
    }
    grid = _read_section("image_pos_embed", values)
    temporal = _read_section("visual_temporal_embedding", values)
    return VisionConfig(
        widths=_read_list("dim_embed", widths),
        **stages,
        window=values.get("window_size", default.window),
        mlp_ratio=values.get("mlp_ratio", default.mlp_ratio),
        drop_path_rate=values.get("drop_path_rate", default.drop_path_rate),
        max_grid=grid.get(
            "max_pos_embeddings", values.get("max_position_embeddings", default.max_grid)
        ),
        temporal_positions=temporal.get(
            "max_temporal_embeddings",
            values.get("max_temporal_embeddings", default.temporal_positions),
        ),
    )


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
            raise ValueError(f"text_config holds no {key}")
    default = TextConfig()
    known = {ours: values.get(theirs) for ours, theirs in _TEXT_KEYS.items()}
    # transformers writes its own default of 0, with which the released weights repeat for ever.
    known["no_repeat_ngram"] = known["no_repeat_ngram"] or None
    return replace(default, **{name: value for name, value in known.items() if value is not None})


def _write_stages(vision: VisionConfig, widths_key: str) -> dict[str, Any]:
    stages = {theirs: list(getattr(vision, ours)) for ours, theirs in _STAGE_KEYS.items()}
    return {widths_key: list(vision.widths), **stages}


def _write_text(text: TextConfig) -> dict[str, Any]:
    return {
        **{theirs: getattr(text, ours) for ours, theirs in _TEXT_KEYS.items()},
        "num_hidden_layers": text.encoder_layers,
        "activation_function": "gelu",
        "scale_embedding": False,
        "is_encoder_decoder": True,
        "forced_bos_token_id": text.bos,
        "forced_eos_token_id": text.eos,
        "num_beams": 3,
        "early_stopping": True,
    }


def _refuse_unknown_features(vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """Every released model has one value of these; another would silently give other answers."""
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
