"""The gain of batching: mixed requests in a batch, and many prompts on one image."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..inference.predictor import Florence2
from ..inference.prepared import Request
from ..processing.image import load_image
from ..results.types import Failure
from .timing import time_call

# Tasks with outputs of very different lengths.
MIXED = ("caption", "od", "more-detailed-caption", "ocr", "region-proposal", "detailed-caption")
PROMPTS = (
    "caption",
    "detailed-caption",
    "more-detailed-caption",
    "od",
    "dense-region-caption",
    "region-proposal",
    "ocr",
    "ocr-with-region",
)


@dataclass(frozen=True)
class BatchTiming:
    """Seconds of the same requests in one batch and one by one, and whether all outputs agree."""

    requests: int
    batch: float
    single: float
    same: bool

    @property
    def gain(self) -> float:
        """How many times as fast the batch is."""
        return self.single / self.batch


def time_mixed_batch(model: Florence2, image: bytes, count: int, tokens: int) -> BatchTiming:
    """Time ``count`` images, each with one of several tasks in turn."""
    images = _variants(image, count)
    requests = [(each, MIXED[number % len(MIXED)]) for number, each in enumerate(images)]
    return _compare(model, requests, tokens)


def time_eight_prompts(model: Florence2, image: bytes, tokens: int) -> tuple[float, float]:
    """Seconds of eight prompts on one image together, and the mean of one alone."""
    requests = [(image, task) for task in PROMPTS]
    batch = time_call(lambda: model.batch(requests, max_new_tokens=tokens))
    single = sum(
        time_call(lambda task=task: model(image, task, max_new_tokens=tokens))  # type: ignore[misc]
        for task in PROMPTS
    )
    return batch, single / len(PROMPTS)


def _compare(model: Florence2, requests: Sequence[Request], tokens: int) -> BatchTiming:
    start = time.perf_counter()
    batch = model.batch(requests, max_new_tokens=tokens)
    middle = time.perf_counter()
    single = [model(*request, max_new_tokens=tokens) for request in requests]
    end = time.perf_counter()
    same = all(
        not isinstance(one, Failure) and one.token_ids == other.token_ids
        for one, other in zip(batch, single, strict=True)
    )
    return BatchTiming(len(requests), middle - start, end - middle, same)


def _variants(image: bytes, count: int) -> list[bytes]:
    """The image at ``count`` brightnesses, so that each has to be decoded and encoded."""
    pixels = np.asarray(load_image(image), np.float32)
    variants = []
    for brightness in np.linspace(0.6, 1.0, count):
        file = io.BytesIO()
        Image.fromarray((pixels * brightness).astype(np.uint8)).save(file, "JPEG", quality=90)
        variants.append(file.getvalue())
    return variants
