"""Color words: their values, the color of a sprite, and recoloring."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]
Pixels = NDArray[np.uint8]

PALETTE: dict[str, Rgb] = {
    "red": (214, 42, 40),
    "orange": (242, 138, 32),
    "yellow": (247, 213, 45),
    "green": (58, 158, 70),
    "blue": (45, 98, 208),
    "purple": (134, 70, 178),
    "pink": (243, 128, 178),
    "brown": (132, 84, 48),
    "black": (28, 28, 32),
    "white": (246, 246, 246),
    "gray": (132, 134, 138),
}
"""The colors of synthetic images by their words."""

_NAMES = tuple(PALETTE)
_NO_WORD = len(_NAMES)
_OPAQUE = 128
_DOMINANT_SHARE = 0.6
_HUE_SHARE = 0.45
_HUE_NAMES = _NAMES[:7]


def luminance(color: Rgb) -> float:
    """The luminance of a color, from 0 to 255 (Rec. 601 weights)."""
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue


def dominant_color(image: Pixels) -> str | None:
    """The word for the color of most of a sprite ``uint8[h, w, 4]``, or ``None``."""
    step = max(1, max(image.shape[:2]) // 48)
    small = image[::step, ::step]
    names = _name_pixels(small[..., :3])[small[..., 3] >= _OPAQUE]
    if not len(names):
        return None
    counts = np.bincount(names, minlength=_NO_WORD + 1)[:_NO_WORD]
    best = int(counts.argmax())
    # A red car has black wheels and transparent windows: its only vivid color counts.
    vivid = int(counts[: len(_HUE_NAMES)].sum())
    only_hue = best < len(_HUE_NAMES) and counts[best] >= max(_HUE_SHARE * len(names), 0.75 * vivid)
    return _NAMES[best] if only_hue or counts[best] >= _DOMINANT_SHARE * len(names) else None


def recolor(image: Pixels, name: str) -> Pixels | None:
    """The sprite in another color, or ``None`` if the result does not clearly have it.

    Only pixels of the sprite's own main hue change, so the wheels of a car stay black.
    """
    hsv = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2HSV).astype(np.int16)
    vivid = (hsv[..., 1] > 70) & (hsv[..., 2] > 60) & (image[..., 3] >= _OPAQUE)
    if not vivid.any():
        return None
    main = int(np.bincount(hsv[..., 0][vivid] // 6, minlength=30).argmax()) * 6 + 3
    distance = np.abs((hsv[..., 0] - main + 90) % 180 - 90)
    chosen = (distance <= 18) & (hsv[..., 1] > 40)
    target = cv2.cvtColor(np.array([[PALETTE[name]]], np.uint8), cv2.COLOR_RGB2HSV)[0, 0].astype(
        np.int16
    )
    middle = np.median(hsv[chosen], axis=0)
    hsv[..., 0][chosen] = target[0] + (hsv[..., 0][chosen] - main) // 3
    for channel in (1, 2):
        values = hsv[..., channel][chosen]
        hsv[..., channel][chosen] = target[channel] + (values - middle[channel]) * 0.7
    hsv[..., 0] %= 180
    hsv_bytes = np.clip(hsv, 0, 255).astype(np.uint8)
    recolored = np.dstack([cv2.cvtColor(hsv_bytes, cv2.COLOR_HSV2RGB), image[..., 3]])
    return recolored if dominant_color(recolored) == name else None


def _name_pixels(rgb: Pixels) -> NDArray[np.intp]:
    """The index into ``PALETTE`` of each pixel's color word, or ``_NO_WORD``."""
    hsv = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2HSV)
    hue, saturation, value = (hsv[..., channel].astype(np.int16) for channel in range(3))
    bounds = np.array([9, 20, 34, 84, 128, 150, 170])
    words = [*_HUE_NAMES, "red"]
    named = np.array([_NAMES.index(word) for word in words])[np.digitize(hue, bounds)]
    pinkish = ((hue < 11) | (hue >= 160)) & (saturation < 140) & (value > 175)
    named = np.where(pinkish, _NAMES.index("pink"), named)
    dark_earth = ((hue < 22) | (hue > 174)) & (value < 175) & ~((hue < 5) & (saturation > 150))
    # Tan is brown; paler tones such as skin and sand have no word.
    tan = (hue >= 11) & (hue < 22) & (saturation < 165)
    named = np.where((dark_earth | tan) & (saturation > 50), _NAMES.index("brown"), named)
    named = np.where(tan & (saturation < 95) & (value > 215), _NO_WORD, named)
    # In emoji, white and gray are shaded with lavender.
    lavender = (hue > 112) & (hue < 152) & (saturation < 72)
    pale = (saturation < 40) | ((saturation < 70) & (value < 110)) | lavender
    bright = np.where(value > 208, _NAMES.index("white"), _NAMES.index("gray"))
    named = np.where(pale, bright, named)
    return np.where(value < 62, _NAMES.index("black"), named)
