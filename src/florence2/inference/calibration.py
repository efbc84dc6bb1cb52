"""Pictures from which the ranges of a tower's numbers are measured, for 8-bit products."""

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
    """Pictures and the processor that prepares them; ``None`` stands for the bundled ones."""

    processor: Processor
    pictures: Sequence[ImageSource] | None = None

    def pixels(self) -> NDArray[np.float32]:
        """Normalised pixels ``float32[B, 3, H, W]``. Raises ``ValueError`` for no pictures."""
        return self._pixels

    @cached_property
    def _pixels(self) -> NDArray[np.float32]:
        chosen = (
            default_calibration_images()
            if self.pictures is None
            else [*map(load_image, self.pictures)]
        )
        if not chosen:
            raise ValueError("calibration needs at least one picture, got none")
        return np.stack([self.processor.pixels(picture) for picture in chosen])

    def key(self) -> str:
        """What the ranges depend on, in short."""
        return hashlib.sha256(self.pixels().tobytes()).hexdigest()[:16]


def default_calibration_images() -> list[Image.Image]:
    """The bundled picture, whole and in parts, bright and dark, upright and not."""
    whole = load_image((files("florence2") / "nano" / "demo.png").read_bytes())
    width, height = whole.size
    return [
        whole,
        ImageEnhance.Brightness(ImageOps.mirror(whole)).enhance(1.6),
        ImageEnhance.Brightness(ImageOps.flip(whole)).enhance(0.5),
        whole.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4)),
        ImageEnhance.Contrast(whole.rotate(90)).enhance(1.5),
    ]
