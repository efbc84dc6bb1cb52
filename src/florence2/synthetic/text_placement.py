"""Where a scene's writing goes: free ground, in front of things, on things."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .colors import Rgb
from .compositing import blended
from .fonts import Face
from .scene import Mask
from .scene_settings import SceneSettings
from .text_render import RenderedText, Sheet, area, placed_pixels, tilted
from .text_surfaces import loose_line, page, screen, sign

Pixels = NDArray[np.uint8]

_TRIES = 8
_EDGE = 2.0
_BUSY = 34.0


def scene_writing(
    rng: np.random.Generator, image: Pixels, faces: tuple[Face, ...], settings: SceneSettings
) -> list[RenderedText]:
    """Signs and loose lines for a picture of which so far only the background is painted."""
    laid: list[RenderedText] = []
    taken = np.zeros((settings.size[1], settings.size[0]), bool)
    for _ in range(int(rng.integers(settings.groups[0], settings.groups[1] + 1))):
        found = _find_place(rng, image, faces, settings, taken)
        if found is not None:
            taken |= area(found, settings.size, margin=3)
            laid.append(found)
    return laid


def page_writing(
    rng: np.random.Generator, faces: tuple[Face, ...], settings: SceneSettings
) -> RenderedText:
    """A document or a screen that fills most of the picture."""
    width, height = settings.size
    share = rng.uniform(0.72, 0.93)
    extent = int(width * share), int(height * share * rng.uniform(0.8, 1.0))
    low, high = settings.letters
    capitals = rng.uniform(low, max(low, min(high, 0.06))) * min(settings.size)
    make = page if rng.random() < 0.65 else screen
    sheet = make(rng, faces, capitals, extent)
    steepest = min(settings.tilt, 8.0)
    while True:
        degrees = float(np.clip(rng.normal(0, 3), -steepest, steepest))
        laid = tilted(sheet, (width / 2, height / 2), degrees, _bend(rng, 0.03))
        if _inside(laid, settings.size):
            return laid
        steepest *= 0.6


def object_writing(
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
    level, busy = _ground(image, seen)
    if busy > _BUSY * 1.4:
        return None
    capitals = settings.letters[0] * min(settings.size) * rng.uniform(1, 1.5)
    sheet = loose_line(rng, _any_face(rng, faces), capitals, widest, level)
    if sheet is None:
        return None
    written = Sheet(sheet.pixels, sheet.inks, "object")
    laid = tilted(written, middle, float(rng.normal(0, 5)), _bend(rng, 0.05))
    if not _inside(laid, settings.size):
        return None
    under = area(laid, settings.size)
    ground, rough = _ground(image, under)
    plain = rough <= _BUSY and np.abs(np.subtract(ground, level)).max() < 40
    return laid if plain and seen[under].mean() > 0.98 else None


def paint_writing(image: Pixels, laid: RenderedText) -> None:
    """Put a sheet into the picture."""
    pixels, window = placed_pixels(laid, (image.shape[1], image.shape[0]))
    image[window] = blended(image[window], pixels)


def _find_place(
    rng: np.random.Generator,
    image: Pixels,
    faces: tuple[Face, ...],
    settings: SceneSettings,
    taken: Mask,
) -> RenderedText | None:
    width, height = settings.size
    low, high = np.log(settings.letters)
    as_sign = rng.random() < 0.45
    degrees = _tilt(rng, settings.tilt)
    for attempt in range(_TRIES):
        middle = float(rng.uniform(0.15, 0.85) * width), float(rng.uniform(0.08, 0.92) * height)
        # Large letters find no place in the end, small ones do.
        reach = high - (high - low) * attempt / _TRIES
        capitals = float(np.exp(rng.uniform(low, reach))) * min(width, height)
        widest = 2 * min(middle[0], width - middle[0]) - 2 * _EDGE
        face = _any_face(rng, faces)
        if as_sign:
            sheet = sign(rng, face, capitals, widest)
        else:
            sheet = _on_background(rng, image, middle, face, capitals, widest)
        if sheet is None:
            continue
        laid = tilted(sheet, middle, degrees, _bend(rng, 0.1))
        if _inside(laid, settings.size) and not taken[area(laid, settings.size)].any():
            return laid
    return None


def _on_background(
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
    if float(deviation.max()) > _BUSY:
        return None
    return loose_line(rng, face, capitals, widest, _rgb(mean))


def _ground(image: Pixels, where: Mask) -> tuple[Rgb, float]:
    """The mean color of a region and how far its pixels stray from that."""
    mean, deviation = cv2.meanStdDev(image, mask=where.astype(np.uint8))
    return _rgb(mean), float(deviation.max())


def _rgb(mean: NDArray[np.floating]) -> Rgb:
    red, green, blue = (round(float(value)) for value in mean.ravel())
    return red, green, blue


def _any_face(rng: np.random.Generator, faces: tuple[Face, ...]) -> Face:
    return faces[int(rng.integers(len(faces)))]


def _tilt(rng: np.random.Generator, steepest: float) -> float:
    """Mostly level or nearly so, now and then as steep as allowed."""
    if rng.random() < 0.75:
        return float(np.clip(rng.normal(0, 3), -steepest, steepest))
    return float(rng.uniform(-steepest, steepest))


def _bend(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    if rng.random() < 0.5:
        return np.zeros((4, 2), np.float32)
    return rng.uniform(-strength, strength, (4, 2)).astype(np.float32)


def _inside(laid: RenderedText, size: tuple[int, int]) -> bool:
    outline = laid.outline
    return bool((outline >= _EDGE).all() and (outline <= np.subtract(size, _EDGE)).all())
