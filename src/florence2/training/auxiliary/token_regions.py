"""Which cells of the picture each token of an answer is about.

An answer's words and locations hang on one thing or one line of the picture each, and the labels
say where that lies. Shapes: T target tokens, C cells of the tower's last map row by row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...processing.tokenizer import Tokenizer
from ...results.geometry import box_iou, quad_bounds
from ...results.locations import BINS, quantize
from ...results.records import Annotation, Record
from ...results.types import Boxes, Quads, Text
from ...synthetic.language import pluralize
from .char_head import cells_of_letters
from .dense import CellTargets, detections_of

Mask = NDArray[np.bool_]
Bins = NDArray[np.int64]

# The location tokens of a box and of a quad.
_BOX, _QUAD = 4, 8
# Boxes that have as much in common are of the same thing.
_SAME = 0.5


class RegionTargets:
    """What of one picture lies in which cells: its things and its lines, letter by letter.

    Taken from the record's answers to ``<OD>`` and ``<OCR_WITH_REGION>``.
    """

    def __init__(self, record: Record, cells: CellTargets) -> None:
        height, width = cells.classes.shape
        self.cells = height * width
        self._y, self._x = np.divmod(np.arange(self.cells), width)
        self._grid = (width, height)
        self.size = (record.width, record.height)
        found = detections_of(record)
        self.labels = list(found.labels)
        self._boxes = quantize(found.xyxy, self.size)
        parts = found.xyxy / np.tile(np.asarray(self.size, np.float32), 2)
        self.things = [_owned(number, box, cells) for number, box in enumerate(parts)]
        self.lines: list[str] = []
        self.letters: list[Mask] = []
        self._bounds = np.zeros((0, _BOX), np.int64)
        # Of several answers to a task the first counts.
        written = next((e.answer for e in record.kept() if e.task == "<OCR_WITH_REGION>"), None)
        if isinstance(written, Quads) and len(written):
            self.lines = [text.strip() for text in written.labels]
            self._bounds = quantize(quad_bounds(written.corners), self.size)
            for corners, text in zip(written.corners, self.lines, strict=True):
                letters = cells_of_letters(corners, text, (width, height), self.size)
                self.letters.append(_by_byte(text, letters, self.cells))

    def thing_at(self, bins: Bins) -> int | None:
        """The number of the thing with the box ``bins``, or nearly that; ``None`` without one."""
        return _nearest(self._boxes, bins)

    def line_at(self, bins: Bins) -> int | None:
        """The number of the line with the corners or the bounds ``bins``, or nearly these."""
        x, y = bins[0::2], bins[1::2]
        return _nearest(self._bounds, np.stack([x.min(), y.min(), x.max(), y.max()]))

    def around(self, x: int, y: int) -> Mask:
        """The cell that a point (in bins) lies in, and its neighbours."""
        column, row = (bin_ * cells // BINS for bin_, cells in zip((x, y), self._grid, strict=True))
        near: Mask = (np.abs(self._x - column) <= 1) & (np.abs(self._y - row) <= 1)
        return near


def build_attention_targets(
    target: Sequence[int], annotation: Annotation, sights: RegionTargets, tokenizer: Tokenizer
) -> Mask:
    """The cells ``bool[T, C]`` that each token of ``target`` (``<s> ... </s>``) is about.

    Tokens that are about no place in particular have none.
    """
    places = np.zeros((len(target), sights.cells), bool)
    answer = annotation.answer
    if isinstance(answer, Text):
        words = range(1, len(target) - 1)
        if not any(tokenizer.is_added(target[each]) for each in words):
            seen = _seen_in_text(answer.text, annotation, sights)
            _mark_words(places, words, target, seen, tokenizer)
        return places
    if isinstance(answer, Boxes):
        _mark_boxes(places, target, sights, tokenizer)
        return places
    _mark_points(places, target, sights, tokenizer)
    if isinstance(answer, Quads):
        _mark_lines(places, target, sights, tokenizer)
    return places


def _regions(
    target: Sequence[int], size: int, tokenizer: Tokenizer
) -> Iterator[tuple[list[int], list[int], Bins]]:
    """The regions of ``size`` locations: the positions of the words before the run that each is
    in, those of its own locations, and their bins."""
    words: list[int] = []
    for located, run in groupby(
        range(1, len(target) - 1), lambda position: tokenizer.is_location(target[position])
    ):
        positions = list(run)
        if not located:
            words = positions
            continue
        for begin in range(0, len(positions), size):
            region = positions[begin : begin + size]
            bins = np.asarray([target[each] - tokenizer.first_location for each in region])
            yield words, region, bins


def _mark_boxes(
    places: Mask, target: Sequence[int], sights: RegionTargets, tokenizer: Tokenizer
) -> None:
    """A box is about its thing, the words before a run of boxes are about the things of all."""
    for words, region, bins in _regions(target, _BOX, tokenizer):
        number = sights.thing_at(bins)
        if number is not None:
            places[region] = sights.things[number]
            places[words] |= sights.things[number]


def _mark_lines(
    places: Mask, target: Sequence[int], sights: RegionTargets, tokenizer: Tokenizer
) -> None:
    """The words before a quad are about its letters."""
    for words, _, bins in _regions(target, _QUAD, tokenizer):
        number = sights.line_at(bins)
        if number is not None:
            _mark_words(places, words, target, sights.letters[number], tokenizer)


def _mark_points(
    places: Mask, target: Sequence[int], sights: RegionTargets, tokenizer: Tokenizer
) -> None:
    """Corners and outlines, where each pair of locations is about a point of its own."""
    positions = [each for each in range(len(target)) if tokenizer.is_location(target[each])]
    for x, y in zip(positions[::2], positions[1::2], strict=True):
        point = target[x] - tokenizer.first_location, target[y] - tokenizer.first_location
        places[[x, y]] = sights.around(*point)


def _mark_words(
    places: Mask, words: Sequence[int], target: Sequence[int], seen: Mask, tokenizer: Tokenizer
) -> None:
    """Give every word's token the cells ``bool[bytes, C]`` of the bytes that it stands for."""
    begin = 0
    for position in words:
        end = begin + tokenizer.num_bytes(target[position])
        places[position] = seen[begin:end].any(axis=0)
        begin = end


def _seen_in_text(text: str, annotation: Annotation, sights: RegionTargets) -> Mask:
    """The cells ``bool[bytes, C]`` of the lines that a text quotes and of the things it names."""
    seen = np.zeros((len(text.encode()), sights.cells), bool)
    thing = line = None
    if annotation.region is not None:
        bins = quantize(np.asarray(annotation.region, np.float32), sights.size)
        thing, line = sights.thing_at(bins), sights.line_at(bins)
    for begin, number in _quoted(text, sights.lines, line):
        seen[begin : begin + len(sights.letters[number])] = sights.letters[number]
    for label in sorted(set(sights.labels), key=len, reverse=True):
        bearers = [number for number, each in enumerate(sights.labels) if each == label]
        # In an answer about a region its own thing is meant, not all of that name.
        meant = [thing] if thing in bearers else bearers
        where = np.any([sights.things[each] for each in meant if each is not None], axis=0)
        names = "|".join(map(re.escape, (pluralize(label), label)))
        for match in re.finditer(rf"\b({names})\b", text, re.IGNORECASE):
            begin, end = (len(text[:index].encode()) for index in match.span())
            if not seen[begin:end].any():
                seen[begin:end] = where
    return seen


def _quoted(text: str, lines: Sequence[str], only: int | None) -> Iterator[tuple[int, int]]:
    """Where in the text's bytes the lines are quoted, one after another, and their numbers."""
    after = 0
    for number, line in enumerate(lines):
        at = text.find(line, after) if only in (None, number) else -1
        if at >= 0:
            after = at + len(line)
            yield len(text[:at].encode()), number


def _owned(number: int, box: NDArray[np.float32], cells: CellTargets) -> Mask:
    """The cells that belong to a thing; the one at the middle of its ``box`` (parts of the picture)
    if none does."""
    owned: Mask = cells.owners == number
    if not owned.any():
        height, width = owned.shape
        x, y = (box[:2] + box[2:]) / 2
        owned[min(int(y * height), height - 1), min(int(x * width), width - 1)] = True
    return owned.ravel()


def _by_byte(text: str, letters: NDArray[np.int64], count: int) -> Mask:
    """The cell of every byte of a line, ``bool[bytes, C]``, from those of its letters."""
    repeats = [len(letter.encode()) for letter in text]
    return np.repeat(letters, repeats)[:, None] == np.arange(count)


def _nearest(known: Bins, box: Bins) -> int | None:
    """The number of the box that overlaps ``box`` most; ``None`` where none has half in common."""
    if not len(known):
        return None
    overlaps = box_iou(known.astype(np.float32), box[None].astype(np.float32))[:, 0]
    best = int(overlaps.argmax())
    return best if overlaps[best] >= _SAME else None
