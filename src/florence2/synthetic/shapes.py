"""Drawings that need no files: plain shapes and simple things in every color of the palette."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from .canvas import Canvas, Point
from .colors import PALETTE
from .objects import OBJECT_SHAPES
from .sprites import Sprite


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
    return Sprite.drawn(category, f"shapes/{category}-{name}", pen.drawing())


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
