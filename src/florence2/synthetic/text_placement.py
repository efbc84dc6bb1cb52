"""Where a scene's writing goes: free ground, in front of things, on things."""

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
    """Signs and loose lines for a picture of which so far only the background is painted."""
    laid: list[RenderedText] = []
    taken = np.zeros((settings.size[1], settings.size[0]), bool)
    for _ in range(int(rng.integers(settings.num_text_groups[0], settings.num_text_groups[1] + 1))):
        found = _find_position(rng, image, faces, settings, taken)
        if found is not None:
            taken |= sheet_mask(found, settings.size, margin=3)
            laid.append(found)
    return laid


def place_page(
    rng: np.random.Generator, faces: tuple[Face, ...], settings: SceneSettings
) -> RenderedText:
    """A document or a screen that fills most of the picture."""
    width, height = settings.size
    share = rng.uniform(0.72, 0.93)
    extent = int(width * share), int(height * share * rng.uniform(0.8, 1.0))
    low, high = settings.font_size
    capitals = rng.uniform(low, max(low, min(high, 0.06))) * min(settings.size)
    make = make_page if rng.random() < 0.65 else make_screen
    sheet = make(rng, faces, capitals, extent)
    steepest = min(settings.text_rotation, 8.0)
    while True:
        degrees = float(np.clip(rng.normal(0, 3), -steepest, steepest))
        laid = place_sheet(sheet, (width / 2, height / 2), degrees, _sample_bend(rng, 0.03))
        if _is_inside(laid, settings.size):
            return laid
        steepest *= 0.6


def place_object_text(
    rng: np.random.Generator,
    image: Pixels,
    faces: tuple[Face, ...],
    settings: SceneSettings,
    seen: Mask,
) -> RenderedText | None:
    """A line on the thing whose visible pixels are given, or ``None`` when none fits."""
    rows, columns = np.nonzero(seen)
    middle = float(columns.mean()) + 0.5, float(rows.mean()) + 0.5
    widest = 0.75 * float(np.ptp(columns))
    level, busy = _measure_region(image, seen)
    if busy > _MAX_DEVIATION * 1.4:
        return None
    capitals = settings.font_size[0] * min(settings.size) * rng.uniform(1, 1.5)
    sheet = make_text_line(rng, _sample_face(rng, faces), capitals, widest, level)
    if sheet is None:
        return None
    written = Sheet(sheet.pixels, sheet.inks, "object")
    laid = place_sheet(written, middle, float(rng.normal(0, 5)), _sample_bend(rng, 0.05))
    if not _is_inside(laid, settings.size):
        return None
    under = sheet_mask(laid, settings.size)
    ground, rough = _measure_region(image, under)
    plain = rough <= _MAX_DEVIATION and np.abs(np.subtract(ground, level)).max() < 40
    return laid if plain and seen[under].mean() > 0.98 else None


def paint_text(image: Pixels, laid: RenderedText) -> None:
    """Put a sheet into the picture."""
    pixels, window = warp_sheet(laid, (image.shape[1], image.shape[0]))
    image[window] = blend(image[window], pixels)


def _find_position(
    rng: np.random.Generator,
    image: Pixels,
    faces: tuple[Face, ...],
    settings: SceneSettings,
    taken: Mask,
) -> RenderedText | None:
    width, height = settings.size
    low, high = np.log(settings.font_size)
    as_sign = rng.random() < 0.45
    degrees = _sample_rotation(rng, settings.text_rotation)
    for attempt in range(_MAX_ATTEMPTS):
        middle = float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.08, 0.92) * height)
        # Large letters find no place in the end, small ones do.
        reach = high - (high - low) * attempt / _MAX_ATTEMPTS
        capitals = float(np.exp(rng.uniform(low, reach))) * min(width, height)
        widest = 2 * min(middle[0], width - middle[0]) - 2 * _MARGIN
        face = _sample_face(rng, faces)
        if as_sign:
            sheet = make_sign(rng, face, capitals, widest)
        else:
            sheet = _make_background_line(rng, image, middle, face, capitals, widest)
        if sheet is None:
            continue
        laid = place_sheet(sheet, middle, degrees, _sample_bend(rng, 0.1))
        if _is_inside(laid, settings.size) and not taken[sheet_mask(laid, settings.size)].any():
            return laid
    return None


def _make_background_line(
    rng: np.random.Generator,
    image: Pixels,
    middle: tuple[float, float],
    face: Face,
    capitals: float,
    widest: float,
) -> Sheet | None:
    x, y = int(middle[0]), int(middle[1])
    reach_x, reach_y = max(4, int(widest / 2)), max(4, int(capitals))
    around = image[max(0, y - reach_y) : y + reach_y, max(0, x - reach_x) : x + reach_x]
    mean, deviation = cv2.meanStdDev(around)
    if float(deviation.max()) > _MAX_DEVIATION:
        return None
    return make_text_line(rng, face, capitals, widest, _to_rgb(mean))


def _measure_region(image: Pixels, where: Mask) -> tuple[Rgb, float]:
    """The mean color of a region and how far its pixels stray from that."""
    mean, deviation = cv2.meanStdDev(image, mask=where.astype(np.uint8))
    return _to_rgb(mean), float(deviation.max())


def _to_rgb(mean: NDArray[np.floating]) -> Rgb:
    red, green, blue = (round(float(value)) for value in mean.ravel())
    return red, green, blue


def _sample_face(rng: np.random.Generator, faces: tuple[Face, ...]) -> Face:
    return faces[int(rng.integers(len(faces)))]


def _sample_rotation(rng: np.random.Generator, steepest: float) -> float:
    """Mostly level or nearly so, now and then as steep as allowed."""
    if rng.random() < 0.75:
        return float(np.clip(rng.normal(0, 3), -steepest, steepest))
    return float(rng.uniform(-steepest, steepest))


def _sample_bend(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    if rng.random() < 0.5:
        return np.zeros((4, 2), np.float32)
    return rng.uniform(-strength, strength, (4, 2)).astype(np.float32)


def _is_inside(laid: RenderedText, size: tuple[int, int]) -> bool:
    outline = laid.outline
    return bool((outline >= _MARGIN).all() and (outline <= np.subtract(size, _MARGIN)).all())
