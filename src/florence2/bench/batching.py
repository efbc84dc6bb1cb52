"""What answering together gains: mixed requests in a batch, and many prompts about one picture."""

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
from .timing import seconds_of

# Answers of very different lengths.
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
class Together:
    """Seconds for the same requests in one batch and one by one, and whether all answers agree."""

    requests: int
    batch: float
    alone: float
    same: bool

    @property
    def gain(self) -> float:
        """How many times as fast the batch is."""
        return self.alone / self.batch


def mixed_batch(model: Florence2, picture: bytes, count: int, tokens: int) -> Together:
    """``count`` pictures, each with one of several tasks in turn."""
    pictures = _variants(picture, count)
    requests = [(each, MIXED[number % len(MIXED)]) for number, each in enumerate(pictures)]
    return _compare(model, requests, tokens)


def eight_prompts(model: Florence2, picture: bytes, tokens: int) -> tuple[float, float]:
    """Seconds for eight prompts about one picture together, and the mean of one alone."""
    requests = [(picture, task) for task in PROMPTS]
    together = seconds_of(lambda: model.batch(requests, max_new_tokens=tokens))
    alone = sum(
        seconds_of(lambda task=task: model(picture, task, max_new_tokens=tokens))  # type: ignore[misc]
        for task in PROMPTS
    )
    return together, alone / len(PROMPTS)


def _compare(model: Florence2, requests: Sequence[Request], tokens: int) -> Together:
    began = time.perf_counter()
    batch = model.batch(requests, max_new_tokens=tokens)
    between = time.perf_counter()
    alone = [model(*request, max_new_tokens=tokens) for request in requests]
    ended = time.perf_counter()
    same = all(
        not isinstance(one, Failure) and one.token_ids == other.token_ids
        for one, other in zip(batch, alone, strict=True)
    )
    return Together(len(requests), between - began, ended - between, same)


def _variants(picture: bytes, count: int) -> list[bytes]:
    """The picture in so many lights, so that every one has to be read and encoded by itself."""
    pixels = np.asarray(load_image(picture), np.float32)
    variants = []
    for light in np.linspace(0.6, 1.0, count):
        file = io.BytesIO()
        Image.fromarray((pixels * light).astype(np.uint8)).save(file, "JPEG", quality=90)
        variants.append(file.getvalue())
    return variants
