"""Several annotated pictures on one sheet."""

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
CAPTION_LINES = 4
CHARACTERS_PER_LINE = 44
MARGIN = 12


@dataclass(frozen=True)
class Tile:
    """One picture with its heading and the words below it."""

    picture: Image
    heading: str
    words: str


def make_sheet(tiles: Sequence[Tile]) -> Image:
    """A picture of all ``tiles`` in rows of five, in order, each with its words under it."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = [_scaled(tile.picture) for tile in tiles]
    picture_height = max(picture.height for picture in pictures)
    height = picture_height + (1 + CAPTION_LINES) * LINE_HEIGHT + MARGIN
    rows = -(-len(tiles) // COLUMNS)
    size = (COLUMNS * (TILE_WIDTH + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN)
    sheet = Image.new("RGB", size, "white")
    canvas = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for index, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        row, column = divmod(index, COLUMNS)
        left, top = MARGIN + column * (TILE_WIDTH + MARGIN), MARGIN + row * (height + MARGIN)
        sheet.paste(picture, (left, top))
        lines = [tile.heading, *_wrapped(tile.words)]
        for number, line in enumerate(lines):
            place = (left, top + picture_height + 4 + number * LINE_HEIGHT)
            canvas.text(place, line, fill="black" if number else "darkblue", font=font)
    return sheet


def _scaled(picture: Image) -> Image:
    height = max(1, round(picture.height * TILE_WIDTH / picture.width))
    return picture.convert("RGB").resize((TILE_WIDTH, height))


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, CHARACTERS_PER_LINE, max_lines=CAPTION_LINES, placeholder=" ...")
