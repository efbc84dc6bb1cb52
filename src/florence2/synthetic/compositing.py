"""Compositing of sprites with an image: placement, painting, shadows; and image degradation."""

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
    """The placement of a sprite: center and longer side in pixels, rotation in degrees.

    ``stretch`` is the factor on the aspect ratio, at the same area.
    """

    x: float
    y: float
    side: float
    degrees: float
    mirrored: bool
    stretch: float = 1.0


@dataclass(frozen=True, eq=False)
class PlacedSprite:
    """A sprite in the coordinates of an image, clipped to the image.

    ``pixels`` is ``uint8[h, w, 4]`` with colors already multiplied by alpha, its top left at
    ``left, top``; ``total`` is the number of its pixels without clipping and occlusion.
    """

    sprite: Sprite
    pixels: Pixels
    left: int
    top: int
    total: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the image with the sprite."""
        height, width = self.pixels.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def opaque(self) -> Mask:
        """The opaque pixels, ``bool[h, w]``, in the window."""
        return self.pixels[..., 3] >= _OPAQUE


def place_sprite(sprite: Sprite, pose: Pose, size: tuple[int, int]) -> PlacedSprite | None:
    """The sprite in an image of ``size``, or ``None`` if it is outside."""
    height, width = sprite.image.shape[:2]
    scale = pose.side / max(height, width)
    level = min(4, max(0, floor(log2(1 / scale) + 0.3))) if scale < 1 else 0
    source = _scale_down(sprite, level)
    angle = np.radians(pose.degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if pose.mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    if pose.stretch != 1:
        linear = linear @ np.diag([pose.stretch**0.5, pose.stretch**-0.5])
    half_wide, half_high = np.abs(linear) @ (width / 2, height / 2)
    left, top = floor(pose.x - half_wide) - 1, floor(pose.y - half_high) - 1
    extent = int(2 * half_wide) + 4, int(2 * half_high) + 4
    # In OpenCV integer coordinates are pixel centers, here they are pixel corners: hence 0.5.
    level_linear = linear @ np.diag([width / source.shape[1], height / source.shape[0]])
    middle = np.array([source.shape[1], source.shape[0]]) / 2 - 0.5
    offset = np.array([pose.x - left, pose.y - top]) - 0.5 - level_linear @ middle
    matrix = np.hstack([level_linear, offset[:, None]])
    warped = cv2.warpAffine(source, matrix, extent, flags=cv2.INTER_LINEAR)
    total = int(np.count_nonzero(warped[..., 3] >= _OPAQUE))
    return _clip_to_image(sprite, warped, (left, top), total, size)


def paint_sprite(image: Pixels, placed: PlacedSprite) -> None:
    """Paint a sprite onto the image, in place."""
    image[placed.window] = blend(image[placed.window], placed.pixels)


def blend(behind: Pixels, front: Pixels) -> Pixels:
    """Alpha-blend a premultiplied ``uint8[h, w, 4]`` over ``uint8[h, w, 3]``."""
    transparency = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(front, 3)), cv2.COLOR_GRAY2RGB)
    dimmed = cv2.multiply(behind, transparency, scale=1 / 255)
    return cv2.add(dimmed, cv2.cvtColor(front, cv2.COLOR_RGBA2RGB))


def paint_shadow(
    image: Pixels, placed: PlacedSprite, shift: tuple[int, int], darkness: float
) -> None:
    """Paint the sprite's soft shadow, ``shift`` pixels away, in place."""
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
    """The bounds ``(x0, y0, x1, y1)`` of a mask that is not empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


@lru_cache(maxsize=1536)
def _scale_down(sprite: Sprite, level: int) -> Pixels:
    """The premultiplied sprite, downscaled by 2 ``level`` times."""
    if level:
        larger = _scale_down(sprite, level - 1)
        half = max(1, larger.shape[1] // 2), max(1, larger.shape[0] // 2)
        return cv2.resize(larger, half, interpolation=cv2.INTER_AREA)
    return premultiply(sprite.image)


def _clip_to_image(
    sprite: Sprite, warped: Pixels, corner: tuple[int, int], total: int, size: tuple[int, int]
) -> PlacedSprite | None:
    """The part of a drawing with its top left at ``corner`` that is inside the image."""
    left, top = corner
    height, width = warped.shape[:2]
    first_x, last_x = max(0, -left), min(width, size[0] - left)
    first_y, last_y = max(0, -top), min(height, size[1] - top)
    if first_x >= last_x or first_y >= last_y or total == 0:
        return None
    inside = np.ascontiguousarray(warped[first_y:last_y, first_x:last_x])
    return PlacedSprite(sprite, inside, left + first_x, top + first_y, total)


_GRAIN_SIDE = 1024


def degrade_image(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Apply mild random degradations: light, blur, noise, compression; none at ``strength`` 0.

    Each is applied to a part of the images. None moves a pixel.
    """
    if strength <= 0:
        return image
    if rng.random() < 0.6:
        image = _adjust_light(image, rng, strength)
    if rng.random() < 0.3:
        sigma = 0.35 + rng.uniform(0, 0.6) * strength
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if rng.random() < 0.4:
        image = _add_grain(image, rng, rng.uniform(1, 9) * strength)
    if rng.random() < 0.5:
        image = _compress(image, int(100 - rng.uniform(8, 60) * strength))
    return image


def _adjust_light(image: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Change brightness, contrast and color temperature."""
    contrast = 1 + rng.uniform(-0.18, 0.18) * strength
    brightness = rng.uniform(-22, 22) * strength + 128 * (1 - contrast)
    warmth = rng.uniform(-9, 9) * strength
    levels = np.arange(256)[:, None] * contrast + brightness + np.array([warmth, 0, -warmth])
    table = np.clip(levels, 0, 255).astype(np.uint8)[None]
    return cv2.LUT(image, table)


def _add_grain(image: Pixels, rng: np.random.Generator, sigma: float) -> Pixels:
    height, width = image.shape[:2]
    grain = _grain(max(_GRAIN_SIDE, height, width))
    x = int(rng.integers(grain.shape[1] - width + 1))
    y = int(rng.integers(grain.shape[0] - height + 1))
    window = np.ascontiguousarray(grain[y : y + height, x : x + width])
    # The stored grain has mean 128 and standard sigma 32.
    share = sigma / 32
    return cv2.addWeighted(image, 1.0, window, share, -128 * share)


@lru_cache(maxsize=2)
def _grain(side: int) -> Pixels:
    grain = np.random.default_rng(side).normal(128, 32, (side, side, 3))
    return np.clip(grain, 0, 255).astype(np.uint8)


def _compress(image: Pixels, quality: int) -> Pixels:
    blue_first = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", blue_first, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
