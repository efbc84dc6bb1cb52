"""Counts, near misses and shortened values in messages."""

from __future__ import annotations

import pytest

from florence2.io.messages import find_near_miss, format_count, shorten, suggest


def test_a_count_has_the_right_form_of_its_noun() -> None:
    assert format_count(1, "image") == "1 image"
    assert format_count(0, "image") == "0 images"
    assert format_count(12345, "image") == "12,345 images"
    assert format_count(2, "box", "boxes") == "2 boxes"


def test_a_long_value_loses_its_middle() -> None:
    assert shorten("short") == "short"
    text = shorten("a" * 1000 + "z" * 1000)
    assert len(text) < 260
    assert text.startswith("aaa") and text.endswith("zzz")
    assert "1,800 characters skipped" in text


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("yolo", "yolo"),
        ("YOLO", "yolo"),
        ("yollo", "yolo"),
        ("yolo_seg", "yolo-seg"),
        ("label", "label-studio"),
        ("xyz", None),
        ("", None),
    ],
)
def test_a_near_miss_is_found(name: str, near: str | None) -> None:
    choices = ("coco", "yolo", "yolo-seg", "label-studio")
    assert find_near_miss(name, choices) == near
    assert suggest(name, choices) == ("" if near is None else f"; did you mean {near!r}?")
