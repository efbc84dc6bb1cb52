"""Expressions name one object; descriptions are true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from florence2.synthetic.categories import count_named_objects, matches_name
from florence2.synthetic.compose import make_scene
from florence2.synthetic.scene import Scene
from florence2.synthetic.sprite_library import SpriteLibrary
from florence2.synthetic.text_prompts import find_expressions, write_description

LEFT, RIGHT = (10, 60, 50, 100), (140, 60, 180, 100)


def test_a_unique_object_needs_no_more_than_its_name(build: Callable[..., Scene]) -> None:
    scene = build(("car", "red", LEFT), ("dog", None, RIGHT))
    assert find_expressions(scene, 0) == ["the car", "the red car"]
    assert find_expressions(scene, 1) == ["the dog"]


def test_objects_are_distinguished_by_color_side_and_size(build: Callable[..., Scene]) -> None:
    scene = build(("car", "red", LEFT), ("car", "blue", (140, 20, 190, 70)))
    assert find_expressions(scene, 0) == [
        "the red car",
        "the car on the left",
        "the car at the bottom",
    ]
    scene = build(("dog", None, (90, 60, 130, 100)), ("dog", None, (80, 70, 88, 80)))
    assert find_expressions(scene, 1)[-1] == "the smallest dog"


def test_a_color_does_not_distinguish_from_an_object_without_color(
    build: Callable[..., Scene],
) -> None:
    scene = build(("car", "red", LEFT), ("car", None, RIGHT))
    assert "the red car" not in find_expressions(scene, 0)


def test_objects_are_distinguished_by_relations(build: Callable[..., Scene]) -> None:
    scene = build(
        ("cup", "red", (60, 90, 80, 110)),
        ("cup", "red", (170, 90, 190, 110)),
        ("cat", None, (85, 80, 115, 112)),
    )
    assert "the cup next to the cat" in find_expressions(scene, 0)
    assert "the cup right of the cat" in find_expressions(scene, 1)


def test_an_object_of_another_category_can_match_the_name(build: Callable[..., Scene]) -> None:
    scene = build(("car", None, LEFT), ("police car", None, RIGHT))
    assert "the car" not in find_expressions(scene, 0)
    assert "the police car" in find_expressions(scene, 1)


def test_similar_objects_in_one_place_have_no_expression(build: Callable[..., Scene]) -> None:
    twins = [("dog", "brown", (80, 80, 100, 100)), ("dog", "brown", (102, 82, 122, 102))]
    scene = build(*twins)
    assert find_expressions(scene, 0) == []


@pytest.fixture(scope="module")
def scenes(shapes: SpriteLibrary) -> list[Scene]:
    return [make_scene(2 * number, shapes) for number in range(40)]


def test_no_expression_is_given_to_two_objects(scenes: list[Scene]) -> None:
    named = 0
    for scene in scenes:
        given = [set(find_expressions(scene, index)) for index in range(len(scene.objects))]
        named += sum(map(bool, given))
        assert len(set().union(*given)) == sum(map(len, given))
        for index, known in enumerate(given):
            plain = f"the {scene.objects[index].category}"
            rivals = [
                other for other in scene.objects
                if other is not scene.objects[index]
                and matches_name(other.category, scene.objects[index].category)
            ]  # fmt: skip
            assert not (plain in known and rivals)
    assert named > 0.8 * sum(len(scene.objects) for scene in scenes)


def test_descriptions_name_the_object_and_its_color(scenes: list[Scene]) -> None:
    related = 0
    for scene in scenes:
        for index, obj in enumerate(scene.objects):
            text = write_description(scene, index, np.random.default_rng(index))
            assert count_named_objects(text, [obj.category])
            assert obj.color is None or obj.color in text or obj.color == obj.category
            related += any(word in text for word in ("left of", "above", "in front of"))
    assert related > 10


def test_a_description_can_name_the_nearest_object(build: Callable[..., Scene]) -> None:
    scene = build(
        ("car", "red", (10, 60, 50, 100)),
        ("dog", "brown", (100, 50, 130, 90)),
        ("dog", "brown", (135, 60, 170, 100)),
    )
    texts = {write_description(scene, 0, np.random.default_rng(seed)) for seed in range(20)}
    assert texts == {"a red car", "a red car left of two brown dogs"}
