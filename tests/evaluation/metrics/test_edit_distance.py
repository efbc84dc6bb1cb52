"""Levenshtein distance against the textbook recursion."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from florence2.evaluation.metrics.edit_distance import edit_distance

words = st.text("abc", max_size=8)


def by_recursion(first: str, second: str) -> int:
    @cache
    def distance(row: int, column: int) -> int:
        if not row or not column:
            return row + column
        return min(
            distance(row - 1, column) + 1,
            distance(row, column - 1) + 1,
            distance(row - 1, column - 1) + (first[row - 1] != second[column - 1]),
        )

    return distance(len(first), len(second))


@given(words, words)
def test_equals_the_recursion(first: str, second: str) -> None:
    assert edit_distance(first, second) == by_recursion(first, second)


def test_words_are_symbols_too() -> None:
    assert edit_distance(["a", "dog"], ["a", "big", "dog"]) == 1
    assert edit_distance([], []) == 0
