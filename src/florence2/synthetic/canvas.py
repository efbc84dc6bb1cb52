"""A pen for drawing cut-out things from plain shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .colors import Rgb

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
