"""Draws the picture that comes with the package: a house, a sign, a car, a tree and two balls.

Run ``python recipes/demo_picture.py`` to write ``src/florence2/nano/demo.png`` anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from florence2.durable import replacing

TARGET = Path(__file__).resolve().parents[1] / "src" / "florence2" / "nano" / "demo.png"
WIDTH, HEIGHT = 640, 480
HORIZON = 304

# Drawn this much larger and shrunk at the end, which smooths the edges.
OVERSAMPLING = 4

Colour = str | tuple[int, int, int]


class Canvas:
    """Shapes in pixels of the finished picture, drawn on the larger one."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
        self._draw = ImageDraw.Draw(self.image)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour, radius: float = 0
    ) -> None:
        self._draw.rounded_rectangle(_scaled(x0, y0, x1, y1), radius * OVERSAMPLING, fill)

    def ball(self, x: float, y: float, radius: float, fill: Colour) -> None:
        self._draw.ellipse(_scaled(x - radius, y - radius, x + radius, y + radius), fill)

    def arc(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, width: float) -> None:
        bounds = _scaled(x0, y0, x1, y1)
        self._draw.arc(bounds, 0, 360, fill, round(width * OVERSAMPLING))

    def shape(self, points: Sequence[float], fill: Colour) -> None:
        self._draw.polygon(_scaled(*points), fill)

    def line(self, points: Sequence[float], fill: Colour, width: float) -> None:
        self._draw.line(_scaled(*points), fill, round(width * OVERSAMPLING), joint="curve")

    def slice(self, x: float, y: float, radius: float, start: float, fill: Colour) -> None:
        bounds = _scaled(x - radius, y - radius, x + radius, y + radius)
        self._draw.pieslice(bounds, start, start + 60, fill)

    def text(self, x: float, y: float, words: str, size: float, fill: Colour) -> None:
        font = ImageFont.load_default(size * OVERSAMPLING)
        stroke = OVERSAMPLING // 2
        centre = (x * OVERSAMPLING, y * OVERSAMPLING)
        self._draw.text(centre, words, fill, font, anchor="mm", stroke_width=stroke)

    def finished(self) -> Image.Image:
        return self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def demo_picture() -> Image.Image:
    """The picture, RGB, 640 x 480: the same on every run."""
    canvas = Canvas()
    draw_sky(canvas)
    draw_ground(canvas)
    draw_tree(canvas, 548, 330)
    draw_house(canvas)
    draw_sign(canvas, 437, 318)
    draw_car(canvas, 62, 404)
    draw_beach_ball(canvas, 402, 440, 30)
    draw_plain_ball(canvas, 512, 446, 19)
    return canvas.finished()


def draw_sky(canvas: Canvas) -> None:
    top, bottom = (86, 170, 232), (214, 238, 250)
    for y in range(HORIZON):
        share = y / HORIZON
        mixed = [round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)]
        canvas.box(0, y, WIDTH, y + 1, (mixed[0], mixed[1], mixed[2]))
    canvas.ball(486, 78, 44, "#ffe9a3")
    canvas.ball(486, 78, 36, "#ffd447")
    for x, y, size in ((104, 74, 1.0), (590, 66, 0.8)):
        for dx, dy, radius in ((-36, 8, 20), (-10, -6, 28), (22, 0, 24), (44, 11, 16)):
            canvas.ball(x + dx * size, y + dy * size, radius * size, "white")
        canvas.box(x - 56 * size, y + 6 * size, x + 60 * size, y + 28 * size, "white", 11 * size)


def draw_ground(canvas: Canvas) -> None:
    canvas.ball(130, 520, 270, "#8fcb74")
    canvas.ball(520, 640, 375, "#9cd27f")
    canvas.box(0, HORIZON, WIDTH, HEIGHT, "#6fb858")
    canvas.shape([240, 330, 286, 330, 336, 372, 196, 372], "#d9c7a4")
    canvas.box(0, 370, WIDTH, 376, "#cfc8bb")
    canvas.box(0, 376, WIDTH, 416, "#71767f")
    for x in range(12, WIDTH, 80):
        canvas.box(x, 394, x + 40, 398, "#f2efe4")
    canvas.box(0, 416, WIDTH, 422, "#cfc8bb")
    for x, y in ((24, 446), (96, 466), (190, 444), (286, 462), (352, 470), (464, 468), (604, 452)):
        canvas.line([x - 5, y - 9, x, y, x + 5, y - 9], "#4f9740", 2)
        canvas.line([x, y, x, y - 12], "#4f9740", 2)


def draw_tree(canvas: Canvas, x: float, foot: float) -> None:
    canvas.shape([x - 13, foot, x - 8, foot - 110, x + 8, foot - 110, x + 13, foot], "#8a5a34")
    leaves = ((0, -172, 48), (-42, -136, 40), (42, -136, 40), (0, -122, 44))
    for dx, dy, radius in leaves:
        canvas.ball(x + dx, foot + dy, radius, "#2f8a45")
    for dx, dy, radius in leaves:
        canvas.ball(x + dx - 7, foot + dy - 8, radius * 0.72, "#43a357")


def draw_house(canvas: Canvas) -> None:
    canvas.box(340, 122, 366, 190, "#a4553c")
    canvas.box(336, 116, 370, 128, "#8d4631")
    canvas.box(150, 196, 376, 332, "#f6e2bd")
    canvas.box(150, 322, 376, 332, "#cdb891")
    canvas.shape([130, 200, 208, 110, 318, 110, 396, 200], "#b5452f")
    canvas.shape([130, 200, 137, 192, 389, 192, 396, 200], "#8f3423")
    canvas.box(236, 240, 288, 332, "#3f6a8c", 3)
    canvas.box(244, 248, 280, 284, "#9bc7de", 3)
    canvas.ball(281, 296, 3.5, "#f4d35e")
    for x in (172, 308):
        canvas.box(x - 4, 232, x + 48, 284, "white", 2)
        canvas.box(x, 236, x + 44, 280, "#8ec9ea")
        canvas.shape([x, 280, x, 262, x + 26, 236, x + 42, 236], "#b9e0f3")
        canvas.line([x + 22, 236, x + 22, 280], "white", 3)
        canvas.line([x, 258, x + 44, 258], "white", 3)
        canvas.box(x - 6, 284, x + 50, 292, "#b5452f", 2)


def draw_sign(canvas: Canvas, x: float, y: float) -> None:
    canvas.box(x - 4, y, x + 4, y + 50, "#77512f")
    canvas.box(x - 48, y - 42, x + 48, y + 8, "#77512f", 6)
    canvas.box(x - 43, y - 37, x + 43, y + 3, "#fffdf4", 4)
    canvas.text(x, y - 17, "OPEN", 27, "#1d3557")


def draw_car(canvas: Canvas, x: float, foot: float) -> None:
    canvas.box(x + 6, foot - 5, x + 206, foot + 4, "#5a5e66", 4)
    roof = [x + 44, foot - 58, x + 70, foot - 92, x + 138, foot - 92, x + 170, foot - 58]
    canvas.shape(roof, "#d62828")
    canvas.box(x + 66, foot - 96, x + 142, foot - 84, "#d62828", 6)
    canvas.box(x, foot - 60, x + 212, foot - 16, "#d62828", 14)
    canvas.box(x + 3, foot - 28, x + 209, foot - 16, "#a81e1e", 6)
    front = [x + 110, foot - 60, x + 110, foot - 86, x + 134, foot - 86, x + 158, foot - 60]
    rear = [x + 56, foot - 60, x + 75, foot - 86, x + 102, foot - 86, x + 102, foot - 60]
    canvas.shape(front, "#cfeaf7")
    canvas.shape(rear, "#cfeaf7")
    canvas.line([x + 106, foot - 56, x + 106, foot - 24], "#a81e1e", 2)
    canvas.box(x + 112, foot - 50, x + 126, foot - 46, "#7a1414", 2)
    canvas.ball(x + 203, foot - 44, 7, "#ffe08a")
    canvas.box(x, foot - 50, x + 8, foot - 38, "#ff9f80", 3)
    for wheel in (x + 48, x + 164):
        canvas.ball(wheel, foot - 18, 23, "#26282c")
        canvas.ball(wheel, foot - 18, 12, "#c9ced6")
        canvas.ball(wheel, foot - 18, 4, "#5f656e")


def draw_beach_ball(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.box(x - radius, y + radius - 5, x + radius, y + radius + 4, "#5a9f47", 4)
    colours = ("#ffffff", "#f77f00", "#ffffff", "#1d7fd1", "#ffffff", "#f9c80e")
    for index, colour in enumerate(colours):
        canvas.slice(x, y, radius, 60 * index + 18, colour)
    canvas.arc(x - radius, y - radius, x + radius, y + radius, "#4a5562", 1.5)
    canvas.ball(x, y, radius * 0.2, "#ffffff")


def draw_plain_ball(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.box(x - radius, y + radius - 4, x + radius, y + radius + 3, "#5a9f47", 3)
    canvas.ball(x, y, radius, "#7b2cbf")
    canvas.ball(x - radius * 0.3, y - radius * 0.35, radius * 0.3, "#b98be0")


def main() -> None:
    with replacing(TARGET) as temporary:
        demo_picture().save(temporary, format="PNG", optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def _scaled(*coordinates: float) -> list[float]:
    return [each * OVERSAMPLING for each in coordinates]


if __name__ == "__main__":
    main()
