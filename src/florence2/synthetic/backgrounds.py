"""Backgrounds: skies, floors, walls and patterns, each with a phrase for captions.

Every kind is painted once per process, larger than an image, from a fixed seed; a scene takes a
random crop of it, flipped or not, with random brightness. So a background costs little time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .colors import PALETTE, Rgb

Pixels = NDArray[np.uint8]
_Field = NDArray[np.floating]
_Painter = Callable[[np.random.Generator], Pixels]

_SIDE = 640
_VARIANTS = 4


def make_background(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Pixels, str]:
    """A new image ``uint8[height, width, 3]`` of a random background, and its phrase."""
    phrases = tuple(_PAINTERS)
    phrase = phrases[int(rng.integers(len(phrases)))]
    return render_background(phrase, rng, size), phrase


def render_background(phrase: str, rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """A new image of the background with this phrase."""
    width, height = size
    painted = _paint(phrase, int(rng.integers(_VARIANTS)))
    # A larger image shows the same crop at a higher resolution.
    share = min(1.0, rng.uniform(0.45, 0.9))
    window = share * _SIDE / max(width, height)
    wide, high = int(width * window), int(height * window)
    x = int(rng.integers(_SIDE - wide + 1))
    y = int(rng.integers(_SIDE - high + 1))
    image = cv2.resize(painted[y : y + high, x : x + wide], (width, height))
    if rng.random() < 0.5:
        image = cv2.flip(image, 1)
    return cv2.convertScaleAbs(image, alpha=rng.uniform(0.88, 1.08))


@lru_cache(maxsize=256)
def _paint(phrase: str, variant: int) -> Pixels:
    rng = np.random.default_rng([variant, *phrase.encode()])
    return _PAINTERS[phrase](rng)


def _noise(rng: np.random.Generator, cells: tuple[int, int]) -> _Field:
    """Smooth noise of about -1 to 1, with ``cells`` bumps across and down."""
    coarse = rng.standard_normal((cells[1] + 3, cells[0] + 3)).astype(np.float32)
    return cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) * 0.6


def _cloud_noise(rng: np.random.Generator, cells: int, octaves: int = 4) -> _Field:
    """Noise with detail at several scales."""
    field = np.zeros((_SIDE, _SIDE), np.float32)
    for octave in range(octaves):
        scale = 2**octave
        field += _noise(rng, (cells * scale, cells * scale)) / scale
    return field


def _tint(color: Rgb, brightness: _Field) -> Pixels:
    """A color with a field of gray levels added."""
    image = np.asarray(color, np.float32) + brightness[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _mix_colors(low: Rgb, high: Rgb, field: _Field) -> Pixels:
    """A mix of two colors, by a field from 0 (first) to 1 (second)."""
    share = np.clip(field, 0, 1)[..., None]
    mixed = np.asarray(low, np.float32) * (1 - share) + np.asarray(high, np.float32) * share
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _pixel_grid() -> tuple[_Field, _Field]:
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
    return rows, columns


def _jitter_color(rng: np.random.Generator, color: Rgb, spread: int = 12) -> Rgb:
    shifted = np.asarray(color) + rng.integers(-spread, spread, 3)
    red, green, blue = (int(value) for value in shifted)
    return red, green, blue


def _sky(rng: np.random.Generator) -> Pixels:
    rows, _ = _pixel_grid()
    return _mix_colors(
        _jitter_color(rng, (92, 158, 228)), _jitter_color(rng, (178, 214, 242)), rows / _SIDE
    )


def _cloudy_sky(rng: np.random.Generator) -> Pixels:
    clouds = _cloud_noise(rng, 4)
    return _mix_colors(_jitter_color(rng, (110, 165, 225)), (240, 243, 247), clouds * 0.7 + 0.35)


def _night_sky(rng: np.random.Generator) -> Pixels:
    rows, _ = _pixel_grid()
    night = _mix_colors((10, 14, 38), (34, 38, 84), rows / _SIDE + 0.1 * _noise(rng, (4, 4)))
    for _ in range(260):
        x, y = (int(value) for value in rng.integers(0, _SIDE, 2))
        level = int(rng.integers(120, 256))
        cv2.circle(night, (x, y), int(rng.integers(1, 3)), (level, level, level), -1, cv2.LINE_AA)
    return night


def _sunset(rng: np.random.Generator) -> Pixels:
    rows, _ = _pixel_grid()
    glow = rows / _SIDE + 0.12 * _noise(rng, (3, 9))
    return _mix_colors(_jitter_color(rng, (112, 82, 142)), _jitter_color(rng, (250, 172, 98)), glow)


def _grass(rng: np.random.Generator) -> Pixels:
    blades = 22 * _noise(rng, (220, 60)) + 10 * _noise(rng, (90, 30)) + 9 * _cloud_noise(rng, 4, 2)
    return _tint(_jitter_color(rng, (86, 148, 58)), blades)


def _sand(rng: np.random.Generator) -> Pixels:
    grains = 9 * _noise(rng, (300, 300)) + 9 * _cloud_noise(rng, 4, 3)
    return _tint(_jitter_color(rng, (226, 202, 152)), grains)


def _snow(rng: np.random.Generator) -> Pixels:
    drifts = 8 * _cloud_noise(rng, 3, 3) + 3 * _noise(rng, (250, 250))
    return _tint((234, 238, 245), drifts)


def _water(rng: np.random.Generator) -> Pixels:
    waves = 20 * _noise(rng, (14, 56)) + 12 * _noise(rng, (30, 120))
    return _tint(_jitter_color(rng, (52, 122, 172)), waves)


def _planks(rng: np.random.Generator, color: Rgb) -> Pixels:
    grain = 12 * _noise(rng, (6, 160)) + 7 * _noise(rng, (14, 300))
    high = int(rng.integers(70, 130))
    for top in range(0, _SIDE, high):
        grain[top : top + high] += rng.uniform(-14, 14)
        grain[top : top + 3] -= 42
    return _tint(_jitter_color(rng, color), grain)


def _table(rng: np.random.Generator) -> Pixels:
    return _planks(rng, (158, 110, 66))


def _floor(rng: np.random.Generator) -> Pixels:
    turned = cv2.rotate(_planks(rng, (200, 160, 112)), cv2.ROTATE_90_CLOCKWISE)
    return np.ascontiguousarray(turned)


def _bricks(rng: np.random.Generator) -> Pixels:
    high, wide, joint = 34, 84, 5
    wall = _tint((188, 180, 170), 8 * _noise(rng, (200, 200)))
    texture = 8 * _noise(rng, (160, 160))
    for row, top in enumerate(range(0, _SIDE, high)):
        for left in range(-(row % 2) * wide // 2, _SIDE, wide):
            area = np.s_[top : top + high - joint, max(0, left) : max(0, left + wide - joint)]
            wall[area] = _tint(_jitter_color(rng, (164, 80, 62), 14), texture[area])
    return wall


def _stone(rng: np.random.Generator) -> Pixels:
    return _tint(_jitter_color(rng, (150, 148, 142)), 16 * _cloud_noise(rng, 8, 5))


def _road(rng: np.random.Generator) -> Pixels:
    return _tint((86, 87, 92), 9 * _noise(rng, (320, 320)) + 6 * _cloud_noise(rng, 4, 3))


def _marble(rng: np.random.Generator) -> Pixels:
    # There is a vein where the noise changes sign.
    veins = np.minimum(1, 3 * np.abs(_cloud_noise(rng, 3, 5)))
    return _mix_colors((172, 172, 178), (236, 235, 232), np.sqrt(veins) * 0.6 + 0.4)


def _tiles(rng: np.random.Generator) -> Pixels:
    rows, columns = _pixel_grid()
    side = int(rng.integers(60, 90))
    joint = ((rows % side) < 4) | ((columns % side) < 4)
    relief = np.where(joint, -38, 0) + 3 * _noise(rng, (9, 9))
    return _tint(_jitter_color(rng, (205, 214, 216)), relief)


def _wall(color: Rgb) -> _Painter:
    def paint(rng: np.random.Generator) -> Pixels:
        rows, columns = _pixel_grid()
        slope = rng.uniform(-20, 20, 2)
        light = slope[0] * (rows / _SIDE - 0.5) + slope[1] * (columns / _SIDE - 0.5)
        return _tint(_jitter_color(rng, color, 8), light + 3 * _noise(rng, (200, 200)))

    return paint


def _pastel(name: str, share: float = 0.45) -> Rgb:
    """A palette color mixed with white, for the lighter half of a pattern."""
    red, green, blue = (round(255 * share + value * (1 - share)) for value in PALETTE[name])
    return red, green, blue


def _sample_pattern_colors(rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    names = rng.choice(["red", "orange", "yellow", "green", "blue", "purple", "pink"], 2, False)
    first = _pastel(str(names[0]))
    second = (244, 244, 240) if rng.random() < 0.5 else _pastel(str(names[1]), 0.7)
    return first, second


def _stripes(rng: np.random.Generator) -> Pixels:
    rows, columns = _pixel_grid()
    turn, wide = rng.uniform(0, np.pi), rng.uniform(28, 60)
    along = rows * np.sin(turn) + columns * np.cos(turn)
    return _mix_colors(*_sample_pattern_colors(rng), ((along // wide) % 2).astype(np.float32))


def _checks(rng: np.random.Generator) -> Pixels:
    rows, columns = _pixel_grid()
    side = int(rng.integers(34, 70))
    return _mix_colors(*_sample_pattern_colors(rng), (rows // side + columns // side) % 2)


def _dots(rng: np.random.Generator) -> Pixels:
    rows, columns = _pixel_grid()
    side = float(rng.integers(44, 80))
    shifted = columns + side / 2 * ((rows // side) % 2)
    away = np.hypot(rows % side - side / 2, shifted % side - side / 2)
    return _mix_colors(*_sample_pattern_colors(rng), np.clip(side * 0.24 - away + 0.5, 0, 1))


def _plaid(rng: np.random.Generator) -> Pixels:
    rows, columns = _pixel_grid()
    side = float(rng.integers(50, 90))
    bands = ((rows % side) < side * 0.4) * 0.5 + ((columns % side) < side * 0.4) * 0.5
    return _mix_colors(*_sample_pattern_colors(rng), bands.astype(np.float32))


def _blurred_lights(rng: np.random.Generator) -> Pixels:
    image = _tint(_jitter_color(rng, (58, 54, 70)), 10 * _noise(rng, (4, 4)))
    for _ in range(70):
        x, y = (int(value) for value in rng.integers(0, _SIDE, 2))
        color = _jitter_color(rng, (190, 150, 110), 60)
        overlay = image.copy()
        cv2.circle(overlay, (x, y), int(rng.integers(10, 42)), color, -1, cv2.LINE_AA)
        image = cv2.addWeighted(overlay, 0.35, image, 0.65, 0)
    return cv2.GaussianBlur(image, (0, 0), 4)


def _landscape(ground: _Painter) -> _Painter:
    """Ground under a sky; the horizon is in the middle, so that every crop contains it."""

    def paint(rng: np.random.Generator) -> Pixels:
        image = _cloudy_sky(rng) if rng.random() < 0.5 else _sky(rng)
        ridge = _SIDE * rng.uniform(0.47, 0.53) + 14 * _noise(rng, (5, 1))[0]
        below = _pixel_grid()[0] > ridge[None, :]
        return np.where(below[..., None], ground(rng), image)

    return paint


_PAINTERS: dict[str, _Painter] = {
    "a blue sky": _sky,
    "a cloudy sky": _cloudy_sky,
    "a night sky": _night_sky,
    "a sunset sky": _sunset,
    "green grass": _grass,
    "a sandy beach": _sand,
    "snow": _snow,
    "water": _water,
    "a wooden table": _table,
    "a wooden floor": _floor,
    "a brick wall": _bricks,
    "a stone wall": _stone,
    "an asphalt road": _road,
    "a marble surface": _marble,
    "a tiled wall": _tiles,
    "a white wall": _wall((236, 235, 231)),
    "a gray wall": _wall((158, 159, 163)),
    "a beige wall": _wall((222, 206, 178)),
    "a blue wall": _wall((120, 158, 206)),
    "a green wall": _wall((142, 186, 142)),
    "a pink wall": _wall((232, 176, 190)),
    "a yellow wall": _wall((238, 216, 128)),
    "a dark wall": _wall((52, 54, 60)),
    "a striped pattern": _stripes,
    "a checkered pattern": _checks,
    "a dotted pattern": _dots,
    "a plaid pattern": _plaid,
    "blurred lights": _blurred_lights,
    "a green field under a blue sky": _landscape(_grass),
    "a snowy field under a blue sky": _landscape(_snow),
    "a beach under a blue sky": _landscape(_sand),
    "the sea under a blue sky": _landscape(_water),
}
