"""Decoding: from what the encoder saw to token ids with their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..runtime import Runtime
from .decode_batch import DecodeBatch
from .decoding_options import DecodingOptions, Generated
from .engine import Engine, GenerationRequest
from .logits_processors import Rule
from .static_batch import CudaGraphBatch

__all__ = ["DecodingOptions", "Engine", "Generated", "GenerationRequest", "Rule", "generate"]


def generate(
    runtime: Runtime, prompted: Any, options: DecodingOptions, rules: Sequence[Rule | None] = ()
) -> list[Generated]:
    """One answer for every prompt in ``prompted``, in order.

    Lengths are clamped to the positions of the checkpoint, so no answer can overrun its table.
    ``rules`` say for every prompt what its answer must follow.
    """
    count = len(prompted)
    slots = None if any(rules) else CudaGraphBatch.of(runtime, options, count)
    lane = slots or DecodeBatch(runtime)
    answers = lane.begin(prompted, options, range(count), dict(enumerate(rules)))
    while lane.prompts:
        for prompt, outcome in lane.step().items():
            if isinstance(outcome, Exception):
                raise outcome
            answers[prompt] = outcome
    return [answers[prompt] for prompt in range(count)]
