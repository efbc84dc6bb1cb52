"""Answers drawn on pictures: boxes, quads and polygons with legible labels, texts underneath."""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Sequence
from functools import lru_cache
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageFont import FreeTypeFont

from .results import Answer, Boxes, Polygons, Quads, Regions, Text

Color = tuple[int, int, int]
Point = tuple[float, float]


def draw_answer(image: Image.Image, answer: Answer) -> Image.Image:
    """A new RGB picture with the answer on it; a text stands in a strip below the picture."""
    picture = image.convert("RGB")
    if isinstance(answer, Text):
        return _with_caption(picture, answer.plain)
    if picture is image:
        picture = image.copy()
    line = max(2, round(min(picture.size) / 240))
    colors = [color_of(label or str(index)) for index, label in enumerate(answer.labels)]
    outlines = _outlines(answer)
    if isinstance(answer, Polygons):
        picture = _filled(picture, outlines, colors)
    pen = ImageDraw.Draw(picture)
    for points_of_instance, color in zip(outlines, colors, strict=True):
        for points in points_of_instance:
            pen.line([*points, points[0]], fill=color, width=line, joint="curve")
    font = _font(max(11, round(min(picture.size) / 36)))
    for index, color in enumerate(colors):
        _draw_label(pen, picture.size, _label(answer, index), _anchor(outlines[index]), color, font)
    return picture


def color_of(label: str) -> Color:
    """A strong colour that belongs to the label, the same in every picture."""
    hue = zlib.crc32(label.encode("utf-8")) / 2**32
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def _outlines(answer: Regions) -> list[list[list[Point]]]:
    """The closed lines of every instance, as points."""
    if isinstance(answer, Boxes):
        corners = answer.xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        return [[_points(each)] for each in corners]
    if isinstance(answer, Quads):
        return [[_points(each)] for each in answer.corners]
    return [[_points(part) for part in parts if len(part)] for parts in answer.polygons]


def _points(values: np.ndarray) -> list[Point]:
    return [(float(x), float(y)) for x, y in values]


def _filled(
    picture: Image.Image, outlines: Sequence[Sequence[list[Point]]], colors: Sequence[Color]
) -> Image.Image:
    """The picture with every instance of polygons filled, so that it shines through."""
    overlay = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(overlay)
    for instance, color in zip(outlines, colors, strict=True):
        for points in instance:
            if len(points) > 2:
                pen.polygon(points, fill=(*color, 96))
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def _label(answer: Regions, index: int) -> str:
    """What stands at an instance: its label, with the score where one is known."""
    label = " ".join(answer.labels[index].split())
    if answer.scores is None:
        return label
    return f"{label} {answer.scores[index]:.2f}".strip()


def _anchor(instance: Sequence[list[Point]]) -> Point:
    points = [point for part in instance for point in part]
    return (min(x for x, _ in points), min(y for _, y in points)) if points else (0.0, 0.0)


def _draw_label(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    label: str,
    anchor: Point,
    color: Color,
    font: FreeTypeFont,
) -> None:
    """A plate with the label on top of the anchor, moved so that it stays in the picture."""
    if not label:
        return
    label = _drawable(label)
    left, top, right, bottom = font.getbbox(label)
    pad = max(2, round(font.size / 6))
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(0.0, anchor[0]), max(0.0, size[0] - width))
    y = anchor[1] - height if anchor[1] >= height else anchor[1]
    y = min(max(0.0, y), max(0.0, size[1] - height))
    pen.rectangle((x, y, x + width, y + height), fill=color)
    brightness = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = "black" if brightness > 140 else "white"
    pen.text((x + pad - left, y + pad - top), label, fill=ink, font=font)


def _with_caption(picture: Image.Image, text: str) -> Image.Image:
    font = _font(max(13, round(picture.width / 38)))
    characters = max(8, int(picture.width * 0.96 / font.getlength("n")))
    lines = [
        line for paragraph in _drawable(text).split("\n") for line in wrap(paragraph, characters)
    ] or ["(nothing)"]
    spacing = round(font.size * 1.35)
    strip = spacing * len(lines) + font.size
    result = Image.new("RGB", (picture.width, picture.height + round(strip)), "white")
    result.paste(picture, (0, 0))
    pen = ImageDraw.Draw(result)
    for number, line in enumerate(lines):
        y = picture.height + font.size / 2 + number * spacing
        pen.text((picture.width * 0.02, y), line, fill="black", font=font)
    return result


def _drawable(text: str) -> str:
    """The text without control characters, which fonts draw as boxes or not at all."""
    return "".join(each for each in text if each == "\n" or each.isprintable())


@lru_cache(maxsize=16)
def _font(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, FreeTypeFont), "Pillow was built without FreeType"
    return font
