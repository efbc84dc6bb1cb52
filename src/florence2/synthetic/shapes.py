"""Procedural sprites: plain shapes and simple objects in the colors of the palette."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .colors import PALETTE, Rgb
from .sprites import Sprite

_SIDE = 144
_OVERSAMPLING = 3

Point = tuple[float, float]


class Canvas:
    """Draws on a transparent square whose sides run from 0 to 1."""

    def __init__(self, color: Rgb, rng: np.random.Generator) -> None:
        self.color = color
        self.rng = rng
        self.scale = _SIDE * _OVERSAMPLING
        self.image = Image.new("RGBA", (self.scale, self.scale), (*color, 0))
        self._draw = ImageDraw.Draw(self.image)

    def shade(self, factor: float) -> Rgb:
        """The main color made darker (below 1) or lighter (above 1)."""
        if factor <= 1:
            red, green, blue = (round(value * factor) for value in self.color)
        else:
            red, green, blue = (round(255 - (255 - value) * (2 - factor)) for value in self.color)
        return red, green, blue

    def vary(self, low: float, high: float) -> float:
        """A random number that varies the drawing."""
        return float(self.rng.uniform(low, high))

    def polygon(self, points: Sequence[Point], fill: Rgb | None = None) -> None:
        """A filled polygon."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self._draw.polygon(scaled, fill=fill or self.color)

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Rgb | None = None) -> None:
        """A filled ellipse in the given bounds."""
        self._draw.ellipse(self._scaled(x0, y0, x1, y1), fill=fill or self.color)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: Rgb | None = None,
        radius: float = 0.0,
    ) -> None:
        """A filled rectangle; ``radius`` rounds its corners."""
        self._draw.rounded_rectangle(
            self._scaled(x0, y0, x1, y1), radius * self.scale, fill=fill or self.color
        )

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, angles: tuple[float, float], width: float
    ) -> None:
        """A stroke along an ellipse, ``angles`` in degrees clockwise from three o'clock."""
        self._draw.arc(
            self._scaled(x0, y0, x1, y1), *angles, fill=self.color, width=round(width * self.scale)
        )

    def line(self, points: Sequence[Point], width: float, fill: Rgb | None = None) -> None:
        """A stroke with round joints."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        pixels = round(width * self.scale)
        self._draw.line(scaled, fill=fill or self.color, width=pixels, joint="curve")

    def erase(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """An elliptical hole."""
        self._draw.ellipse(self._scaled(x0, y0, x1, y1), fill=(*self.color, 0))

    def drawing(self) -> NDArray[np.uint8]:
        """The drawing, ``uint8[h, w, 4]``, antialiased and cropped."""
        small = self.image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(small.crop(small.getchannel("A").getbbox()))

    def _scaled(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, ...]:
        return x0 * self.scale, y0 * self.scale, x1 * self.scale, y1 * self.scale


@lru_cache(maxsize=1)
def load_shape_sprites() -> list[Sprite]:
    """One sprite of every shape and simple object in each of its colors."""
    sprites = []
    for category, (draw, colors) in {**PLAIN_SHAPES, **OBJECT_SHAPES}.items():
        for number, name in enumerate(colors):
            sprites.append(_draw_sprite(category, draw, name, number))
    return sprites


def _draw_sprite(category: str, draw: Callable[[Canvas], None], name: str, number: int) -> Sprite:
    rng = np.random.default_rng([number, *category.encode()])
    spread = rng.integers(-9, 10, 3)
    red, green, blue = (int(v) for v in np.clip(np.array(PALETTE[name]) + spread, 0, 255))
    canvas = Canvas((red, green, blue), rng)
    draw(canvas)
    return Sprite.from_image(category, f"shapes/{category}-{name}", canvas.drawing())


def _points_on_circle(count: int, radii: Sequence[float], start: float = -90.0) -> list[Point]:
    """Points around the center, at alternating distances."""
    angles = np.radians(start + 360 / count * np.arange(count))
    return [
        (0.5 + radii[i % len(radii)] * np.cos(a), 0.5 + radii[i % len(radii)] * np.sin(a))
        for i, a in enumerate(angles)
    ]


def _circle(canvas: Canvas) -> None:
    canvas.ellipse(0, 0, 1, 1)


def _square(canvas: Canvas) -> None:
    canvas.box(0, 0, 1, 1)


def _triangle(canvas: Canvas) -> None:
    canvas.polygon([(canvas.vary(0.35, 0.65), 0), (1, 0.9), (0, 0.9)])


def _star(canvas: Canvas) -> None:
    canvas.polygon(_points_on_circle(10, (0.5, canvas.vary(0.19, 0.25))))


def _heart(canvas: Canvas) -> None:
    angles = np.linspace(0, 2 * np.pi, 80)
    x = 16 * np.sin(angles) ** 3
    y = 13 * np.cos(angles) - 5 * np.cos(2 * angles) - 2 * np.cos(3 * angles) - np.cos(4 * angles)
    canvas.polygon([(float(0.5 + a / 34), float(0.45 - b / 34)) for a, b in zip(x, y, strict=True)])


def _ring(canvas: Canvas) -> None:
    width = canvas.vary(0.13, 0.22)
    canvas.ellipse(0, 0, 1, 1)
    canvas.erase(width, width, 1 - width, 1 - width)


def _arrow(canvas: Canvas) -> None:
    half, neck = canvas.vary(0.09, 0.14), canvas.vary(0.55, 0.65)
    head = [(neck, 0.18), (1, 0.5), (neck, 0.82)]
    canvas.polygon(
        [(0, 0.5 - half), (neck, 0.5 - half), *head, (neck, 0.5 + half), (0, 0.5 + half)]
    )


def _cross(canvas: Canvas) -> None:
    half = canvas.vary(0.12, 0.18)
    canvas.box(0.5 - half, 0, 0.5 + half, 1)
    canvas.box(0, 0.5 - half, 1, 0.5 + half)


def _diamond(canvas: Canvas) -> None:
    half = canvas.vary(0.32, 0.45)
    canvas.polygon([(0.5, 0), (0.5 + half, 0.5), (0.5, 1), (0.5 - half, 0.5)])


def _hexagon(canvas: Canvas) -> None:
    canvas.polygon(_points_on_circle(6, (0.5,), start=0.0))


PLAIN_SHAPES: dict[str, tuple[Callable[[Canvas], None], tuple[str, ...]]] = {
    "circle": (_circle, tuple(PALETTE)),
    "square": (_square, tuple(PALETTE)),
    "triangle": (_triangle, tuple(PALETTE)),
    "star": (_star, tuple(PALETTE)),
    "heart": (_heart, tuple(PALETTE)),
    "ring": (_ring, tuple(PALETTE)),
    "arrow": (_arrow, tuple(PALETTE)),
    "cross": (_cross, tuple(PALETTE)),
    "diamond": (_diamond, tuple(PALETTE)),
    "hexagon": (_hexagon, tuple(PALETTE)),
}


_DARK: Rgb = (45, 45, 50)
_PALE: Rgb = (215, 232, 245)
_WOOD: Rgb = (118, 78, 46)
_LEAF: Rgb = (70, 150, 70)


def _ball(canvas: Canvas) -> None:
    canvas.ellipse(0, 0, 1, 1, canvas.shade(0.8))
    canvas.ellipse(0.02, 0.0, 0.96, 0.94)
    canvas.ellipse(0.2, 0.13, 0.45, 0.36, canvas.shade(1.5))


def _crate(canvas: Canvas) -> None:
    depth = canvas.vary(0.18, 0.28)
    canvas.polygon([(0, depth), (depth, 0), (1, 0), (1 - depth, depth)], canvas.shade(1.3))
    canvas.polygon([(1 - depth, depth), (1, 0), (1, 1 - depth), (1 - depth, 1)], canvas.shade(0.75))
    canvas.box(0, depth, 1 - depth, 1)


def _house(canvas: Canvas) -> None:
    eaves = canvas.vary(0.38, 0.5)
    canvas.box(0.1, eaves, 0.9, 1)
    canvas.polygon([(0, eaves), (0.5, 0.02), (1, eaves)], canvas.shade(0.65))
    canvas.box(0.43, 0.68, 0.6, 1, _WOOD)
    canvas.box(0.2, eaves + 0.1, 0.36, eaves + 0.26, _PALE)
    canvas.box(0.66, eaves + 0.1, 0.82, eaves + 0.26, _PALE)


def _tree(canvas: Canvas) -> None:
    canvas.box(0.43, 0.6, 0.57, 1, _WOOD)
    if canvas.vary(0, 1) < 0.5:
        canvas.ellipse(0.1, 0.1, 0.9, 0.72)
        canvas.ellipse(0.25, 0, 0.75, 0.5, canvas.shade(1.12))
        return
    for top, half in ((0.0, 0.25), (0.2, 0.33), (0.42, 0.42)):
        canvas.polygon([(0.5, top), (0.5 + half, top + 0.38), (0.5 - half, top + 0.38)])


def _car(canvas: Canvas) -> None:
    nose = canvas.vary(0.68, 0.78)
    canvas.polygon([(0.18, 0.48), (0.32, 0.22), (nose, 0.22), (0.86, 0.48)])
    canvas.polygon([(0.27, 0.46), (0.36, 0.28), (0.5, 0.28), (0.5, 0.46)], _PALE)
    canvas.polygon([(0.54, 0.46), (0.54, 0.28), (nose - 0.03, 0.28), (0.78, 0.46)], _PALE)
    canvas.box(0, 0.45, 1, 0.72, radius=0.08)
    for middle in (0.24, 0.77):
        canvas.ellipse(middle - 0.12, 0.6, middle + 0.12, 0.84, _DARK)
        canvas.ellipse(middle - 0.05, 0.67, middle + 0.05, 0.77, (190, 190, 195))


def _fish(canvas: Canvas) -> None:
    canvas.polygon([(0.62, 0.5), (1, 0.24), (0.92, 0.5), (1, 0.76)], canvas.shade(0.8))
    canvas.polygon([(0.3, 0.35), (0.45, 0.14), (0.62, 0.36)], canvas.shade(0.8))
    canvas.ellipse(0, 0.26, 0.75, 0.74)
    canvas.ellipse(0.12, 0.4, 0.22, 0.5, (250, 250, 250))
    canvas.ellipse(0.145, 0.425, 0.2, 0.48, _DARK)


def _flower(canvas: Canvas) -> None:
    canvas.line([(0.5, 0.4), (0.5, 1)], 0.05, _LEAF)
    canvas.ellipse(0.5, 0.74, 0.76, 0.86, _LEAF)
    count = int(canvas.rng.integers(5, 8))
    for angles in 2 * np.pi * np.arange(count) / count:
        x, y = 0.5 + 0.2 * np.cos(angles), 0.34 + 0.2 * np.sin(angles)
        canvas.ellipse(x - 0.14, y - 0.14, x + 0.14, y + 0.14)
    canvas.ellipse(0.38, 0.22, 0.62, 0.46, (120, 75, 30))


def _cup(canvas: Canvas) -> None:
    canvas.arc(0.6, 0.25, 1, 0.7, (-90, 90), 0.08)
    taper = canvas.vary(0.02, 0.12)
    canvas.polygon([(0, 0.1), (0.76, 0.1), (0.76 - taper, 0.9), (taper, 0.9)])
    canvas.ellipse(0, 0.02, 0.76, 0.2, canvas.shade(0.65))


def _kite(canvas: Canvas) -> None:
    canvas.line([(0.5, 0.6), (0.44, 0.75), (0.58, 0.86), (0.5, 1)], 0.025, _DARK)
    canvas.polygon([(0.5, 0), (0.85, 0.3), (0.5, 0.72), (0.15, 0.3)])
    canvas.polygon([(0.5, 0), (0.85, 0.3), (0.5, 0.3)], canvas.shade(1.35))
    canvas.polygon([(0.15, 0.3), (0.5, 0.3), (0.5, 0.72)], canvas.shade(0.75))


def _mushroom(canvas: Canvas) -> None:
    canvas.box(0.36, 0.45, 0.64, 1, (240, 228, 205), 0.08)
    canvas.polygon(_dome())
    for x, y, radius in ((0.3, 0.32, 0.07), (0.55, 0.18, 0.08), (0.74, 0.38, 0.06)):
        canvas.ellipse(x - radius, y - radius, x + radius, y + radius, (250, 250, 245))


def _dome() -> list[tuple[float, float]]:
    turns = np.linspace(np.pi, 2 * np.pi, 40)
    return [(float(0.5 + 0.5 * np.cos(t)), float(0.55 + 0.53 * np.sin(t))) for t in turns]


def _umbrella(canvas: Canvas) -> None:
    canvas.line([(0.5, 0.3), (0.5, 0.92), (0.42, 0.97), (0.36, 0.9)], 0.04, _DARK)
    canvas.polygon(_dome())
    for left in (0.0, 0.25, 0.5, 0.75):
        canvas.erase(left, 0.48, left + 0.25, 0.62)


def _balloon(canvas: Canvas) -> None:
    canvas.line([(0.5, 0.7), (0.46, 0.82), (0.54, 0.9), (0.5, 1)], 0.02, _DARK)
    canvas.polygon([(0.5, 0.68), (0.56, 0.78), (0.44, 0.78)], canvas.shade(0.8))
    canvas.ellipse(0.16, 0, 0.84, 0.74)
    canvas.ellipse(0.28, 0.1, 0.42, 0.3, canvas.shade(1.6))


def _boat(canvas: Canvas) -> None:
    canvas.box(0.48, 0.04, 0.52, 0.7, _WOOD)
    canvas.polygon([(0.54, 0.06), (0.92, 0.6), (0.54, 0.6)], (240, 240, 235))
    canvas.polygon([(0.46, 0.14), (0.46, 0.6), (0.16, 0.6)], (225, 225, 220))
    canvas.polygon([(0, 0.66), (1, 0.66), (0.82, 0.95), (0.18, 0.95)])


def _shirt(canvas: Canvas) -> None:
    right = [(0.7, 0.05), (1, 0.25), (0.9, 0.45), (0.76, 0.38), (0.76, 0.95)]
    canvas.polygon([*right, *((1 - x, y) for x, y in reversed(right))])
    canvas.erase(0.37, -0.06, 0.63, 0.15)


OBJECT_SHAPES: dict[str, tuple[Callable[[Canvas], None], tuple[str, ...]]] = {
    "ball": (_ball, tuple(PALETTE)),
    "box": (_crate, tuple(PALETTE)),
    "house": (_house, ("red", "orange", "yellow", "blue", "white", "gray", "brown")),
    "tree": (_tree, ("green", "orange", "red", "yellow")),
    "car": (_car, tuple(PALETTE)),
    "fish": (_fish, ("red", "orange", "yellow", "green", "blue", "purple", "gray")),
    "flower": (_flower, ("red", "orange", "yellow", "blue", "purple", "pink", "white")),
    "cup": (_cup, tuple(PALETTE)),
    "kite": (_kite, ("red", "orange", "yellow", "green", "blue", "purple", "pink")),
    "mushroom": (_mushroom, ("red", "orange", "brown", "purple")),
    "umbrella": (_umbrella, tuple(PALETTE)),
    "balloon": (_balloon, ("red", "orange", "yellow", "green", "blue", "purple", "pink")),
    "boat": (_boat, ("red", "orange", "green", "blue", "brown", "black")),
    "shirt": (_shirt, tuple(PALETTE)),
}
"""The function that draws each object, and its colors."""
