"""Decoding: from what the encoder saw to token ids with their log-probabilities."""

from __future__ import annotations

from ..model import CrossAttentionCache
from ..runtime import TorchRuntime
from .beam import decode_beams
from .options import DecodingOptions, Generated
from .single import decode_single

__all__ = ["DecodingOptions", "Generated", "generate"]


def generate(
    runtime: TorchRuntime, cross: CrossAttentionCache, options: DecodingOptions
) -> list[Generated]:
    """One answer for every prompt in ``cross``, in order.

    Lengths are clamped to the positions of the checkpoint, so no answer can overrun its table.
    """
    limit = min(options.max_new_tokens, runtime.positions)
    decode = decode_single if options.width == 1 else decode_beams
    return decode(runtime, cross, options, limit)
