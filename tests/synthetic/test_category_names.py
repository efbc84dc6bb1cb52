"""What captions name, and which names cover which objects."""

from __future__ import annotations

import pytest

from florence2.synthetic.categories import are_ambiguous, count_named_objects, matches_name

WORDS = ("dog", "car", "police car", "orange", "apple", "mouse", "computer mouse", "sheep",
         "scissors", "grape", "cat", "person", "hot dog", "ice cream", "tie")  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("A red car left of two dogs.", {"car": 1, "dog": 2}),
        ("Two hot dogs and a dog", {"hot dog": 2, "dog": 1}),
        ("A police car and three cars.", {"police car": 1, "car": 3}),
        ("An orange cat and an orange.", {"cat": 1, "orange": 1}),
        ("an orange pair of scissors", {"scissors": 1}),
        ("There are two orange cats. The two orange cats are left of the apple.",
         {"cat": 2, "apple": 1}),
        ("A dog is at the top. A small dog is on the left. The dog is above the cat.",
         {"dog": 2, "cat": 1}),
        ("Computer mice next to a mouse", {"computer mouse": 2, "mouse": 1}),
        ("three bunches of purple grapes and a bunch of grapes", {"grape": 4}),
        ("Five sheep, a person and several people", {"sheep": 5, "person": 3}),
        ('A sign that says "Ice cream, two dogs" and a tiled wall', {}),
        ('A cat and the text "dog', {"cat": 1}),
        ("A dogged carpenter", {}),
        ("12 red apples", {"apple": 12}),
        ("", {}),
    ],
)  # fmt: skip
def test_a_caption_is_read_back(caption: str, named: dict[str, int]) -> None:
    assert count_named_objects(caption, WORDS) == named


def test_only_the_vocabulary_is_counted_but_longer_names_keep_their_words() -> None:
    assert count_named_objects("a hot dog, a dog and a zebra", ["dog"]) == {"dog": 1}


def test_a_name_that_contains_another_matches_in_one_direction() -> None:
    assert matches_name("police car", "car") and not matches_name("car", "police car")
    assert matches_name("basketball", "ball")
    assert matches_name("chef", "person")
    assert not matches_name("carrot", "car")
    assert are_ambiguous("cup", "coffee cup") and are_ambiguous("coffee cup", "cup")
    assert are_ambiguous("taxi", "car") and are_ambiguous("person", "man")
    assert not are_ambiguous("dog", "cat")
