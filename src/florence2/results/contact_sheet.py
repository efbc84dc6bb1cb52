"""Several annotated images on one contact sheet."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 5
TILE_WIDTH = 320
LINE_HEIGHT = 18
MAX_LINES = 4
CHARACTERS_PER_LINE = 44
MARGIN = 12


@dataclass(frozen=True)
class ContactTile:
    """An image with its heading and the text below it."""

    image: Image
    heading: str
    text: str


def make_contact_sheet(tiles: Sequence[ContactTile]) -> Image:
    """One image of all ``tiles`` in rows of ``COLUMNS``, in order, each with its text below."""
    from PIL import Image, ImageDraw, ImageFont

    images = [_resize(tile.image) for tile in tiles]
    image_height = max(image.height for image in images)
    height = image_height + (1 + MAX_LINES) * LINE_HEIGHT + MARGIN
    rows = -(-len(tiles) // COLUMNS)
    size = (COLUMNS * (TILE_WIDTH + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    sheet = Image.new("RGB", size, "white")
    canvas = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for index, (tile, image) in enumerate(zip(tiles, images, strict=True)):
        row, column = divmod(index, COLUMNS)
        left, top = MARGIN + column * (TILE_WIDTH + MARGIN), MARGIN + row * (height + MARGIN)
        sheet.paste(image, (left, top))
        for line_index, line in enumerate([tile.heading, *_wrap(tile.text)]):
            position = (left, top + image_height + 4 + line_index * LINE_HEIGHT)
            canvas.text(position, line, fill="black" if line_index else "darkblue", font=font)
    return sheet


def _resize(image: Image) -> Image:
    height = max(1, round(image.height * TILE_WIDTH / image.width))
    return image.convert("RGB").resize((TILE_WIDTH, height))


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, CHARACTERS_PER_LINE, max_lines=MAX_LINES, placeholder=" ...")
