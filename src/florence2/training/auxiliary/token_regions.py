"""The cells of the image that each target token is about, taken from the labels.

The words and locations of a target belong to one object or one line of text each, and the labels
say where it is. Shapes: T target tokens, C cells of the last feature map row by row.
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
from .char_head import locate_characters
from .dense import CellTargets, find_detections

Mask = NDArray[np.bool_]
Bins = NDArray[np.int64]

# The number of location tokens of a box and of a quad.
_BOX, _QUAD = 4, 8
# Boxes with at least this IoU are of the same object.
_MIN_IOU = 0.5


class RegionTargets:
    """The cells of an image's objects and of its lines of text, byte by byte.

    Taken from the record's annotations of ``<OD>`` and ``<OCR_WITH_REGION>``.
    """

    def __init__(self, record: Record, cells: CellTargets) -> None:
        height, width = cells.classes.shape
        self.cells = height * width
        self._y, self._x = np.divmod(np.arange(self.cells), width)
        self._grid = (width, height)
        self.size = (record.width, record.height)
        detections = find_detections(record)
        self.labels = list(detections.labels)
        self._boxes = quantize(detections.xyxy, self.size)
        fractions = detections.xyxy / np.tile(np.asarray(self.size, np.float32), 2)
        self.objects = [_object_cells(index, box, cells) for index, box in enumerate(fractions)]
        self.lines: list[str] = []
        self.line_bytes: list[Mask] = []
        self._bounds = np.zeros((0, _BOX), np.int64)
        # Of several annotations of a task the first counts.
        ocr = next((e.answer for e in record.kept() if e.task == "<OCR_WITH_REGION>"), None)
        if isinstance(ocr, Quads) and len(ocr):
            self.lines = [text.strip() for text in ocr.labels]
            self._bounds = quantize(quad_bounds(ocr.corners), self.size)
            for corners, text in zip(ocr.corners, self.lines, strict=True):
                characters = locate_characters(corners, text, (width, height), self.size)
                self.line_bytes.append(_byte_cells(text, characters, self.cells))

    def find_object(self, bins: Bins) -> int | None:
        """The index of the object whose box is ``bins`` or close to it; None without one."""
        return _find_overlapping(self._boxes, bins)

    def find_line(self, bins: Bins) -> int | None:
        """The index of the line whose corners or bounds are ``bins`` or close to them."""
        x, y = bins[0::2], bins[1::2]
        return _find_overlapping(self._bounds, np.stack([x.min(), y.min(), x.max(), y.max()]))

    def neighborhood(self, x: int, y: int) -> Mask:
        """The cell of a point (in bins) and the cells around it."""
        column, row = (bin_ * cells // BINS for bin_, cells in zip((x, y), self._grid, strict=True))
        near: Mask = (np.abs(self._x - column) <= 1) & (np.abs(self._y - row) <= 1)
        return near


def build_attention_targets(
    target: Sequence[int], annotation: Annotation, regions: RegionTargets, tokenizer: Tokenizer
) -> Mask:
    """The cells ``bool[T, C]`` that each token of ``target`` (``<s> ... </s>``) is about.

    Rows of tokens without a particular region are all false.
    """
    mask = np.zeros((len(target), regions.cells), bool)
    answer = annotation.answer
    if isinstance(answer, Text):
        words = range(1, len(target) - 1)
        if not any(tokenizer.is_added(target[each]) for each in words):
            byte_cells = _locate_text(answer.text, annotation, regions)
            _mark_words(mask, words, target, byte_cells, tokenizer)
        return mask
    if isinstance(answer, Boxes):
        _mark_boxes(mask, target, regions, tokenizer)
        return mask
    _mark_points(mask, target, regions, tokenizer)
    if isinstance(answer, Quads):
        _mark_lines(mask, target, regions, tokenizer)
    return mask


def _iterate_regions(
    target: Sequence[int], size: int, tokenizer: Tokenizer
) -> Iterator[tuple[list[int], list[int], Bins]]:
    """Each region of ``size`` locations: positions of the words before its run of locations,
    positions of its own locations, and their bins."""
    words: list[int] = []
    for is_location, run in groupby(
        range(1, len(target) - 1), lambda position: tokenizer.is_location(target[position])
    ):
        positions = list(run)
        if not is_location:
            words = positions
            continue
        for begin in range(0, len(positions), size):
            region = positions[begin : begin + size]
            bins = np.asarray([target[each] - tokenizer.first_location for each in region])
            yield words, region, bins


def _mark_boxes(
    mask: Mask, target: Sequence[int], regions: RegionTargets, tokenizer: Tokenizer
) -> None:
    """A box is about its object; words before a run of boxes are about all their objects."""
    for words, region, bins in _iterate_regions(target, _BOX, tokenizer):
        index = regions.find_object(bins)
        if index is not None:
            mask[region] = regions.objects[index]
            mask[words] |= regions.objects[index]


def _mark_lines(
    mask: Mask, target: Sequence[int], regions: RegionTargets, tokenizer: Tokenizer
) -> None:
    """The words before a quad are about its characters."""
    for words, _, bins in _iterate_regions(target, _QUAD, tokenizer):
        index = regions.find_line(bins)
        if index is not None:
            _mark_words(mask, words, target, regions.line_bytes[index], tokenizer)


def _mark_points(
    mask: Mask, target: Sequence[int], regions: RegionTargets, tokenizer: Tokenizer
) -> None:
    """In quads and polygons each pair of locations is about a point."""
    positions = [each for each in range(len(target)) if tokenizer.is_location(target[each])]
    for x, y in zip(positions[::2], positions[1::2], strict=True):
        point = target[x] - tokenizer.first_location, target[y] - tokenizer.first_location
        mask[[x, y]] = regions.neighborhood(*point)


def _mark_words(
    mask: Mask,
    words: Sequence[int],
    target: Sequence[int],
    byte_cells: Mask,
    tokenizer: Tokenizer,
) -> None:
    """Give each word token the cells ``bool[bytes, C]`` of its bytes."""
    begin = 0
    for position in words:
        end = begin + tokenizer.num_bytes(target[position])
        mask[position] = byte_cells[begin:end].any(axis=0)
        begin = end


def _locate_text(text: str, annotation: Annotation, regions: RegionTargets) -> Mask:
    """The cells ``bool[bytes, C]`` of the lines that a text quotes and the objects it names."""
    byte_cells = np.zeros((len(text.encode()), regions.cells), bool)
    object_ = line = None
    if annotation.region is not None:
        bins = quantize(np.asarray(annotation.region, np.float32), regions.size)
        object_, line = regions.find_object(bins), regions.find_line(bins)
    for begin, index in _find_quotes(text, regions.lines, line):
        byte_cells[begin : begin + len(regions.line_bytes[index])] = regions.line_bytes[index]
    for label in sorted(set(regions.labels), key=len, reverse=True):
        labeled = [index for index, each in enumerate(regions.labels) if each == label]
        # A text about a region names that region's object, not all objects with the label.
        named = [object_] if object_ in labeled else labeled
        cells = np.any([regions.objects[each] for each in named if each is not None], axis=0)
        names = "|".join(map(re.escape, (pluralize(label), label)))
        for match in re.finditer(rf"\b({names})\b", text, re.IGNORECASE):
            begin, end = (len(text[:index].encode()) for index in match.span())
            if not byte_cells[begin:end].any():
                byte_cells[begin:end] = cells
    return byte_cells


def _find_quotes(text: str, lines: Sequence[str], only: int | None) -> Iterator[tuple[int, int]]:
    """Byte offset and line index of the lines that the text quotes, one after another."""
    after = 0
    for index, line in enumerate(lines):
        start = text.find(line, after) if only in (None, index) else -1
        if start >= 0:
            after = start + len(line)
            yield len(text[:start].encode()), index


def _object_cells(index: int, box: NDArray[np.float32], cells: CellTargets) -> Mask:
    """The cells of an object; without any, the one at the center of its ``box`` (fractions)."""
    mask: Mask = cells.owners == index
    if not mask.any():
        height, width = mask.shape
        x, y = (box[:2] + box[2:]) / 2
        mask[min(int(y * height), height - 1), min(int(x * width), width - 1)] = True
    return mask.ravel()


def _byte_cells(text: str, characters: NDArray[np.int64], count: int) -> Mask:
    """The cell of every byte of a line, ``bool[bytes, C]``, from those of its characters."""
    repeats = [len(character.encode()) for character in text]
    return np.repeat(characters, repeats)[:, None] == np.arange(count)


def _find_overlapping(boxes: Bins, box: Bins) -> int | None:
    """The index of the box with the highest IoU; None when that is below ``_MIN_IOU``."""
    if not len(boxes):
        return None
    overlaps = box_iou(boxes.astype(np.float32), box[None].astype(np.float32))[:, 0]
    best = int(overlaps.argmax())
    return best if overlaps[best] >= _MIN_IOU else None
