"""What a model returns: predictions and features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..generation import Generated
from ..processing.image import ImageSource, load_image
from ..processing.processor import Processor
from ..results.draw import draw_answer
from ..results.types import Result
from .prepared import InferenceConfig, PreparedRequest, source_name


@dataclass(frozen=True)
class Prediction(Result):
    """A result together with its image."""

    source: str = ""
    image: ImageSource | None = field(default=None, repr=False, compare=False)
    allow_urls: bool = field(default=False, repr=False, compare=False)

    def draw(self) -> Image.Image:
        """The image with the prediction drawn on it, as a new image."""
        assert self.image is not None
        return draw_answer(load_image(self.image, allow_urls=self.allow_urls), self.answer)

    def save(self, path: str | Path) -> None:
        """Write the annotated image; the suffix of ``path`` selects the format."""
        self.draw().save(path)


@dataclass(frozen=True)
class Features:
    """Features of an image.

    ``image_tokens`` is ``float[N, D]``; ``maps`` are the feature maps ``float[C, H, W]`` of the
    stages of the vision encoder.
    """

    image_tokens: Tensor
    maps: tuple[Tensor, ...]


def make_prediction(
    processor: Processor, request: PreparedRequest, output: Generated, config: InferenceConfig
) -> Prediction:
    """Parse what was generated for a request."""
    image = request.image
    result = processor.read(
        output.token_ids,
        request.prompt,
        image.size,
        token_logprobs=output.token_logprobs,
        truncated=output.truncated,
        options=config.answers,
    )
    return Prediction(
        **vars(result),
        source=source_name(image.source),
        image=image.source,
        allow_urls=config.allow_urls,
    )
