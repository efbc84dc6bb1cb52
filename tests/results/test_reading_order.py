"""Lines in the order in which they are read."""

from __future__ import annotations

import random

from florence2.results.reading_order import group_paragraphs, join_text, reading_order
from florence2.results.types import Quads

SIZE = (1000, 1000)


def quads(*lines: tuple[str, int, int, int, int]) -> Quads:
    corners = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for _, x0, y0, x1, y1 in lines]
    return Quads(corners, [line[0] for line in lines], SIZE)


TWO_COLUMNS = (
    ("title", 100, 20, 900, 70),
    ("a1", 50, 120, 450, 140), ("a2", 50, 145, 450, 165), ("a3", 50, 170, 300, 190),
    ("b1", 550, 120, 950, 140), ("b2", 550, 145, 950, 165),
    ("b3", 550, 220, 950, 240), ("b4", 550, 245, 950, 265),
    ("foot", 100, 900, 900, 925),
)  # fmt: skip


def test_columns_are_read_one_after_the_other_whatever_order_lines_come_in() -> None:
    for seed in range(20):
        lines = list(TWO_COLUMNS)
        random.Random(seed).shuffle(lines)
        answer = quads(*lines)
        names = [answer.labels[index] for index in reading_order(answer)]
        assert names == ["title", "a1", "a2", "a3", "b1", "b2", "b3", "b4", "foot"]
        parts = [[answer.labels[i] for i in part] for part in group_paragraphs(answer)]
        assert parts == [["title"], ["a1", "a2", "a3"], ["b1", "b2"], ["b3", "b4"], ["foot"]]


def test_parts_of_one_row_are_one_line_of_text() -> None:
    answer = quads(("world", 200, 10, 300, 30), ("hello", 10, 12, 120, 31), ("end", 10, 40, 90, 60))
    assert join_text(answer) == "hello world\nend"


def test_nothing_and_one_line() -> None:
    assert group_paragraphs(Quads([], [], SIZE)) == [] and join_text(Quads([], [], SIZE)) == ""
    assert reading_order(quads(("only", 1, 1, 50, 20))) == [0]
