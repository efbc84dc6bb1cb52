"""Images on which the ranges of the vision encoder are measured, for int8."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from ..processing.image import ImageSource, load_image
from ..processing.processor import Processor


@dataclass(frozen=True)
class Calibration:
    """Images and the processor that prepares them; ``None`` means the bundled ones."""

    processor: Processor
    images: Sequence[ImageSource] | None = None

    def pixels(self) -> NDArray[np.float32]:
        """Normalized pixels ``float32[B, 3, H, W]``. Raises ``ValueError`` without images."""
        return self._pixels

    @cached_property
    def _pixels(self) -> NDArray[np.float32]:
        images = (
            default_calibration_images() if self.images is None else [*map(load_image, self.images)]
        )
        if not images:
            raise ValueError("calibration needs at least one image, got none")
        return np.stack([self.processor.pixels(image) for image in images])

    def key(self) -> str:
        """A hash of the pixels."""
        return hashlib.sha256(self.pixels().tobytes()).hexdigest()[:16]


def default_calibration_images() -> list[Image.Image]:
    """The bundled image, cropped, rotated, brighter and darker."""
    whole = load_image((files("florence2") / "nano" / "demo.png").read_bytes())
    width, height = whole.size
    return [
        whole,
        ImageEnhance.Brightness(ImageOps.mirror(whole)).enhance(1.6),
        ImageEnhance.Brightness(ImageOps.flip(whole)).enhance(0.5),
        whole.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4)),
        ImageEnhance.Contrast(whole.rotate(90)).enhance(1.5),
    ]
