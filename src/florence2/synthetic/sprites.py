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
    """One drawing ``uint8[h, w, 4]`` (RGB and straight alpha), cropped to what can be seen of it.

    ``asset`` names the drawing, ``color`` is a word when all of it plainly has that color.
    """

    category: str
    asset: str
    image: NDArray[np.uint8]
    color: str | None

    @classmethod
    def from_image(cls, category: str, asset: str, image: NDArray[np.uint8]) -> Sprite:
        """A drawing with the color word that it plainly has; people have none."""
        known = load_categories().get(category)
        # Nobody calls a man yellow, though emoji are.
        is_person = known is not None and known.group == "person"
        return cls(category, asset, image, None if is_person else dominant_color(image))


def premultiply(image: Pixels) -> Pixels:
    """``uint8[h, w, 4]`` with its straight colors multiplied by alpha."""
    alpha = cv2.extractChannel(image, 3)
    straight = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
    colors = cv2.multiply(straight, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return np.dstack([colors, alpha])


def augment_sprite(sprite: Sprite, rng: np.random.Generator) -> Sprite:
    """Another drawing of the same thing, out of this one; its art keeps its name.

    Each change is left out in part of the drawings: bending in a third, other tones in a third,
    an outline in most. A drawing that would not be seen any more is returned as it was.
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
    """Brought down to what a picture shows of a drawing, which makes all changes cheap."""
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return _unpremultiply(cv2.resize(premultiply(image), size, interpolation=cv2.INTER_AREA))


def _warp(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The drawing on a rubber sheet, pulled at some knots; slanted and tapered with them."""
    height, width = image.shape[:2]
    margin = round(_MARGIN * max(height, width))
    wide, high = width + 2 * margin, height + 2 * margin
    pull = rng.normal(0, rng.uniform(0.01, 0.055), (2, _KNOTS, _KNOTS)) * max(height, width)
    # A straight line of pulls along one axis slants the drawing or tapers it.
    line = np.linspace(-1, 1, _KNOTS)
    slant, taper = rng.normal(0, 0.06, 2) * width
    pull[0] += slant * line[:, None] + taper * line[:, None] * line[None, :]
    columns, rows = (
        cv2.resize(each.astype(np.float32), (wide, high), interpolation=cv2.INTER_CUBIC)
        for each in pull
    )
    columns += np.arange(wide, dtype=np.float32) - margin
    rows += np.arange(high, dtype=np.float32)[:, None] - margin
    covered = premultiply(image)
    return _unpremultiply(cv2.remap(covered, columns, rows, cv2.INTER_LINEAR))


def _jitter_colors(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Other hue (little, or in some cases much), strength of color, brightness and contrast."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image[..., :3]), cv2.COLOR_RGB2HSV)
    turn = rng.normal(0, 6) if rng.random() < 0.75 else rng.uniform(-90, 90)
    strength = rng.uniform(0.0, 0.3) if rng.random() < 0.1 else rng.uniform(0.55, 1.35)
    power, contrast = np.exp(rng.normal(0, 0.22)), rng.uniform(0.75, 1.2)
    levels = np.arange(256)
    middle = rng.uniform(90, 170)
    value = 255 * (levels / 255) ** power
    tables = np.stack(
        [(levels + round(turn)) % 180, levels * strength, (value - middle) * contrast + middle],
        axis=-1,
    )
    toned = cv2.LUT(hsv, np.clip(tables, 0, 255).astype(np.uint8)[None])
    return np.dstack([cv2.cvtColor(toned, cv2.COLOR_HSV2RGB), image[..., 3]])


def _shade(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Light from one side, as a round thing has it and a flat drawing has not."""
    height, width = image.shape[:2]
    turn, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4)
    across = np.cos(turn) * np.linspace(-1, 1, width, dtype=np.float32)[None]
    down = np.sin(turn) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = (1 + depth * (across + down)).astype(np.float32)
    lit = cv2.multiply(image[..., :3], cv2.merge([light] * 3), dtype=cv2.CV_8U)
    return np.dstack([lit, image[..., 3]])


def _smooth(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Without fine lines and shades, as a plainer hand would have drawn it."""
    side = 2 * int(rng.integers(1, 3)) + 1
    return np.dstack([cv2.medianBlur(np.ascontiguousarray(image[..., :3]), side), image[..., 3]])


def _add_outline(image: Pixels, rng: np.random.Generator) -> Pixels:
    """With a line around it: dark, as in comics, or white, as stickers have it."""
    thick = int(rng.integers(1, 4))
    image = cv2.copyMakeBorder(image, *(thick,) * 4, cv2.BORDER_CONSTANT, value=0)
    alpha = cv2.extractChannel(image, 3)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1, 2 * thick + 1))
    grown = cv2.dilate(alpha, disc)
    ink = rng.integers(0, 70, 3) if rng.random() < 0.7 else np.full(3, 250)
    cover = alpha[..., None].astype(np.float32) / 255
    colors = image[..., :3] * cover + ink.astype(np.float32) * (1 - cover)
    return np.dstack([colors.astype(np.uint8), grown])


def _crop(image: Pixels) -> Pixels:
    """Without its clear rim."""
    x, y, width, height = cv2.boundingRect((image[..., 3] >= _OPAQUE).astype(np.uint8))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _unpremultiply(covered: Pixels) -> Pixels:
    """Colors divided by alpha again; what cannot be seen is black."""
    alpha = cv2.cvtColor(cv2.extractChannel(covered, 3), cv2.COLOR_GRAY2RGB)
    colors = cv2.divide(np.ascontiguousarray(covered[..., :3]), alpha, scale=255)
    return np.dstack([colors, covered[..., 3]])
