"""What the stages of a model have to do: operations and bytes, from its config alone.

A multiplication and the addition after it are two operations. Norms, activations and additions are
left out: they are bytes, not arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Florence2Config, TextConfig, VisionConfig

_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0}


@dataclass(frozen=True)
class Work:
    """Operations of the tower, of the encoder with the cross keys and values for one prompt, and
    of one token; the bytes that one token reads at least, at each precision."""

    tower: float
    encoder: float
    token: float
    token_bytes: dict[str, float]


def work_of(config: Florence2Config, pixels: tuple[int, int], prompt: int) -> Work:
    """The work for an image of ``pixels`` (height, width) and a prompt of so many tokens."""
    vision, text = config.vision, config.text
    seen = (pixels[0] // vision.stride) * (pixels[1] // vision.stride) + 1 + prompt
    # Every number of the matrices, the head, and the cross keys and values is read for one product.
    numbers = token_products(text, seen)
    return Work(
        tower=2 * sum(tower_products(vision, pixels).values()),
        encoder=2 * (encoder_products(text, seen) + cross_products(text, seen)),
        token=2 * numbers,
        token_bytes={name: size * numbers for name, size in _BYTES.items()},
    )


def tower_products(vision: VisionConfig, pixels: tuple[int, int]) -> dict[str, float]:
    """Multiplications of the tower for one image, by kind."""
    found = dict.fromkeys(("linear", "patches", "windows", "channels", "depthwise"), 0.0)
    height, width = pixels
    incoming = 3
    for stage, (wide, depth) in enumerate(zip(vision.dim_embed, vision.depths, strict=True)):
        height //= vision.patch_stride[stage]
        width //= vision.patch_stride[stage]
        cells = height * width
        window = vision.window_size
        padded = (height + -height % window) * (width + -width % window)
        found["patches"] += cells * vision.patch_size[stage] ** 2 * incoming * wide
        hidden = int(wide * vision.mlp_ratio)
        feed_forward = 2 * cells * wide * hidden
        found["linear"] += depth * (4 * wide**2 * (padded + cells) + 2 * feed_forward)
        found["windows"] += depth * 2 * padded * window**2 * wide
        found["channels"] += depth * 2 * cells * wide * (wide // vision.num_groups[stage])
        found["depthwise"] += depth * 4 * cells * 9 * wide
        incoming = wide
    return found


def encoder_products(text: TextConfig, seen: int) -> float:
    """Multiplications of the encoder over ``seen`` positions."""
    layer = seen * (4 * text.d_model**2 + 2 * text.d_model * text.encoder_ffn_dim)
    return text.encoder_layers * (layer + 2 * seen**2 * text.d_model)


def cross_products(text: TextConfig, seen: int) -> float:
    """Multiplications for the keys and values that the decoder attends to."""
    return text.decoder_layers * 2 * seen * text.d_model**2


def token_products(text: TextConfig, seen: int) -> float:
    """Multiplications for one token of one row, its own past left out."""
    layer = 6 * text.d_model**2 + 2 * text.d_model * text.decoder_ffn_dim + 2 * seen * text.d_model
    return text.decoder_layers * layer + text.d_model * text.vocab_size
