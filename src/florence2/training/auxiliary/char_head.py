"""The character loss: which characters are in every cell of the last feature map.

An OCR target has the text and the start of each line, but not the position of each character,
and a vision encoder that is trained from scratch learns this slowly. A line's quad gives the
approximate position of every character. Shapes: P images, H and W cells, S characters of a cell.
"""

from __future__ import annotations

import string
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...results.records import Record
from ...results.types import ImageSize, Quads

# The characters of one cell, in reading order; more than these (small print) are dropped.
MAX_CHARS_PER_CELL = 8
NO_CHARACTER = 0
_ALPHABET = string.digits + string.ascii_letters + string.punctuation + "€"
_IDS = {character: index for index, character in enumerate(_ALPHABET, start=1)}
_OTHER = len(_ALPHABET) + 1
# No character, the alphabet, any other character.
CHARACTERS = len(_ALPHABET) + 2

# Widths relative to a common character; fonts differ, but a cell is several characters wide.
_NARROW = dict.fromkeys("iljtfrI1.,:;'!|()[]- ", 0.55)
_WIDE = dict.fromkeys("mwMW@%", 1.45)
_WIDTHS = {**_NARROW, **_WIDE}


def build_char_targets(record: Record, grid: tuple[int, int]) -> NDArray[np.int64]:
    """The characters of each cell of a ``grid`` (width, height), ``int64[H, W, S]``.

    Ids start at 1, in the order of the record's ``<OCR_WITH_REGION>`` annotations; 0 is no
    character. A record without such an annotation has no text.
    """
    width, height = grid
    characters = np.full((height, width, MAX_CHARS_PER_CELL), NO_CHARACTER, np.int64)
    filled = np.zeros((height, width), np.int64)
    for annotation in record.kept():
        if annotation.task != "<OCR_WITH_REGION>" or not isinstance(annotation.answer, Quads):
            continue
        lines = annotation.answer
        for corners, text in zip(lines.corners, lines.labels, strict=True):
            cells = locate_characters(corners, text, grid, lines.image_size)
            for character, cell in zip(text, cells.tolist(), strict=True):
                row, column = divmod(cell, width)
                if cell < 0 or filled[row, column] == MAX_CHARS_PER_CELL:
                    continue
                characters[row, column, filled[row, column]] = _IDS.get(character, _OTHER)
                filled[row, column] += 1
    return characters


def locate_characters(
    corners: NDArray[np.float32], text: str, grid: tuple[int, int], image_size: ImageSize
) -> NDArray[np.int64]:
    """The cell of each character of a line in its quad, ``int64[N]``, counted row by row.

    White space and characters outside the image have -1.
    """
    columns, rows = np.floor(_centers(corners, text) * (np.asarray(grid) / image_size)).T
    inside = (columns >= 0) & (columns < grid[0]) & (rows >= 0) & (rows < grid[1])
    visible = inside & np.asarray([not character.isspace() for character in text], bool)
    return np.where(visible, rows * grid[0] + columns, -1).astype(np.int64)


def _centers(corners: NDArray[np.float32], text: str) -> NDArray[np.float64]:
    """The center of each character of a line in its quad, ``float64[N, 2]``, by usual widths."""
    widths = np.asarray([_WIDTHS.get(character, 1.0) for character in text])
    ends = np.cumsum(widths)
    along = ((ends - widths / 2) / ends[-1])[:, None] if len(text) else np.zeros((0, 1))
    top_left, top_right, bottom_right, bottom_left = corners.astype(np.float64)
    left, right = (top_left + bottom_left) / 2, (top_right + bottom_right) / 2
    return left + along * (right - left)


class CharLoss(NamedTuple):
    """The loss, a scalar, and the share of characters that are right."""

    loss: Tensor
    accuracy: Tensor


def char_loss(scores_PHWK: Tensor, characters_PHWS: Tensor) -> CharLoss:
    """Cross entropy of the characters in cells with text, plus that of "none" in other cells.

    ``scores_PHWK`` has ``S * CHARACTERS`` channels. The loss of a cell with text covers its
    characters and the end symbol. The two kinds of cells are averaged separately, since most cells
    have no text.
    """
    scores = scores_PHWK.float().view(*scores_PHWK.shape[:-1], MAX_CHARS_PER_CELL, CHARACTERS)
    losses_PHWS = functional.cross_entropy(
        scores.flatten(0, 3), characters_PHWS.flatten(), reduction="none"
    ).view_as(characters_PHWS)
    is_character = characters_PHWS != NO_CHARACTER
    is_character_or_end = functional.pad(is_character[..., :-1], (1, 0), value=True)
    has_text = is_character[..., :1]
    counted = is_character_or_end & has_text
    empty = (~has_text).squeeze(-1)
    text_loss = (losses_PHWS * counted).sum() / counted.sum().clamp(min=1)
    empty_loss = (losses_PHWS[..., 0] * empty).sum() / empty.sum().clamp(min=1)
    is_right = (scores.argmax(dim=-1) == characters_PHWS) & is_character
    return CharLoss(text_loss + empty_loss, is_right.sum() / is_character.sum().clamp(min=1))
