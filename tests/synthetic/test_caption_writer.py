"""Captions say what is there: counts, colors and relations are read back and hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from florence2.synthetic.caption_writer import Length, write_caption
from florence2.synthetic.categories import count_named_objects
from florence2.synthetic.compose import make_scene
from florence2.synthetic.phrases import (
    find_direction,
    find_passages,
    is_in_front_of,
    is_next_to,
    union_box,
)
from florence2.synthetic.scene import Scene, TextLine
from florence2.synthetic.sprite_library import SpriteLibrary

LENGTHS: tuple[Length, ...] = ("brief", "detailed", "more detailed")
CAR = ("car", "red", (10, 60, 60, 100))
DOG = ("dog", "brown", (120, 50, 150, 90))
DOGS = (DOG, ("dog", "brown", (155, 60, 190, 100)))


@pytest.fixture(scope="module")
def scenes(shapes: SpriteLibrary) -> list[Scene]:
    return [make_scene(2 * number, shapes) for number in range(40)]


def _texts(scene: Scene, length: Length, count: int = 30) -> set[str]:
    return {write_caption(scene, length, np.random.default_rng(seed)).text for seed in range(count)}


def _line(text: str, top: int, surface: str = "sign", left: int = 20) -> TextLine:
    quad = [[left, top], [left + 60, top], [left + 60, top + 12], [left, top + 12]]
    return TextLine(text, np.array(quad, np.float32), "black", surface)


def test_a_car_and_two_dogs(build: Callable[..., Scene]) -> None:
    scene = build(CAR, *DOGS)
    assert _texts(scene, "brief") == {
        "Two brown dogs and a red car on green grass.",
        "There are two brown dogs and a red car on green grass.",
        "Two brown dogs right of a red car.",
    }
    assert _texts(scene, "detailed") == {
        "On green grass there are two brown dogs and a red car. "
        "The two brown dogs are right of the red car.",
        "The picture shows two brown dogs and a red car on green grass. "
        "The two brown dogs are right of the red car.",
    }
    (longest,) = {text for text in _texts(scene, "more detailed") if "The background" in text
                  and "On the left there is" in text}  # fmt: skip
    assert longest == (
        "The background is green grass. On the left there is a red car. On the right there are "
        "two brown dogs. The two brown dogs are right of the red car."
    )


def test_objects_are_split_by_color_only_if_all_have_one(build: Callable[..., Scene]) -> None:
    blue = ("car", "blue", (120, 60, 170, 100))
    plain = ("car", None, (120, 120, 170, 160))
    text = write_caption(build(CAR, blue), "detailed", np.random.default_rng(0)).text
    assert "a red car and a blue car" in text
    text = write_caption(build(CAR, blue, plain), "detailed", np.random.default_rng(0)).text
    assert "three cars" in text and "red" not in text


def test_other_things_are_at_least_two(build: Callable[..., Scene]) -> None:
    names = ("cat", "dog", "cup", "bee", "key")
    objects = [(name, None, (30 * n, 20, 30 * n + 20 - n, 40)) for n, name in enumerate(names)]
    assert all("other things" in text for text in _texts(build(*objects), "brief"))
    assert not any("other things" in text for text in _texts(build(*objects[:4]), "brief"))


def test_text_is_quoted(build: Callable[..., Scene]) -> None:
    scene = build(CAR, lines=[_line("NO", 20), _line('"DOGS"', 34), _line("7", 150, "background")])
    assert [passage.text for passage in find_passages(scene)] == ["NO 'DOGS'", "7"]
    for text in _texts(scene, "more detailed"):
        assert """At the top a sign says "NO 'DOGS'".""" in text or "In the top left" in text
        assert 'the text "7"' in text
    bare = build(lines=[_line("OPEN", 20)], background="a brick wall")
    assert _texts(bare, "brief") == {'A sign that says "OPEN" in front of a brick wall.'}
    assert _texts(build(), "brief") == {"Nothing but green grass."}


def test_pages_are_described_as_pages(build: Callable[..., Scene]) -> None:
    lines = [_line(f"line {n}", 20 * n, "document") for n in range(1, 7)]
    page = build(lines=lines, kind="page")
    assert _texts(page, "brief") == {'A page of text that says "line 1".'}
    assert "six lines of text" in _texts(page, "detailed").pop()
    longest = _texts(page, "more detailed").pop()
    assert 'begins with "line 1 line 2 line 3 line 4"' in longest


@pytest.mark.parametrize("length", LENGTHS)
def test_counts_read_back(scenes: list[Scene], shapes: SpriteLibrary, length: Length) -> None:
    for scene in scenes:
        text = write_caption(scene, length, np.random.default_rng(scene.seed)).text
        there = Counter(obj.category for obj in scene.objects)
        named = count_named_objects(text, shapes.categories)
        assert named == there if length != "brief" else named <= there, text


@pytest.mark.parametrize("length", LENGTHS)
def test_mentions_are_in_the_caption_in_order(scenes: list[Scene], length: Length) -> None:
    for scene in scenes:
        found = write_caption(scene, length, np.random.default_rng(scene.seed))
        start = 0
        for mention in found.mentions:
            start = found.text.index(mention.phrase, start) + len(mention.phrase)
            categories = {scene.objects[index].category for index in mention.objects}
            named = count_named_objects(mention.phrase, sorted(categories))
            assert named == {categories.pop(): len(mention.objects)}, mention
        objects = [index for mention in found.mentions for index in mention.objects]
        assert len(set(objects)) == len(objects)
        assert length == "brief" or len(objects) == len(scene.objects)


def test_relations_hold(scenes: list[Scene]) -> None:
    pattern = re.compile(
        r"The ([^.]+) (?:is|are) (left of|right of|above|below|next to|in front of|behind) "
        r"the ([^.]+)\."
    )
    checked = 0
    for scene in scenes:
        text = write_caption(scene, "more detailed", np.random.default_rng(scene.seed)).text
        for first, word, second in pattern.findall(text):
            assert _holds(scene, _named(scene, first), word, _named(scene, second)), (text, word)
            checked += 1
    assert checked > 20


def _named(scene: Scene, phrase: str) -> list[int]:
    """The objects that a phrase such as "two red cars" is about: all that fit its words."""
    (category,) = count_named_objects(phrase, sorted({obj.category for obj in scene.objects}))
    return [
        index
        for index, obj in enumerate(scene.objects)
        if obj.category == category
        and (obj.color in phrase.split() or not _has_color(scene, phrase))
    ]


def _has_color(scene: Scene, phrase: str) -> bool:
    return bool({obj.color for obj in scene.objects} & set(phrase.split()))


def _holds(scene: Scene, first: list[int], word: str, second: list[int]) -> bool:
    boxes = [union_box([scene.objects[index].box for index in group]) for group in (first, second)]
    if word == "in front of":
        return is_in_front_of(scene.objects, first[0], second[0])
    if word == "behind":
        return is_in_front_of(scene.objects, second[0], first[0])
    if word == "next to":
        return is_next_to(*boxes, scene.size)
    return find_direction(*boxes, scene.size) == word


def test_the_same_generator_writes_the_same(scenes: list[Scene]) -> None:
    for length in LENGTHS:
        assert write_caption(scenes[0], length, np.random.default_rng(5)) == write_caption(
            scenes[0], length, np.random.default_rng(5)
        )
