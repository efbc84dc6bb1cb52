"""Operations and bytes of the stages of a model, computed from its config.

A multiplication and the addition after it are two operations. Norms, activations and additions are
not counted: memory limits them, not arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Florence2Config, TextConfig, VisionConfig

_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0}


@dataclass(frozen=True)
class StageCosts:
    """Operations of the vision encoder, of the encoder with the cross-attention keys and values for
    one prompt, and of one token; the bytes that one token reads, by precision."""

    vision_flops: float
    encoder_flops: float
    token_flops: float
    token_bytes: dict[str, float]


def count_costs(config: Florence2Config, pixels: tuple[int, int], prompt: int) -> StageCosts:
    """The costs for an image of ``pixels`` (height, width) and a prompt of ``prompt`` tokens."""
    vision, text = config.vision, config.text
    length = (pixels[0] // vision.stride) * (pixels[1] // vision.stride) + 1 + prompt
    # Every value of the matrices, the head, and the cross keys and values is read for one product.
    values = token_products(text, length)
    return StageCosts(
        vision_flops=2 * sum(vision_products(vision, pixels).values()),
        encoder_flops=2 * (encoder_products(text, length) + cross_products(text, length)),
        token_flops=2 * values,
        token_bytes={name: size * values for name, size in _BYTES.items()},
    )


def vision_products(vision: VisionConfig, pixels: tuple[int, int]) -> dict[str, float]:
    """Multiplications of the vision encoder for one image, by kind."""
    found = dict.fromkeys(("linear", "patches", "windows", "channels", "depthwise"), 0.0)
    height, width = pixels
    in_channels = 3
    for stage, (dim, depth) in enumerate(zip(vision.dim_embed, vision.depths, strict=True)):
        height //= vision.patch_stride[stage]
        width //= vision.patch_stride[stage]
        cells = height * width
        window = vision.window_size
        padded = (height + -height % window) * (width + -width % window)
        found["patches"] += cells * vision.patch_size[stage] ** 2 * in_channels * dim
        hidden = int(dim * vision.mlp_ratio)
        feed_forward = 2 * cells * dim * hidden
        found["linear"] += depth * (4 * dim**2 * (padded + cells) + 2 * feed_forward)
        found["windows"] += depth * 2 * padded * window**2 * dim
        found["channels"] += depth * 2 * cells * dim * (dim // vision.num_groups[stage])
        found["depthwise"] += depth * 4 * cells * 9 * dim
        in_channels = dim
    return found


def encoder_products(text: TextConfig, length: int) -> float:
    """Multiplications of the encoder over ``length`` positions."""
    layer = length * (4 * text.d_model**2 + 2 * text.d_model * text.encoder_ffn_dim)
    return text.encoder_layers * (layer + 2 * length**2 * text.d_model)


def cross_products(text: TextConfig, length: int) -> float:
    """Multiplications for the cross-attention keys and values of the decoder."""
    return text.decoder_layers * 2 * length * text.d_model**2


def token_products(text: TextConfig, length: int) -> float:
    """Multiplications for one token of one sequence, without attention to its own past."""
    layer = (
        6 * text.d_model**2 + 2 * text.d_model * text.decoder_ffn_dim + 2 * length * text.d_model
    )
    return text.decoder_layers * layer + text.d_model * text.vocab_size
