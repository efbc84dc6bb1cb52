"""A pen for drawing cut-out things from plain shapes."""

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
        """A random number that tells one drawing from the next."""
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
        """A filled rectangle, with round corners if asked."""
        self._draw.rounded_rectangle(
            self._scaled(x0, y0, x1, y1), radius * self.scale, fill=fill or self.color
        )

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, turn: tuple[float, float], width: float
    ) -> None:
        """A stroke along an ellipse, ``turn`` in degrees clockwise from three o'clock."""
        self._draw.arc(
            self._scaled(x0, y0, x1, y1), *turn, fill=self.color, width=round(width * self.scale)
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
        """What was drawn, ``uint8[h, w, 4]``, smooth at the edges and cropped tight."""
        small = self.image.resize((_SIDE, _SIDE), Image.Resampling.BOX)
        return np.asarray(small.crop(small.getchannel("A").getbbox()))

    def _scaled(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, ...]:
        return x0 * self.scale, y0 * self.scale, x1 * self.scale, y1 * self.scale


@lru_cache(maxsize=1)
def load_shape_sprites() -> list[Sprite]:
    """One drawing of every kind of shape in every color that becomes it."""
    sprites = []
    for category, (draw, colors) in {**PLAIN_SHAPES, **OBJECT_SHAPES}.items():
        for number, name in enumerate(colors):
            sprites.append(_draw_sprite(category, draw, name, number))
    return sprites


def _draw_sprite(category: str, draw: Callable[[Canvas], None], name: str, number: int) -> Sprite:
    rng = np.random.default_rng([number, *category.encode()])
    spread = rng.integers(-9, 10, 3)
    red, green, blue = (int(v) for v in np.clip(np.array(PALETTE[name]) + spread, 0, 255))
    pen = Canvas((red, green, blue), rng)
    draw(pen)
    return Sprite.from_image(category, f"shapes/{category}-{name}", pen.drawing())


def _points_on_circle(count: int, radii: Sequence[float], start: float = -90.0) -> list[Point]:
    """Points around the middle, at the given distances in turn."""
    angles = np.radians(start + 360 / count * np.arange(count))
    return [
        (0.5 + radii[i % len(radii)] * np.cos(a), 0.5 + radii[i % len(radii)] * np.sin(a))
        for i, a in enumerate(angles)
    ]


def _circle(pen: Canvas) -> None:
    pen.ellipse(0, 0, 1, 1)


def _square(pen: Canvas) -> None:
    pen.box(0, 0, 1, 1)


def _triangle(pen: Canvas) -> None:
    pen.polygon([(pen.vary(0.35, 0.65), 0), (1, 0.9), (0, 0.9)])


def _star(pen: Canvas) -> None:
    pen.polygon(_points_on_circle(10, (0.5, pen.vary(0.19, 0.25))))


def _heart(pen: Canvas) -> None:
    turn = np.linspace(0, 2 * np.pi, 80)
    x = 16 * np.sin(turn) ** 3
    y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
    pen.polygon([(float(0.5 + a / 34), float(0.45 - b / 34)) for a, b in zip(x, y, strict=True)])


def _ring(pen: Canvas) -> None:
    width = pen.vary(0.13, 0.22)
    pen.ellipse(0, 0, 1, 1)
    pen.erase(width, width, 1 - width, 1 - width)


def _arrow(pen: Canvas) -> None:
    half, neck = pen.vary(0.09, 0.14), pen.vary(0.55, 0.65)
    head = [(neck, 0.18), (1, 0.5), (neck, 0.82)]
    pen.polygon([(0, 0.5 - half), (neck, 0.5 - half), *head, (neck, 0.5 + half), (0, 0.5 + half)])


def _cross(pen: Canvas) -> None:
    half = pen.vary(0.12, 0.18)
    pen.box(0.5 - half, 0, 0.5 + half, 1)
    pen.box(0, 0.5 - half, 1, 0.5 + half)


def _diamond(pen: Canvas) -> None:
    half = pen.vary(0.32, 0.45)
    pen.polygon([(0.5, 0), (0.5 + half, 0.5), (0.5, 1), (0.5 - half, 0.5)])


def _hexagon(pen: Canvas) -> None:
    pen.polygon(_points_on_circle(6, (0.5,), start=0.0))


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


def _ball(pen: Canvas) -> None:
    pen.ellipse(0, 0, 1, 1, pen.shade(0.8))
    pen.ellipse(0.02, 0.0, 0.96, 0.94)
    pen.ellipse(0.2, 0.13, 0.45, 0.36, pen.shade(1.5))


def _crate(pen: Canvas) -> None:
    depth = pen.vary(0.18, 0.28)
    pen.polygon([(0, depth), (depth, 0), (1, 0), (1 - depth, depth)], pen.shade(1.3))
    pen.polygon([(1 - depth, depth), (1, 0), (1, 1 - depth), (1 - depth, 1)], pen.shade(0.75))
    pen.box(0, depth, 1 - depth, 1)


def _house(pen: Canvas) -> None:
    eaves = pen.vary(0.38, 0.5)
    pen.box(0.1, eaves, 0.9, 1)
    pen.polygon([(0, eaves), (0.5, 0.02), (1, eaves)], pen.shade(0.65))
    pen.box(0.43, 0.68, 0.6, 1, _WOOD)
    pen.box(0.2, eaves + 0.1, 0.36, eaves + 0.26, _PALE)
    pen.box(0.66, eaves + 0.1, 0.82, eaves + 0.26, _PALE)


def _tree(pen: Canvas) -> None:
    pen.box(0.43, 0.6, 0.57, 1, _WOOD)
    if pen.vary(0, 1) < 0.5:
        pen.ellipse(0.1, 0.1, 0.9, 0.72)
        pen.ellipse(0.25, 0, 0.75, 0.5, pen.shade(1.12))
        return
    for top, half in ((0.0, 0.25), (0.2, 0.33), (0.42, 0.42)):
        pen.polygon([(0.5, top), (0.5 + half, top + 0.38), (0.5 - half, top + 0.38)])


def _car(pen: Canvas) -> None:
    nose = pen.vary(0.68, 0.78)
    pen.polygon([(0.18, 0.48), (0.32, 0.22), (nose, 0.22), (0.86, 0.48)])
    pen.polygon([(0.27, 0.46), (0.36, 0.28), (0.5, 0.28), (0.5, 0.46)], _PALE)
    pen.polygon([(0.54, 0.46), (0.54, 0.28), (nose - 0.03, 0.28), (0.78, 0.46)], _PALE)
    pen.box(0, 0.45, 1, 0.72, radius=0.08)
    for middle in (0.24, 0.77):
        pen.ellipse(middle - 0.12, 0.6, middle + 0.12, 0.84, _DARK)
        pen.ellipse(middle - 0.05, 0.67, middle + 0.05, 0.77, (190, 190, 195))


def _fish(pen: Canvas) -> None:
    pen.polygon([(0.62, 0.5), (1, 0.24), (0.92, 0.5), (1, 0.76)], pen.shade(0.8))
    pen.polygon([(0.3, 0.35), (0.45, 0.14), (0.62, 0.36)], pen.shade(0.8))
    pen.ellipse(0, 0.26, 0.75, 0.74)
    pen.ellipse(0.12, 0.4, 0.22, 0.5, (250, 250, 250))
    pen.ellipse(0.145, 0.425, 0.2, 0.48, _DARK)


def _flower(pen: Canvas) -> None:
    pen.line([(0.5, 0.4), (0.5, 1)], 0.05, _LEAF)
    pen.ellipse(0.5, 0.74, 0.76, 0.86, _LEAF)
    count = int(pen.rng.integers(5, 8))
    for turn in 2 * np.pi * np.arange(count) / count:
        x, y = 0.5 + 0.2 * np.cos(turn), 0.34 + 0.2 * np.sin(turn)
        pen.ellipse(x - 0.14, y - 0.14, x + 0.14, y + 0.14)
    pen.ellipse(0.38, 0.22, 0.62, 0.46, (120, 75, 30))


def _cup(pen: Canvas) -> None:
    pen.arc(0.6, 0.25, 1, 0.7, (-90, 90), 0.08)
    taper = pen.vary(0.02, 0.12)
    pen.polygon([(0, 0.1), (0.76, 0.1), (0.76 - taper, 0.9), (taper, 0.9)])
    pen.ellipse(0, 0.02, 0.76, 0.2, pen.shade(0.65))


def _kite(pen: Canvas) -> None:
    pen.line([(0.5, 0.6), (0.44, 0.75), (0.58, 0.86), (0.5, 1)], 0.025, _DARK)
    pen.polygon([(0.5, 0), (0.85, 0.3), (0.5, 0.72), (0.15, 0.3)])
    pen.polygon([(0.5, 0), (0.85, 0.3), (0.5, 0.3)], pen.shade(1.35))
    pen.polygon([(0.15, 0.3), (0.5, 0.3), (0.5, 0.72)], pen.shade(0.75))


def _mushroom(pen: Canvas) -> None:
    pen.box(0.36, 0.45, 0.64, 1, (240, 228, 205), 0.08)
    pen.polygon(_dome())
    for x, y, radius in ((0.3, 0.32, 0.07), (0.55, 0.18, 0.08), (0.74, 0.38, 0.06)):
        pen.ellipse(x - radius, y - radius, x + radius, y + radius, (250, 250, 245))


def _dome() -> list[tuple[float, float]]:
    turns = np.linspace(np.pi, 2 * np.pi, 40)
    return [(float(0.5 + 0.5 * np.cos(t)), float(0.55 + 0.53 * np.sin(t))) for t in turns]


def _umbrella(pen: Canvas) -> None:
    pen.line([(0.5, 0.3), (0.5, 0.92), (0.42, 0.97), (0.36, 0.9)], 0.04, _DARK)
    pen.polygon(_dome())
    for left in (0.0, 0.25, 0.5, 0.75):
        pen.erase(left, 0.48, left + 0.25, 0.62)


def _balloon(pen: Canvas) -> None:
    pen.line([(0.5, 0.7), (0.46, 0.82), (0.54, 0.9), (0.5, 1)], 0.02, _DARK)
    pen.polygon([(0.5, 0.68), (0.56, 0.78), (0.44, 0.78)], pen.shade(0.8))
    pen.ellipse(0.16, 0, 0.84, 0.74)
    pen.ellipse(0.28, 0.1, 0.42, 0.3, pen.shade(1.6))


def _boat(pen: Canvas) -> None:
    pen.box(0.48, 0.04, 0.52, 0.7, _WOOD)
    pen.polygon([(0.54, 0.06), (0.92, 0.6), (0.54, 0.6)], (240, 240, 235))
    pen.polygon([(0.46, 0.14), (0.46, 0.6), (0.16, 0.6)], (225, 225, 220))
    pen.polygon([(0, 0.66), (1, 0.66), (0.82, 0.95), (0.18, 0.95)])


def _shirt(pen: Canvas) -> None:
    right = [(0.7, 0.05), (1, 0.25), (0.9, 0.45), (0.76, 0.38), (0.76, 0.95)]
    pen.polygon([*right, *((1 - x, y) for x, y in reversed(right))])
    pen.erase(0.37, -0.06, 0.63, 0.15)


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
"""What draws each thing, and the colors that become it."""
