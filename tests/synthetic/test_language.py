"""Plurals, articles, numbers and adjectives."""

from __future__ import annotations

import pytest

from florence2.synthetic.language import (
    format_counted,
    format_definite,
    format_noun,
    join_phrases,
    pluralize,
    with_article,
)


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("dog", "dogs"), ("bus", "buses"), ("box", "boxes"), ("couch", "couches"),
        ("strawberry", "strawberries"), ("toy", "toys"), ("sheep", "sheep"), ("knife", "knives"),
        ("computer mouse", "computer mice"), ("person", "people"), ("woman", "women"),
        ("police officer", "police officers"), ("maple leaf", "maple leaves"),
        ("tomato", "tomatoes"), ("radio", "radios"), ("toothbrush", "toothbrushes"),
    ],
)  # fmt: skip
def test_plurals(one: str, several: str) -> None:
    assert pluralize(one) == several


def test_articles_follow_the_sound() -> None:
    words = ("car", "apple", "unicorn", "umbrella", "hourglass")
    assert [with_article(word) for word in words] == [
        "a car", "an apple", "a unicorn", "an umbrella", "an hourglass",
    ]  # fmt: skip


def test_counting_with_adjectives() -> None:
    assert format_counted("car", 1, ["red"]) == "a red car"
    assert format_counted("mouse", 3, ["small", "gray"]) == "three small gray mice"
    assert format_counted("scissors") == "a pair of scissors"
    assert format_counted("skis", 2, ["small", "blue"]) == "two small pairs of blue skis"
    assert format_counted("grape", 1, ["purple"]) == "a bunch of purple grapes"
    assert format_counted("orange", 1, ["orange"]) == "an orange"
    assert format_counted("car", 14) == "14 cars"
    assert format_definite("dog", 2) == "the two dogs"
    assert format_noun("dog", 1, ["", "brown"]) == "brown dog"


def test_lists() -> None:
    assert [join_phrases(["a", "b", "c"][:count]) for count in range(4)] == ["", "a", "a and b",
                                                                     "a, b and c"]  # fmt: skip
