"""The stages of one of our runtimes, each a call that does it once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..generation import DecodingOptions, generate
from ..inference.predictor import Florence2
from .interleaved import Several, Stages

PAST = 64


def stages_of(model: Florence2, image: bytes, task: str, tokens: Sequence[int]) -> Stages:
    """The stages by name: ``image``, ``tower``, ``encoder``, ``token`` of one beam and of three,
    and answers of exactly so many ``tokens`` from image to ids."""
    from ..processing.image import load_image
    from ..results.tasks import find_task

    runtime, processor = model.runtime, model.processor
    loaded = load_image(image)
    prompt = [processor.prompt(find_task(task), None, loaded.size).token_ids]
    pixels_1CHW = processor.pixels(loaded)[None]
    image_1ND = runtime.encode_images(pixels_1CHW)
    prompted = runtime.encode_prompts(image_1ND, prompt)

    def answer(length: int) -> Any:
        encoded = runtime.encode_images(pixels_1CHW)
        options = DecodingOptions(max_new_tokens=length, min_new_tokens=length)
        return generate(runtime, runtime.encode_prompts(encoded, prompt), options)

    stages: dict[str, Any] = {
        "image": lambda: processor.pixels(load_image(image)),
        "tower": lambda: runtime.encode_images(pixels_1CHW),
        "encoder": lambda: runtime.encode_prompts(image_1ND, prompt),
        "token, 1 beam": Several(_one_step(model, prompted, 1)),
        "token, 3 beams": Several(_one_step(model, prompted, 3)),
    }
    for length in tokens:
        stages[f"{length} tokens, 3 beams"] = lambda length=length: answer(length)
    return stages


def _one_step(model: Florence2, prompted: Any, beams: int) -> Any:
    """A step after ``PAST`` tokens; the past grows by one token a call, which is little, and is
    begun anew where the model has no more positions."""
    runtime = model.runtime
    text = model.config.text
    first = torch.tensor([[text.decoder_start_token_id, text.bos_token_id]], device=runtime.device)
    newest = torch.full((beams, 1), text.bos_token_id, device=runtime.device)
    swapped = torch.arange(beams - 1, -1, -1, device=runtime.device)
    past = min(PAST, text.max_position_embeddings // 2)

    def begin() -> Any:
        decoding = runtime.start(prompted, text.max_position_embeddings)
        runtime.step(decoding, first)
        decoding.reorder(torch.zeros(beams, dtype=torch.long, device=runtime.device))
        for _ in range(past):
            runtime.step(decoding, newest)
        return decoding

    def steps() -> Iterator[None]:
        while True:
            decoding = begin()
            for _ in range(text.max_position_embeddings - past - len(first[0])):
                decoding.reorder(swapped)
                runtime.step(decoding, newest)
                yield

    endless = steps()
    next(endless)
    return lambda: next(endless)
