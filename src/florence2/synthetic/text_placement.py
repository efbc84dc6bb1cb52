"""Placement of text in a scene: on the background, on signs, on objects."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .colors import Rgb
from .compositing import blend
from .scene import Mask, SceneSettings
from .text_render import (
    Face,
    RenderedText,
    Sheet,
    make_page,
    make_screen,
    make_sign,
    make_text_line,
    place_sheet,
    sheet_mask,
    warp_sheet,
)

Pixels = NDArray[np.uint8]

_MAX_ATTEMPTS = 8
_MARGIN = 2.0
_MAX_DEVIATION = 34.0


def place_scene_text(
    rng: np.random.Generator, image: Pixels, faces: tuple[Face, ...], settings: SceneSettings
) -> list[RenderedText]:
    """Place signs and lines of text on an image with only the background."""
    placed: list[RenderedText] = []
    occupied = np.zeros((settings.size[1], settings.size[0]), bool)
    for _ in range(int(rng.integers(settings.num_text_groups[0], settings.num_text_groups[1] + 1))):
        found = _find_position(rng, image, faces, settings, occupied)
        if found is not None:
            occupied |= sheet_mask(found, settings.size, margin=3)
            placed.append(found)
    return placed


def place_page(
    rng: np.random.Generator, faces: tuple[Face, ...], settings: SceneSettings
) -> RenderedText:
    """Place a document or a screen that fills most of the image."""
    width, height = settings.size
    share = rng.uniform(0.72, 0.93)
    extent = int(width * share), int(height * share * rng.uniform(0.8, 1.0))
    low, high = settings.font_size
    capital_height = rng.uniform(low, max(low, min(high, 0.06))) * min(settings.size)
    make = make_page if rng.random() < 0.65 else make_screen
    sheet = make(rng, faces, capital_height, extent)
    max_degrees = min(settings.text_rotation, 8.0)
    while True:
        degrees = float(np.clip(rng.normal(0, 3), -max_degrees, max_degrees))
        placed = place_sheet(sheet, (width / 2, height / 2), degrees, _sample_bend(rng, 0.03))
        if _is_inside(placed, settings.size):
            return placed
        max_degrees *= 0.6


def place_object_text(
    rng: np.random.Generator,
    image: Pixels,
    faces: tuple[Face, ...],
    settings: SceneSettings,
    visible_mask: Mask,
) -> RenderedText | None:
    """Place a line on the object with the visible pixels ``visible_mask``, if one fits."""
    rows, columns = np.nonzero(visible_mask)
    center = float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
    max_width = 0.75 * float(np.ptp(columns))
    level, deviation = _measure_region(image, visible_mask)
    if deviation > _MAX_DEVIATION * 1.4:
        return None
    capital_height = settings.font_size[0] * min(settings.size) * rng.uniform(1, 1.5)
    sheet = make_text_line(rng, _sample_face(rng, faces), capital_height, max_width, level)
    if sheet is None:
        return None
    sheet_on_object = Sheet(sheet.pixels, sheet.lines, "object")
    placed = place_sheet(sheet_on_object, center, float(rng.normal(0, 5)), _sample_bend(rng, 0.05))
    if not _is_inside(placed, settings.size):
        return None
    covered = sheet_mask(placed, settings.size)
    ground, deviation_under = _measure_region(image, covered)
    plain = deviation_under <= _MAX_DEVIATION and np.abs(np.subtract(ground, level)).max() < 40
    return placed if plain and visible_mask[covered].mean() > 0.98 else None


def paint_text(image: Pixels, placed: RenderedText) -> None:
    """Paint a sheet onto the image, in place."""
    pixels, window = warp_sheet(placed, (image.shape[1], image.shape[0]))
    image[window] = blend(image[window], pixels)


def _find_position(
    rng: np.random.Generator,
    image: Pixels,
    faces: tuple[Face, ...],
    settings: SceneSettings,
    occupied: Mask,
) -> RenderedText | None:
    width, height = settings.size
    low, high = np.log(settings.font_size)
    as_sign = rng.random() < 0.45
    degrees = _sample_rotation(rng, settings.text_rotation)
    for attempt in range(_MAX_ATTEMPTS):
        center = float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.08, 0.92) * height)
        # The maximum size decreases with every attempt.
        max_log_size = high - (high - low) * attempt / _MAX_ATTEMPTS
        capital_height = float(np.exp(rng.uniform(low, max_log_size))) * min(width, height)
        max_width = 2 * min(center[0], width - center[0]) - 2 * _MARGIN
        face = _sample_face(rng, faces)
        if as_sign:
            sheet = make_sign(rng, face, capital_height, max_width)
        else:
            sheet = _make_background_line(rng, image, center, face, capital_height, max_width)
        if sheet is None:
            continue
        placed = place_sheet(sheet, center, degrees, _sample_bend(rng, 0.1))
        if (
            _is_inside(placed, settings.size)
            and not occupied[sheet_mask(placed, settings.size)].any()
        ):
            return placed
    return None


def _make_background_line(
    rng: np.random.Generator,
    image: Pixels,
    center: tuple[float, float],
    face: Face,
    capital_height: float,
    max_width: float,
) -> Sheet | None:
    x, y = int(center[0]), int(center[1])
    half_width, half_height = max(4, int(max_width / 2)), max(4, int(capital_height))
    crop = image[max(0, y - half_height) : y + half_height, max(0, x - half_width) : x + half_width]
    mean, deviation = cv2.meanStdDev(crop)
    if float(deviation.max()) > _MAX_DEVIATION:
        return None
    return make_text_line(rng, face, capital_height, max_width, _to_rgb(mean))


def _measure_region(image: Pixels, where: Mask) -> tuple[Rgb, float]:
    """The mean color of a region and the standard deviation of its pixels."""
    mean, deviation = cv2.meanStdDev(image, mask=where.astype(np.uint8))
    return _to_rgb(mean), float(deviation.max())


def _to_rgb(mean: NDArray[np.floating]) -> Rgb:
    red, green, blue = (round(float(value)) for value in mean.ravel())
    return red, green, blue


def _sample_face(rng: np.random.Generator, faces: tuple[Face, ...]) -> Face:
    return faces[int(rng.integers(len(faces)))]


def _sample_rotation(rng: np.random.Generator, max_degrees: float) -> float:
    """A small rotation mostly, one of up to ``max_degrees`` sometimes."""
    if rng.random() < 0.75:
        return float(np.clip(rng.normal(0, 3), -max_degrees, max_degrees))
    return float(rng.uniform(-max_degrees, max_degrees))


def _sample_bend(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    if rng.random() < 0.5:
        return np.zeros((4, 2), np.float32)
    return rng.uniform(-strength, strength, (4, 2)).astype(np.float32)


def _is_inside(placed: RenderedText, size: tuple[int, int]) -> bool:
    corners = placed.corners
    return bool((corners >= _MARGIN).all() and (corners <= np.subtract(size, _MARGIN)).all())
