"""Decoding: from encoded prompts to token ids with their log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from ..io.deprecation import renamed_attributes
from ..runtime.protocol import PromptsT, Runtime, StateT
from .decode_batch import DecodeBatch
from .decoding_options import DecodingOptions, Generated
from .engine import Engine, GenerationRequest
from .logits_processors import LogitsProcessor
from .static_batch import CudaGraphBatch

__all__ = [
    "DecodingOptions",
    "Engine",
    "Generated",
    "GenerationRequest",
    "LogitsProcessor",
    "generate",
]

__getattr__ = renamed_attributes(__name__, {"Rule": "LogitsProcessor"})


def generate(
    runtime: Runtime[PromptsT, StateT],
    prompts: PromptsT,
    options: DecodingOptions,
    processors: Sequence[LogitsProcessor | None] = (),
) -> list[Generated]:
    """One output per encoded prompt, in order.

    Lengths are clamped to the positions of the checkpoint. ``processors`` are the logits processor
    of every prompt, ``None`` for a prompt without one.
    """
    count = len(prompts)
    static = None if any(processors) else CudaGraphBatch.create(runtime, options, count)
    batch = static or DecodeBatch(runtime)
    outputs = batch.add(prompts, options, range(count), dict(enumerate(processors)))
    while batch.request_ids:
        for index, outcome in batch.step().items():
            if isinstance(outcome, Exception):
                raise outcome
            outputs[index] = outcome
    return [outputs[index] for index in range(count)]
