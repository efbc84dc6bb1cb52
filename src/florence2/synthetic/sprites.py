"""One object cut out on a transparent ground, and variants of it that keep its category.

A category has few drawings, and a model that sees only these memorizes them. An augmented sprite
is another drawing of the same object: its mask is exact, because masks come from what is painted,
and its color word is determined again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .categories import load_categories
from .colors import dominant_color

Pixels = NDArray[np.uint8]

_SIDE = 96
_MARGIN = 0.16
_KNOTS = 4
_OPAQUE = 24


@dataclass(frozen=True, eq=False)
class Sprite:
    """One drawing ``uint8[h, w, 4]`` (RGB and straight alpha), cropped to its visible pixels.

    ``asset`` is the name of the drawing, ``color`` its color word if it clearly has one color.
    """

    category: str
    asset: str
    image: NDArray[np.uint8]
    color: str | None

    @classmethod
    def from_image(cls, category: str, asset: str, image: NDArray[np.uint8]) -> Sprite:
        """A sprite with its dominant color; people have none."""
        known = load_categories().get(category)
        # Yellow emoji do not show yellow people.
        is_person = known is not None and known.group == "person"
        return cls(category, asset, image, None if is_person else dominant_color(image))


def premultiply(image: Pixels) -> Pixels:
    """``uint8[h, w, 4]`` with its straight colors multiplied by alpha."""
    alpha = cv2.extractChannel(image, 3)
    straight = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
    colors = cv2.multiply(straight, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return np.dstack([colors, alpha])


def augment_sprite(sprite: Sprite, rng: np.random.Generator) -> Sprite:
    """A random variant of a sprite with the same category and asset name.

    Each augmentation has a probability of its own: warping and color jitter two thirds each, an
    outline one fifth. A sprite that would become invisible is returned unchanged.
    """
    image = _shrink(sprite.image)
    if rng.random() < 0.65:
        image = _warp(image, rng)
    if rng.random() < 0.65:
        image = _jitter_colors(image, rng)
    if rng.random() < 0.3:
        image = _shade(image, rng)
    if rng.random() < 0.15:
        image = _smooth(image, rng)
    if rng.random() < 0.2:
        image = _add_outline(image, rng)
    image = _crop(image)
    if not image.size:
        return sprite
    return Sprite.from_image(sprite.category, sprite.asset, image)


def _shrink(image: Pixels) -> Pixels:
    """Downscale the drawing to the resolution that scenes need, for speed."""
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return _unpremultiply(cv2.resize(premultiply(image), size, interpolation=cv2.INTER_AREA))


def _warp(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Warp the drawing by random offsets at a grid of knots, with shear and taper."""
    height, width = image.shape[:2]
    margin = round(_MARGIN * max(height, width))
    padded_width, padded_height = width + 2 * margin, height + 2 * margin
    offsets = rng.normal(0, rng.uniform(0.01, 0.055), (2, _KNOTS, _KNOTS)) * max(height, width)
    # Offsets that are linear along one axis shear or taper the drawing.
    line = np.linspace(-1, 1, _KNOTS)
    slant, taper = rng.normal(0, 0.06, 2) * width
    offsets[0] += slant * line[:, None] + taper * line[:, None] * line[None, :]
    columns, rows = (
        cv2.resize(
            each.astype(np.float32), (padded_width, padded_height), interpolation=cv2.INTER_CUBIC
        )
        for each in offsets
    )
    columns += np.arange(padded_width, dtype=np.float32) - margin
    rows += np.arange(padded_height, dtype=np.float32)[:, None] - margin
    covered = premultiply(image)
    return _unpremultiply(cv2.remap(covered, columns, rows, cv2.INTER_LINEAR))


def _jitter_colors(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Jitter hue (slightly, sometimes strongly), saturation, brightness and contrast."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2HSV)
    hue_shift = rng.normal(0, 6) if rng.random() < 0.75 else rng.uniform(-90, 90)
    saturation = rng.uniform(0.0, 0.3) if rng.random() < 0.1 else rng.uniform(0.55, 1.35)
    power, contrast = np.exp(rng.normal(0, 0.22)), rng.uniform(0.75, 1.2)
    levels = np.arange(256)
    middle = rng.uniform(90, 170)
    value = 255 * (levels / 255) ** power
    tables = np.stack(
        [
            (levels + round(hue_shift)) % 180,
            levels * saturation,
            (value - middle) * contrast + middle,
        ],
        axis=-1,
    )
    toned = cv2.LUT(hsv, np.clip(tables, 0, 255).astype(np.uint8)[None])
    return np.dstack([cv2.cvtColor(toned, cv2.COLOR_HSV2RGB), image[..., 3]])


def _shade(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add directional light, as on a round object."""
    height, width = image.shape[:2]
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4)
    across = np.cos(angle) * np.linspace(-1, 1, width, dtype=np.float32)[None]
    down = np.sin(angle) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = (1 + depth * (across + down)).astype(np.float32)
    lit = cv2.multiply(image[..., :3], cv2.merge([light] * 3), dtype=cv2.CV_8U)
    return np.dstack([lit, image[..., 3]])


def _smooth(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Remove fine lines and shades with a median filter."""
    side = 2 * int(rng.integers(1, 3)) + 1
    return np.dstack([cv2.medianBlur(np.ascontiguousarray(image[..., :3]), side), image[..., 3]])


def _add_outline(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Add a dark or white outline."""
    width = int(rng.integers(1, 4))
    image = cv2.copyMakeBorder(image, *(width,) * 4, cv2.BORDER_CONSTANT, value=0)
    alpha = cv2.extractChannel(image, 3)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    grown = cv2.dilate(alpha, disc)
    line_color = rng.integers(0, 70, 3) if rng.random() < 0.7 else np.full(3, 250)
    cover = alpha[..., None].astype(np.float32) / 255
    colors = image[..., :3] * cover + line_color.astype(np.float32) * (1 - cover)
    return np.dstack([colors.astype(np.uint8), grown])


def _crop(image: Pixels) -> Pixels:
    """Remove the transparent border."""
    x, y, width, height = cv2.boundingRect((image[..., 3] >= _OPAQUE).astype(np.uint8))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _unpremultiply(covered: Pixels) -> Pixels:
    """Divide the colors by alpha; invisible pixels become black."""
    alpha = cv2.cvtColor(cv2.extractChannel(covered, 3), cv2.COLOR_GRAY2RGB)
    colors = cv2.divide(np.ascontiguousarray(covered[..., :3]), alpha, scale=255)
    return np.dstack([colors, covered[..., 3]])
