"""The stages of one runtime of this package, each a call that runs it once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ..generation import DecodingOptions, generate
from ..inference.predictor import Florence2
from .interleaved import RepeatedCall, Stages
from .stage_names import ENCODER, IMAGE, TOKEN, TOKEN_GREEDY, VISION, tokens_stage

CACHED_TOKENS = 64


@dataclass(frozen=True)
class BenchInput:
    """One request that every candidate is timed on.

    ``image`` has the bytes of an image file; ``tokens`` are the exact lengths of the outputs.
    """

    image: bytes
    task: str
    tokens: Sequence[int]

    def load(self, model: Florence2) -> tuple[Image.Image, Sequence[int]]:
        """The decoded image and the ids of the prompt."""
        from ..processing.image import load_image
        from ..results.tasks import find_task

        loaded = load_image(self.image)
        prompt = model.processor.prompt(find_task(self.task), None, loaded.size)
        return loaded, prompt.token_ids


def florence2_stages(model: Florence2, bench_input: BenchInput) -> Stages:
    """The stages by name: image, vision encoder, encoder, one token of one beam and of three, and
    outputs of exactly ``bench_input.tokens`` tokens from pixels to ids."""
    from ..processing.image import load_image

    runtime, processor = model.runtime, model.processor
    loaded, token_ids = bench_input.load(model)
    prompts = [token_ids]
    pixels_1CHW = processor.pixels(loaded)[None]
    image_1ND = runtime.encode_images(pixels_1CHW)
    prompted = runtime.encode_prompts(image_1ND, prompts)

    def predict(length: int) -> Any:
        encoded = runtime.encode_images(pixels_1CHW)
        options = DecodingOptions(max_new_tokens=length, min_new_tokens=length)
        return generate(runtime, runtime.encode_prompts(encoded, prompts), options)

    stages: dict[str, Any] = {
        IMAGE: lambda: processor.pixels(load_image(bench_input.image)),
        VISION: lambda: runtime.encode_images(pixels_1CHW),
        ENCODER: lambda: runtime.encode_prompts(image_1ND, prompts),
        TOKEN_GREEDY: RepeatedCall(_make_step(model, prompted, 1)),
        TOKEN: RepeatedCall(_make_step(model, prompted, 3)),
    }
    for length in bench_input.tokens:
        stages[tokens_stage(length)] = lambda length=length: predict(length)
    return stages


def _make_step(model: Florence2, prompted: Any, beams: int) -> Any:
    """A decoder step after ``CACHED_TOKENS`` tokens.

    The cache grows by one token with each call, which costs little; decoding restarts when the
    model has no more positions.
    """
    runtime = model.runtime
    text = model.config.text
    first = torch.tensor([[text.decoder_start_token_id, text.bos_token_id]], device=runtime.device)
    newest = torch.full((beams, 1), text.bos_token_id, device=runtime.device)
    reversed_beams = torch.arange(beams - 1, -1, -1, device=runtime.device)
    cached = min(CACHED_TOKENS, text.max_position_embeddings // 2)

    def start() -> Any:
        decoding = runtime.start(prompted, text.max_position_embeddings)
        runtime.step(decoding, first)
        decoding.reorder(torch.zeros(beams, dtype=torch.long, device=runtime.device))
        for _ in range(cached):
            runtime.step(decoding, newest)
        return decoding

    def steps() -> Iterator[None]:
        while True:
            decoding = start()
            for _ in range(text.max_position_embeddings - cached - len(first[0])):
                decoding.reorder(reversed_beams)
                runtime.step(decoding, newest)
                yield

    endless = steps()
    next(endless)
    return lambda: next(endless)
