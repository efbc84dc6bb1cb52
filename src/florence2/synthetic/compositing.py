"""Sprites in a picture: where their pixels land, what hides them, how they are painted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import floor, log2

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene import Box, Mask
from .sprites import Sprite, premultiply

Pixels = NDArray[np.uint8]

_OPAQUE = 128
_SHADOW_MARGIN = 12


@dataclass(frozen=True)
class Pose:
    """Where a sprite goes: its middle and longer side in pixels, its turn in degrees.

    ``stretch`` is how many times wider it is drawn than its own shape, at the same area.
    """

    x: float
    y: float
    side: float
    degrees: float
    mirrored: bool
    stretch: float = 1.0


@dataclass(frozen=True, eq=False)
class PlacedSprite:
    """A sprite laid onto a picture, cut to the picture's frame.

    ``pixels`` is ``uint8[h, w, 4]`` with colors already multiplied by alpha, its top left at
    ``left, top``; ``total`` counts the pixels it would have if nothing cut or hid it.
    """

    sprite: Sprite
    pixels: Pixels
    left: int
    top: int
    total: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The part of the picture that it may cover."""
        height, width = self.pixels.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def solid(self) -> Mask:
        """The pixels ``bool[h, w]`` of its window that it covers."""
        return self.pixels[..., 3] >= _OPAQUE


def place_sprite(sprite: Sprite, pose: Pose, size: tuple[int, int]) -> PlacedSprite | None:
    """The sprite as it comes to lie in a picture of ``size``, or ``None`` if it falls outside."""
    height, width = sprite.image.shape[:2]
    scale = pose.side / max(height, width)
    level = min(4, max(0, floor(log2(1 / scale) + 0.3))) if scale < 1 else 0
    source = _scale_down(sprite, level)
    turn = np.radians(pose.degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if pose.mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    if pose.stretch != 1:
        linear = linear @ np.diag([pose.stretch**0.5, pose.stretch**-0.5])
    half_wide, half_high = np.abs(linear) @ (width / 2, height / 2)
    left, top = floor(pose.x - half_wide) - 1, floor(pose.y - half_high) - 1
    extent = int(2 * half_wide) + 4, int(2 * half_high) + 4
    # OpenCV puts whole numbers at the middles of pixels, we at their corners: hence the halves.
    level_linear = linear @ np.diag([width / source.shape[1], height / source.shape[0]])
    middle = np.array([source.shape[1], source.shape[0]]) / 2 - 0.5
    offset = np.array([pose.x - left, pose.y - top]) - 0.5 - level_linear @ middle
    matrix = np.hstack([level_linear, offset[:, None]])
    drawn = cv2.warpAffine(source, matrix, extent, flags=cv2.INTER_LINEAR)
    total = int(np.count_nonzero(drawn[..., 3] >= _OPAQUE))
    return _clip_to_image(sprite, drawn, (left, top), total, size)


def paint_sprite(image: Pixels, placed: PlacedSprite) -> None:
    """Put a sprite into the picture."""
    image[placed.window] = blend(image[placed.window], placed.pixels)


def blend(behind: Pixels, front: Pixels) -> Pixels:
    """``uint8[h, w, 3]`` with ``uint8[h, w, 4]``, whose colors are times alpha, in front of it."""
    through = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(front, 3)), cv2.COLOR_GRAY2RGB)
    dimmed = cv2.multiply(behind, through, scale=1 / 255)
    return cv2.add(dimmed, cv2.cvtColor(front, cv2.COLOR_RGBA2RGB))


def paint_shadow(
    image: Pixels, placed: PlacedSprite, shift: tuple[int, int], darkness: float
) -> None:
    """Darken the picture where the sprite's soft shadow falls, ``shift`` pixels away."""
    margin = _SHADOW_MARGIN
    alpha = cv2.copyMakeBorder(
        cv2.extractChannel(placed.pixels, 3), *(margin,) * 4, cv2.BORDER_CONSTANT, value=0
    )
    alpha = cv2.blur(alpha, (margin, margin))
    left, top = placed.left - margin + shift[0], placed.top - margin + shift[1]
    height, width = alpha.shape
    rows = slice(max(0, top), min(image.shape[0], top + height))
    columns = slice(max(0, left), min(image.shape[1], left + width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = alpha[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    light = cv2.convertScaleAbs(part, alpha=-darkness, beta=255)
    image[rows, columns] = cv2.multiply(
        image[rows, columns], cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), scale=1 / 255
    )


def mask_to_box(mask: Mask) -> Box:
    """The bounds ``(x0, y0, x1, y1)`` of the true pixels, outer edges, of a mask that has some."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


@lru_cache(maxsize=1536)
def _scale_down(sprite: Sprite, level: int) -> Pixels:
    """The sprite with colors multiplied by alpha, halved ``level`` times."""
    if level:
        larger = _scale_down(sprite, level - 1)
        half = max(1, larger.shape[1] // 2), max(1, larger.shape[0] // 2)
        return cv2.resize(larger, half, interpolation=cv2.INTER_AREA)
    return premultiply(sprite.image)


def _clip_to_image(
    sprite: Sprite, drawn: Pixels, corner: tuple[int, int], total: int, size: tuple[int, int]
) -> PlacedSprite | None:
    """What of a drawing with its top left at ``corner`` lies inside the picture."""
    left, top = corner
    height, width = drawn.shape[:2]
    first_x, last_x = max(0, -left), min(width, size[0] - left)
    first_y, last_y = max(0, -top), min(height, size[1] - top)
    if first_x >= last_x or first_y >= last_y or total == 0:
        return None
    inside = np.ascontiguousarray(drawn[first_y:last_y, first_x:last_x])
    return PlacedSprite(sprite, inside, left + first_x, top + first_y, total)


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
