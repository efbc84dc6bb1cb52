"""Requests, the options of a call, and images prepared for the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..generation import DecodingOptions
from ..io.deprecation import rename_keys
from ..processing.image import ImageSource, load_image
from ..processing.processor import Processor, Prompt, TextInput
from ..results.postprocess import PostprocessOptions
from ..results.tasks import Task
from ..results.types import ImageSize

DEFAULT_BATCH_SIZE = 8
DEFAULT_MEMORY = 4 * 2**30

Request = tuple[ImageSource, str | Task] | tuple[ImageSource, str | Task, TextInput | None]


class GenerateOptions(TypedDict, total=False):
    """Options of a call: the fields of ``DecodingOptions`` and ``PostprocessOptions``, and more.

    ``batch_size`` requests run at a time, fewer where their KV cache could take more than
    ``memory`` bytes; ``allow_urls`` allows http URLs as image sources.
    """

    beams: int
    max_new_tokens: int
    min_new_tokens: int
    no_repeat_ngram: int
    length_penalty: float
    early_stopping: bool
    temperature: float
    top_k: int
    top_p: float
    seed: int
    constrained: bool
    min_score: float | None
    nms_iou: float | None
    fix_inverted_boxes: bool
    clip: bool
    ascii_labels: bool
    batch_size: int
    memory: int
    allow_urls: bool


@dataclass(frozen=True)
class InferenceConfig:
    """The options of a call: for decoding, for postprocessing, and for the engine."""

    decoding: DecodingOptions
    answers: PostprocessOptions
    batch_size: int
    memory: int
    allow_urls: bool

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> InferenceConfig:
        """From the options of a call. Raises ``ValueError`` for unknown ones and bad values."""
        given = rename_keys(options, {"order_corners": "fix_inverted_boxes"}, "option")
        batch_size = given.pop("batch_size", DEFAULT_BATCH_SIZE)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        memory = given.pop("memory", DEFAULT_MEMORY)
        allow_urls = given.pop("allow_urls", False)
        decoding = {name: given.pop(name) for name in _names(DecodingOptions) if name in given}
        answers = {name: given.pop(name) for name in _names(PostprocessOptions) if name in given}
        if given:
            known = ", ".join(GenerateOptions.__annotations__)
            raise ValueError(f"unknown options {', '.join(given)}; there are {known}")
        return cls(
            DecodingOptions(**decoding),
            PostprocessOptions(**answers),
            batch_size,
            memory,
            allow_urls,
        )


@dataclass(frozen=True)
class LoadedImage:
    """An image as the model reads it: its source, ``(width, height)``, and pixels."""

    source: ImageSource
    size: ImageSize
    pixels: NDArray[np.float32]


@dataclass(frozen=True)
class PreparedRequest:
    """A request whose image is read and whose prompt is tokenized."""

    image: LoadedImage
    prompt: Prompt


def read_image(image: ImageSource, processor: Processor, settings: InferenceConfig) -> LoadedImage:
    """Read an image. Raises ``ValueError`` or ``OSError`` when it cannot be read."""
    loaded = load_image(image, allow_urls=settings.allow_urls)
    return LoadedImage(image, loaded.size, processor.pixels(loaded))


def image_key(image: ImageSource) -> object:
    """A key that is equal for the same image: paths by name, everything else by identity."""
    return str(image) if isinstance(image, str | Path) else id(image)


def source_name(image: object) -> str:
    """The path or URL of an image source, or its type."""
    return str(image) if isinstance(image, str | Path) else f"<{type(image).__name__}>"


def _names(options: type[DecodingOptions] | type[PostprocessOptions]) -> list[str]:
    return [each.name for each in fields(options)]
