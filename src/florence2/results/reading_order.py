"""The reading order of lines of text, and their paragraphs.

Recursive XY-cut: a page is split into columns at white space that runs from top to bottom, or
else at its widest horizontal gap; a block without a gap is read row by row. Right-to-left languages
are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..io.deprecation import renamed_attributes
from .answers import Quads

# White space between columns, in heights of a line.
_COLUMN_GAP = 0.9
# Max distance between lines of a paragraph, in heights of a line.
_PARAGRAPH_GAP = 0.75
# Max ratio of the heights of lines of a paragraph.
_MAX_HEIGHT_RATIO = 1.6
# Min vertical overlap of boxes in a row, as a share of the smaller height.
_SAME_ROW = 0.5

Indices = NDArray[np.int64]

__getattr__ = renamed_attributes(
    __name__, {"paragraphs_of": "group_paragraphs", "joined_text": "join_text"}
)


def reading_order(quads: Quads) -> list[int]:
    """The indices of the lines in the order they are read."""
    return [index for paragraph in group_paragraphs(quads) for index in paragraph]


def group_paragraphs(quads: Quads) -> list[list[int]]:
    """The indices of the lines by paragraph, in reading order."""
    if not len(quads):
        return []
    boxes = quads.bounds.astype(np.float64)
    heights = _heights(quads)
    blocks = _blocks(np.arange(len(quads)), boxes, float(np.median(heights)))
    return [part for block in blocks for part in _paragraphs(block, boxes, heights)]


def join_text(quads: Quads) -> str:
    """The text line by line in reading order, with an empty line between paragraphs."""
    boxes = quads.bounds
    return "\n\n".join(
        "\n".join(
            " ".join(quads.labels[index].strip() for index in row)
            for row in _rows(np.asarray(paragraph), boxes)
        )
        for paragraph in group_paragraphs(quads)
    )


def _heights(quads: Quads) -> NDArray[np.float64]:
    """The text height of each line: the mean of its two short sides."""
    corners = quads.corners.astype(np.float64)
    left = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
    right = np.linalg.norm(corners[:, 2] - corners[:, 1], axis=1)
    return np.maximum((left + right) / 2, 1e-6)


def _blocks(indices: Indices, boxes: NDArray[np.float64], height: float) -> Iterator[list[int]]:
    """The blocks after all cuts, in reading order; each is read row by row."""
    columns = _cut(indices, boxes, axis=0, min_gap=_COLUMN_GAP * height)
    # Two lines side by side are a row, not two columns.
    if columns is not None and min(_row_count(part, boxes) for part in columns) > 1:
        for part in columns:
            yield from _blocks(part, boxes, height)
        return
    parts = _cut(indices, boxes, axis=1, min_gap=0.0)
    if parts is None:
        yield [index for row in _rows(indices, boxes) for index in row]
        return
    above, below = parts
    # A cut between consecutive lines must not split a paragraph.
    first, second = list(_blocks(above, boxes, height)), list(_blocks(below, boxes, height))
    if len(first) == len(second) == 1:
        yield first[0] + second[0]
    else:
        yield from first
        yield from second


def _cut(
    indices: Indices, boxes: NDArray[np.float64], axis: int, min_gap: float
) -> tuple[Indices, Indices] | None:
    """The two sides of the widest gap along an axis; ``None`` if none exceeds ``min_gap``."""
    low, high = boxes[indices, axis], boxes[indices, axis + 2]
    order = np.argsort(low, kind="stable")
    reached = np.maximum.accumulate(high[order])[:-1]
    gaps = low[order][1:] - reached
    if not len(gaps) or gaps.max() <= min_gap:
        return None
    split = int(gaps.argmax()) + 1
    return indices[order[:split]], indices[order[split:]]


def _rows(indices: Indices, boxes: NDArray[np.floating]) -> list[list[int]]:
    """Rows from top to bottom, each from left to right."""
    rows: list[list[int]] = []
    for index in sorted(indices.tolist(), key=lambda each: boxes[each, 1] + boxes[each, 3]):
        row = next((each for each in rows if _same_row(each[0], index, boxes)), None)
        if row is None:
            rows.append([index])
        else:
            row.append(index)
    return [sorted(row, key=lambda each: boxes[each, 0]) for row in rows]


def _same_row(first: int, second: int, boxes: NDArray[np.floating]) -> bool:
    top = max(boxes[first, 1], boxes[second, 1])
    shared = min(boxes[first, 3], boxes[second, 3]) - top
    apart = boxes[first, 2] <= boxes[second, 0] or boxes[second, 2] <= boxes[first, 0]
    smaller = min(boxes[first, 3] - boxes[first, 1], boxes[second, 3] - boxes[second, 1])
    return bool(apart and shared > _SAME_ROW * smaller)


def _row_count(indices: Indices, boxes: NDArray[np.float64]) -> int:
    return len(_rows(indices, boxes))


def _paragraphs(
    block: list[int], boxes: NDArray[np.float64], heights: NDArray[np.float64]
) -> Iterator[list[int]]:
    paragraph: list[int] = []
    for index in block:
        if paragraph and not _continues(paragraph, index, boxes, heights):
            yield paragraph
            paragraph = []
        paragraph.append(index)
    if paragraph:
        yield paragraph


def _continues(
    paragraph: list[int], after: int, boxes: NDArray[np.float64], heights: NDArray[np.float64]
) -> bool:
    """Whether a line continues the paragraph before it."""
    before = paragraph[-1]
    low, high = sorted((heights[before], heights[after]))
    if high > _MAX_HEIGHT_RATIO * low:
        return False
    if _same_row(before, after, boxes):
        return True
    gap = boxes[after, 1] - boxes[before, 3]
    left, right = boxes[paragraph, 0].min(), boxes[paragraph, 2].max()
    shared = min(right, boxes[after, 2]) - max(left, boxes[after, 0])
    return bool(-high < gap <= _PARAGRAPH_GAP * high and shared > 0)
