"""What a camera and its files do to a whole picture: light, blur, grain, compression."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_GRAIN_SIDE = 1024


def degrade_image(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """The picture as mild random effects leave it; at ``strength`` 0 it is returned as it is.

    Every effect is left out in part of the pictures. None moves a pixel.
    """
    if strength <= 0:
        return image
    if rng.random() < 0.6:
        image = _adjust_light(image, rng, strength)
    if rng.random() < 0.3:
        deviation = 0.35 + rng.uniform(0, 0.6) * strength
        image = cv2.GaussianBlur(image, (0, 0), deviation)
    if rng.random() < 0.4:
        image = _add_grain(image, rng, rng.uniform(1, 9) * strength)
    if rng.random() < 0.5:
        image = _compress(image, int(100 - rng.uniform(8, 60) * strength))
    return image


def _adjust_light(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Other brightness, contrast and warmth."""
    contrast = 1 + rng.uniform(-0.18, 0.18) * strength
    brightness = rng.uniform(-22, 22) * strength + 128 * (1 - contrast)
    warmth = rng.uniform(-9, 9) * strength
    levels = np.arange(256)[:, None] * contrast + brightness + np.array([warmth, 0, -warmth])
    table = np.clip(levels, 0, 255).astype(np.uint8)[None]
    return cv2.LUT(image, table)


def _add_grain(image: Pixels, rng: np.random.Generator, deviation: float) -> Pixels:
    height, width = image.shape[:2]
    grain = _grain(max(_GRAIN_SIDE, height, width))
    x = int(rng.integers(grain.shape[1] - width + 1))
    y = int(rng.integers(grain.shape[0] - height + 1))
    window = np.ascontiguousarray(grain[y : y + height, x : x + width])
    # The stored grain is 128 plus 32 standard deviations' worth; the middle is taken off again.
    share = deviation / 32
    return cv2.addWeighted(image, 1.0, window, share, -128 * share)


@lru_cache(maxsize=2)
def _grain(side: int) -> Pixels:
    grain = np.random.default_rng(side).normal(128, 32, (side, side, 3))
    return np.clip(grain, 0, 255).astype(np.uint8)


def _compress(image: Pixels, quality: int) -> Pixels:
    blue_first = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", blue_first, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
