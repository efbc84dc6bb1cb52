"""Answers drawn on their images: boxes, quads, polygons with labels, and text as a caption."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .geometry import box_iou, point_bounds, polygon_area
from .types import Answer, Boxes, Polygons, Quads, Regions, Text

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Color = tuple[int, int, int]
Outline = NDArray[np.float32]

# Bright enough for dark images; on light images the halo around lines gives contrast.
COLORS = (
    (235, 64, 72),
    (64, 140, 255),
    (255, 205, 20),
    (38, 178, 92),
    (226, 72, 222),
    (250, 138, 20),
    (60, 208, 236),
    (168, 96, 250),
    (164, 222, 52),
    (255, 138, 184),
    (0, 166, 150),
    (190, 122, 70),
    (108, 98, 255),
    (150, 242, 200),
    (255, 186, 138),
    (176, 172, 44),
    (204, 184, 255),
    (214, 30, 116),
)
FILL_OPACITY = 80
HALO = (0, 0, 0, 110)
CAPTION_BACKGROUND = (250, 249, 246)
CAPTION_INK = (32, 33, 36)
MIN_CAPTION_WIDTH = 240
_INVISIBLE = ("Cc", "Cf", "Mn")
_NOT_IN_ANY_FONT = "\uffff"


@dataclass(frozen=True)
class _Style:
    """Sizes that suit an image, in pixels, and the font to go with them."""

    line: int
    padding: int
    font: Font
    text_height: int

    @classmethod
    def of(cls, image: Image.Image) -> _Style:
        # The geometric mean, so that text on panoramas is not too small.
        scale = (image.width * image.height) ** 0.5
        font = ImageFont.load_default(max(11, round(scale / 34)))
        _, top, _, bottom = font.getbbox("Ag|")
        return cls(
            line=max(2, round(scale / 190)),
            padding=max(2, round(scale / 170)),
            font=font,
            text_height=round(bottom - top),
        )


def draw_answer(image: Image.Image, answer: Answer) -> Image.Image:
    """A new RGB image with ``answer`` on it; ``image`` is not changed.

    Regions are outlined (polygons also tinted) and labeled, with their score where they have
    one. A label has the same color in all images, except where another label of the image
    has this color. Text is drawn on a strip that is added below. Coordinates are scaled if the
    image does not have the size of the answer. Characters
    that Pillow's bundled font lacks lose their accents or become question marks.
    """
    image = image.convert("RGB")
    pen = _Style.of(image)
    if isinstance(answer, Text):
        return _with_caption(image, answer.plain_text, pen)
    outlines = [_fitted(parts, answer, image, pen) for parts in _outlines(answer)]
    colors = _choose_colors(answer.labels)
    # Large regions first, so that small ones are drawn on top.
    order = sorted(range(len(answer)), key=lambda index: -sum(map(polygon_area, outlines[index])))
    for index in order:
        tinted = isinstance(answer, Polygons)
        _draw_region(image, outlines[index], colors[index], pen, tinted=tinted)
    texts = _label_texts(answer, image.width - 2 * pen.padding, pen.font)
    _draw_labels(image, outlines, texts, colors, pen)
    return image


def _outlines(answer: Regions) -> list[list[Outline]]:
    """The closed lines ``float32[K, 2]`` of every region; boxes as their four corners."""
    if isinstance(answer, Boxes):
        corners = answer.xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        return [[each] for each in corners]
    if isinstance(answer, Quads):
        return [[each] for each in answer.corners]
    return [list(parts) for parts in answer.polygons]


def _fitted(
    parts: Iterable[Outline], answer: Regions, image: Image.Image, pen: _Style
) -> list[Outline]:
    """Outlines in pixels of ``image``, moved so far inside that the whole line shows."""
    scale = np.asarray(image.size, dtype=np.float32) / np.asarray(answer.image_size)
    margin = pen.line / 2
    limit = np.maximum(np.asarray(image.size) - 1 - margin, margin)
    fitted = (np.clip(np.nan_to_num(part * scale), margin, limit) for part in parts)
    return [part.astype(np.float32) for part in fitted if len(part)]


def _draw_region(
    image: Image.Image, parts: Iterable[Outline], color: Color, pen: _Style, *, tinted: bool
) -> None:
    # Drawing in RGBA on an RGB image mixes instead of replacing.
    canvas = ImageDraw.Draw(image, "RGBA")
    for part in parts:
        points = [(float(x), float(y)) for x, y in part]
        if tinted and len(points) > 2:
            canvas.polygon(points, fill=(*color, FILL_OPACITY))
        # Past the start by one more point, so that the closing corner is joined as well.
        loop = [*points, *points[:2]]
        canvas.line(loop, fill=HALO, width=pen.line + 2, joint="curve")
        canvas.line(loop, fill=color, width=pen.line, joint="curve")


def _label_texts(answer: Regions, width: float, font: Font) -> list[str]:
    """The text at each region: its label, shortened to fit ``width``, and its score."""
    scores = [""] * len(answer)
    if answer.scores is not None:
        scores = [f" {score:.2f}" for score in answer.scores]
    return [
        (_shortened(_drawable(label), width - font.getlength(score), font) + score).strip()
        for label, score in zip(answer.labels, scores, strict=True)
    ]


def _draw_labels(
    image: Image.Image,
    outlines: Sequence[Sequence[Outline]],
    texts: Sequence[str],
    colors: Sequence[Color],
    pen: _Style,
) -> None:
    canvas = ImageDraw.Draw(image)
    taken = np.zeros((0, 4), dtype=np.float32)
    for parts, text, color in zip(outlines, texts, colors, strict=True):
        if not text or not parts:
            continue
        width = pen.font.getlength(text) + 2 * pen.padding
        height = pen.text_height + 2 * pen.padding
        places = _places(point_bounds(np.concatenate(parts)), (width, height), image.size, pen)
        # The first of the places that cover other labels the least.
        plate = places[box_iou(places, taken).sum(axis=1).argmin()]
        taken = np.concatenate([taken, plate[None]])
        canvas.rounded_rectangle(plate.tolist(), radius=pen.padding, fill=color)
        middle = float(plate[1] + plate[3]) / 2
        canvas.text(
            (float(plate[0]) + pen.padding, middle), text, _ink(color), pen.font, anchor="lm"
        )


def _places(
    bounds: NDArray[np.floating], extent: tuple[float, float], size: tuple[int, int], pen: _Style
) -> NDArray[np.float32]:
    """Plates ``float32[8, 4]`` for a label of ``extent``, the best first, all in the image.

    On the corners of the region's ``bounds``: above, inside, below, at the left and the right.
    """
    width, height = extent
    x0, y0, x1, y1 = (float(value) for value in bounds)
    edge = pen.line / 2
    left, right = x0 - edge, x1 + edge - width
    rows = (y0 - edge - height, y0 + edge, y1 + edge, y1 - edge - height)
    corners = np.asarray([(x, y) for y in rows for x in (left, right)], dtype=np.float32)
    furthest = np.asarray([size[0] - 1 - width, size[1] - 1 - height])
    corners = np.clip(corners, 0, np.maximum(furthest, 0))
    return np.concatenate([corners, corners + np.asarray(extent)], axis=1).astype(np.float32)


def _with_caption(image: Image.Image, text: str, pen: _Style) -> Image.Image:
    """``image`` with ``text`` in lines on a strip below it, wider than a very small image."""
    margin = 3 * pen.padding
    width = max(image.width, MIN_CAPTION_WIDTH)
    lines = _wrapped(text, width - 2 * margin, pen.font)
    if not lines:
        return image
    line_height = round(1.3 * pen.text_height)
    strip = line_height * len(lines) + 2 * margin
    page = Image.new("RGB", (width, image.height + strip), CAPTION_BACKGROUND)
    page.paste(image)
    canvas = ImageDraw.Draw(page)
    for row, line in enumerate(lines):
        middle = image.height + margin + (row + 0.5) * line_height
        canvas.text((margin, middle), line, CAPTION_INK, pen.font, anchor="lm")
    return page


def _wrapped(text: str, width: float, font: Font) -> list[str]:
    """``text`` in lines of at most ``width`` pixels (or one character); line breaks are kept."""
    lines: list[str] = []
    for paragraph in filter(str.strip, text.splitlines()):
        line = ""
        for word in _drawable(paragraph).split():
            longer = f"{line} {word}".strip()
            if font.getlength(longer) <= width:
                line = longer
                continue
            lines.extend([line] if line else [])
            line = word
            while font.getlength(line) > width and len(line) > 1:
                part = _prefix(line, width, font)
                lines.append(part)
                line = line[len(part) :]
        lines.append(line)
    return lines


def _shortened(text: str, width: float, font: Font) -> str:
    """``text`` cut to ``width`` pixels, with an ellipsis where something is missing."""
    if font.getlength(text) <= width:
        return text
    return _prefix(text, width - font.getlength("…"), font).rstrip() + "…"


def _prefix(text: str, width: float, font: Font) -> str:
    """The longest beginning of ``text`` that fits ``width`` pixels, at least one character."""
    fitting = 1
    while fitting < len(text) and font.getlength(text[: fitting + 1]) <= width:
        fitting += 1
    return text[:fitting]


def _drawable(text: str) -> str:
    """``text`` on one line, in characters of the bundled font."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(map(_drawable_character, composed))


@lru_cache(maxsize=4096)
def _drawable_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "?"
    if _in_font(character):
        return character
    base = unicodedata.normalize("NFKD", character)
    base = "".join(each for each in base if not unicodedata.combining(each))
    if base and all(map(_in_font, base)):
        return base
    return "" if category in _INVISIBLE else "?"


@lru_cache(maxsize=4096)
def _in_font(character: str) -> bool:
    """Whether the bundled font has the character: missing ones all look the same."""
    font = ImageFont.load_default(16)
    return bytes(font.getmask(character)) != bytes(font.getmask(_NOT_IN_ANY_FONT))


def _choose_colors(labels: Sequence[str]) -> list[Color]:
    """A color for each region: by its label, or each its own where regions have no label."""
    chosen: dict[str, int] = {}
    for label in sorted(filter(None, set(labels))):
        wanted = zlib.crc32(label.encode(errors="replace")) % len(COLORS)
        candidates = (shade % len(COLORS) for shade in range(wanted, wanted + len(COLORS)))
        free = (shade for shade in candidates if shade not in chosen.values())
        chosen[label] = next(free, wanted)
    return [COLORS[chosen.get(label, index) % len(COLORS)] for index, label in enumerate(labels)]


def _ink(plate: Color) -> Color:
    """White, or black where white on ``plate`` has less than three times its luminance (WCAG)."""
    linear = [(each / 255) ** 2.2 for each in plate]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (255, 255, 255) if (1 + 0.05) / (luminance + 0.05) >= 3 else (0, 0, 0)
