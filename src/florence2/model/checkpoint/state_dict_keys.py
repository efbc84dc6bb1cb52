"""The names of a model's tensors: ours, Microsoft's, transformers'.

One table, read in both directions. Microsoft's layout and transformers' hold the same tensors;
only the image projection is transposed between them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Layout = Literal["microsoft", "transformers"]

LAYOUTS: tuple[Layout, ...] = ("microsoft", "transformers")

# (ours, Microsoft's, transformers') inside one half of a DaViT block; {a} is the attention's name.
_BLOCK = (
    ("cpe1", "conv1.fn.dw", "conv1"),
    ("attention_norm", "{a}.norm", "norm1"),
    ("attention.qkv", "{a}.fn.qkv", "{a}.qkv"),
    ("attention.out", "{a}.fn.proj", "{a}.proj"),
    ("cpe2", "conv2.fn.dw", "conv2"),
    ("feed_forward_norm", "ffn.norm", "norm2"),
    ("feed_forward.up", "ffn.fn.net.fc1", "ffn.fc1"),
    ("feed_forward.down", "ffn.fn.net.fc2", "ffn.fc2"),
)
_PROJECTOR = (
    (
        "projector.column_embeddings",
        "image_pos_embed.column_embeddings",
        "image_position_embed.column_embeddings",
    ),
    (
        "projector.row_embeddings",
        "image_pos_embed.row_embeddings",
        "image_position_embed.row_embeddings",
    ),
    (
        "projector.temporal_TC",
        "visual_temporal_embed.pos_idx_to_embed",
        "visual_temporal_embed.pos_idx_to_embed",
    ),
    ("projector.projection.weight", "image_projection", "image_projection.weight"),
    ("projector.norm", "image_proj_norm", "image_proj_norm"),
)
# (ours, BART's) inside a layer of the encoder or decoder.
_TEXT_LAYER = (
    ("self_attention_norm", "self_attn_layer_norm"),
    ("cross_attention_norm", "encoder_attn_layer_norm"),
    ("feed_forward_norm", "final_layer_norm"),
    ("self_attention.query", "self_attn.q_proj"),
    ("self_attention.key", "self_attn.k_proj"),
    ("self_attention.value", "self_attn.v_proj"),
    ("self_attention.out", "self_attn.out_proj"),
    ("cross_attention.query", "encoder_attn.q_proj"),
    ("cross_attention.key", "encoder_attn.k_proj"),
    ("cross_attention.value", "encoder_attn.v_proj"),
    ("cross_attention.out", "encoder_attn.out_proj"),
    ("feed_forward.up", "fc1"),
    ("feed_forward.down", "fc2"),
)
_TEXT_ENDS = (("positions", "embed_positions"), ("norm", "layernorm_embedding"))

EMBEDDING = "embedding.weight"
HEAD = "head.weight"
LOGITS_BIAS = "logits_bias_V"
TEMPORAL = "projector.temporal_TC"
PROJECTION = "projector.projection.weight"

_TEXT_PREFIX = {"microsoft": "language_model.model.", "transformers": "model.language_model."}
_HEAD_NAME = {"microsoft": "language_model.lm_head.weight", "transformers": "lm_head.weight"}
_VISION_NAME = re.compile(r"vision_encoder\.stages\.(\d+)\.(?:embed|blocks\.(\d+))\.(.+)")
_TEXT_NAME = re.compile(r"(encoder|decoder)\.(?:layers\.(\d+)\.)?(.+)")


# Submodules by their names of release 0.1, which its training checkpoints and adapters have.
_RENAMED = {
    "tower": "vision_encoder",
    "attention_position": "cpe1",
    "feed_forward_position": "cpe2",
}


def current_key(key: str) -> str:
    """A dotted state-dict key of release 0.1 with the names that submodules have now."""
    return ".".join(_RENAMED.get(part, part) for part in key.split("."))


def layout_name(ours: str, layout: Layout) -> str:
    """The name of our tensor ``ours`` in a layout; ``ValueError`` if the layout lacks it."""
    if ours == EMBEDDING:
        return _TEXT_PREFIX[layout] + "shared.weight"
    if ours == HEAD:
        return _HEAD_NAME[layout]
    if ours == LOGITS_BIAS:
        if layout == "transformers":
            raise ValueError("transformers' layout has no place for a logits bias")
        return "language_model.final_logits_bias"
    if ours.startswith("projector."):
        prefix = "" if layout == "microsoft" else "model.multi_modal_projector."
        return prefix + _replaced(ours, [(row[0], _column(row, layout)) for row in _PROJECTOR])
    if found := _VISION_NAME.fullmatch(ours):
        return _vision_name(found[1], found[2], found[3], layout)
    if found := _TEXT_NAME.fullmatch(ours):
        return _TEXT_PREFIX[layout] + _bart_name(found[1], found[2], found[3])
    raise ValueError(f"no layout has a tensor {ours!r}")


def tied_names(layout: Layout) -> tuple[str, ...]:
    """The names under which a layout may hold the embedding; any one of them is enough.

    The last is the output head, which some fine-tunes hold apart with other values.
    """
    prefix = _TEXT_PREFIX[layout]
    inside = ("shared", "encoder.embed_tokens", "decoder.embed_tokens")
    return (*(f"{prefix}{name}.weight" for name in inside), _HEAD_NAME[layout])


def detect_layout(names: Iterable[str]) -> Layout | None:
    """The layout that tensor names belong to, or ``None`` for those of another model."""
    names = list(names)
    if any(name.startswith("model.vision_tower.") for name in names):
        return "transformers"
    if any(name.startswith("vision_tower.") for name in names):
        return "microsoft"
    return None


def bart_name(ours: str) -> str | None:
    """The name of our tensor in a BART checkpoint, or ``None`` if it has none."""
    if ours == EMBEDDING:
        return "model.shared.weight"
    found = _TEXT_NAME.fullmatch(ours)
    return "model." + _bart_name(found[1], found[2], found[3]) if found else None


def _vision_name(stage: str, block: str | None, rest: str, layout: Layout) -> str:
    prefix = "vision_tower." if layout == "microsoft" else "model.vision_tower."
    if block is None:
        # Microsoft calls the convolution of the patch embedding its projection.
        part = rest.replace("conv.", "proj.") if layout == "microsoft" else rest
        return f"{prefix}convs.{stage}.{part}"
    pair, is_channel = divmod(int(block), 2)
    kind = "channel" if is_channel else "spatial"
    attention = "channel_attn" if is_channel else "window_attn"
    rows = [(row[0], _column(row, layout).format(a=attention)) for row in _BLOCK]
    return f"{prefix}blocks.{stage}.{pair}.{kind}_block.{_replaced(rest, rows)}"


def _bart_name(side: str, layer: str | None, rest: str) -> str:
    if layer is None:
        return f"{side}.{_replaced(rest, _TEXT_ENDS)}"
    return f"{side}.layers.{layer}.{_replaced(rest, _TEXT_LAYER)}"


def _column(row: tuple[str, str, str], layout: Layout) -> str:
    return row[1] if layout == "microsoft" else row[2]


def _replaced(name: str, rows: Iterable[tuple[str, str]]) -> str:
    for ours, theirs in rows:
        if name == ours or name.startswith(ours + "."):
            return theirs + name[len(ours) :]
    raise ValueError(f"no layout has a tensor {name!r}")
