"""The reading part of the dense task: which letters lie at every cell of the tower's last map.

An answer of OCR says what is written and where the line begins; which part of the picture a letter
comes from it does not say, and a tower that starts from nothing is long in finding out. Where a
line's corners are known, so is about every letter's place. Shapes: P pictures, H and W cells, S
letters of a cell.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...results.records import Record
from ...results.types import ImageSize, Quads

# The letters told of one cell, in reading order; small print may have more, which are left out.
SLOTS = 8
NOTHING = 0
_ALPHABET = string.digits + string.ascii_letters + string.punctuation + "€"
_NUMBERS = {letter: number for number, letter in enumerate(_ALPHABET, start=1)}
_OTHER = len(_ALPHABET) + 1
# Nothing, the alphabet, any other letter.
LETTERS = len(_ALPHABET) + 2

# Widths beside that of a common letter; fonts differ, a cell is several letters wide.
_NARROW = dict.fromkeys("iljtfrI1.,:;'!|()[]- ", 0.55)
_WIDE = dict.fromkeys("mwMW@%", 1.45)
_WIDTHS = {**_NARROW, **_WIDE}


def letters_of(record: Record, grid: tuple[int, int]) -> NDArray[np.int64]:
    """The letters of each cell of a ``grid`` (width, height), ``int64[H, W, S]``.

    They are numbered from 1, in the order of the record's ``<OCR_WITH_REGION>`` answer; places
    without a letter hold 0. Without such an answer nothing is written on the picture.
    """
    width, height = grid
    letters = np.full((height, width, SLOTS), NOTHING, np.int64)
    filled = np.zeros((height, width), np.int64)
    for annotation in record.kept():
        if annotation.task != "<OCR_WITH_REGION>" or not isinstance(annotation.answer, Quads):
            continue
        answer = annotation.answer
        for corners, text in zip(answer.corners, answer.labels, strict=True):
            cells = cells_of_letters(corners, text, grid, answer.image_size)
            for letter, cell in zip(text, cells.tolist(), strict=True):
                row, column = divmod(cell, width)
                if cell < 0 or filled[row, column] == SLOTS:
                    continue
                letters[row, column, filled[row, column]] = _NUMBERS.get(letter, _OTHER)
                filled[row, column] += 1
    return letters


def cells_of_letters(
    corners: NDArray[np.float32], text: str, grid: tuple[int, int], image_size: ImageSize
) -> NDArray[np.int64]:
    """The cell of each letter of a line in its quad, ``int64[N]``, counted row by row.

    White space and letters beyond the picture's edge have -1.
    """
    columns, rows = np.floor(_middles(corners, text) * (np.asarray(grid) / image_size)).T
    inside = (columns >= 0) & (columns < grid[0]) & (rows >= 0) & (rows < grid[1])
    seen = inside & np.asarray([not letter.isspace() for letter in text], bool)
    return np.where(seen, rows * grid[0] + columns, -1).astype(np.int64)


def _middles(corners: NDArray[np.float32], text: str) -> NDArray[np.float64]:
    """Where each letter of a line lies in its quad, ``float64[N, 2]``, by usual widths."""
    widths = np.asarray([_WIDTHS.get(letter, 1.0) for letter in text])
    ends = np.cumsum(widths)
    along = ((ends - widths / 2) / ends[-1])[:, None] if len(text) else np.zeros((0, 1))
    top_left, top_right, bottom_right, bottom_left = corners.astype(np.float64)
    left, right = (top_left + bottom_left) / 2, (top_right + bottom_right) / 2
    return left + along * (right - left)


@dataclass(frozen=True)
class ReadingLoss:
    """The loss, a scalar, and the share of letters that are right."""

    loss: Tensor
    right: Tensor


def reading_loss(scores_PHWC: Tensor, letters_PHWS: Tensor) -> ReadingLoss:
    """Cross entropy of the letters of cells with writing, and of there being none elsewhere.

    ``scores_PHWC`` has ``S * LETTERS`` channels. Of a cell its letters count and the end after
    them; each of the two kinds of cells is averaged by itself, for most cells have no writing.
    """
    scores = scores_PHWC.float().view(*scores_PHWC.shape[:-1], SLOTS, LETTERS)
    losses = functional.cross_entropy(
        scores.flatten(0, 3), letters_PHWS.flatten(), reduction="none"
    ).view_as(letters_PHWS)
    is_letter = letters_PHWS != NOTHING
    ended = functional.pad(is_letter[..., :-1], (1, 0), value=True)
    written = is_letter[..., :1]
    counted = ended & written
    empty = (~written).squeeze(-1)
    reading = (losses * counted).sum() / counted.sum().clamp(min=1)
    leaving = (losses[..., 0] * empty).sum() / empty.sum().clamp(min=1)
    right = (scores.argmax(dim=-1) == letters_PHWS) & is_letter
    return ReadingLoss(reading + leaving, right.sum() / is_letter.sum().clamp(min=1))


def no_reading(device: torch.device) -> ReadingLoss:
    """What a run without this part has."""
    return ReadingLoss(torch.zeros((), device=device), torch.zeros((), device=device))
