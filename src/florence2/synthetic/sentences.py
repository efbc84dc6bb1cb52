"""Sentences that captions are put together from, with the things that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .category_names import matches_name
from .english import join_phrases
from .phrases import ObjectGroup, TextPassage, escape_quotes, find_passages
from .relations import find_direction, is_in_front_of, is_next_to
from .scene import Scene


@dataclass(frozen=True)
class Mention:
    """A phrase as it stands in a caption, and the indices of the objects that it names."""

    phrase: str
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A true description; ``mentions`` are the phrases that name things first, in its order."""

    text: str
    mentions: tuple[Mention, ...]


def compose_caption(sentences: Iterable[str], named: Sequence[ObjectGroup]) -> Caption:
    """The sentences as one caption, in which the groups are named in the order given.

    A phrase is found behind the one before it, written as it stands there: it may begin a
    sentence with a capital.
    """
    text = " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)
    folded = text.lower()
    mentions, start = [], 0
    for group in named:
        found = re.compile(rf"\b{re.escape(group.indefinite)}\b").search(folded, start)
        assert found is not None, (group.indefinite, text)
        start = found.end()
        mentions.append(Mention(text[found.start() : start], group.members))
    return Caption(text, tuple(mentions))


def write_there_are(named: Sequence[ObjectGroup], also: str = "") -> str:
    """ "there is a red car", "there are two dogs and a cat"."""
    verb = "is" if named[0].count == 1 else "are"
    return f"there {verb} {also}{join_phrases([group.indefinite for group in named])}"


def choose_verb(named: Sequence[ObjectGroup]) -> str:
    """The verb for all of them together."""
    return "is" if len(named) == 1 and named[0].count == 1 else "are"


def find_relation(scene: Scene, first: ObjectGroup, second: ObjectGroup) -> str | None:
    """What plainly holds between all of one group and all of another: "left of"."""
    if first.count == second.count == 1:
        nearer, farther = first.members[0], second.members[0]
        if is_in_front_of(scene.objects, nearer, farther):
            return "in front of"
        if is_in_front_of(scene.objects, farther, nearer):
            return "behind"
    return find_direction(first.box(scene), second.box(scene), scene.size)


def write_relations(
    scene: Scene, named: Sequence[ObjectGroup], rng: np.random.Generator, most: int
) -> list[str]:
    """Up to ``most`` sentences such as "the red car is left of the two dogs".

    Neighbors in the order given are compared, and nothing that might be mistaken for another.
    """
    clear = [group for group in named if is_unambiguous(group, named)]
    sentences = []
    for first, second in pairwise(clear):
        word = find_relation(scene, first, second)
        if word is None:
            continue
        boxes = first.box(scene), second.box(scene)
        single = first.count == second.count == 1
        if single and is_next_to(*boxes, scene.size) and rng.random() < 0.5:
            word = "next to"
        sentences.append(f"{first.definite} {choose_verb([first])} {word} {second.definite}")
    start = int(rng.integers(max(1, len(sentences) - most + 1)))
    return sentences[start : start + max(0, most)]


def is_unambiguous(group: ObjectGroup, named: Sequence[ObjectGroup]) -> bool:
    """Whether "the dog" can mean only this group: no other thing may be called so."""
    return not any(
        matches_name(other.category, group.category)
        and (other.adjectives == group.adjectives or not other.adjectives or not group.adjectives)
        for other in named
        if other is not group
    )


def write_passages(scene: Scene, most: int) -> list[str]:
    """What signs and other writing say, the first ``most`` of them."""
    return [write_passage(passage) for passage in find_passages(scene)[:most]]


def write_passage(passage: TextPassage, where: str = "") -> str:
    """'a sign says "OPEN"', 'at the top a sign says "OPEN"'."""
    before = f"{where} " if where else ""
    if passage.surface == "sign":
        return f'{before}a sign says "{passage.text}"'
    return f'{before}there is the text "{passage.text}"'


def describe_passage(passage: TextPassage) -> str:
    """Writing as a thing: 'a sign that says "OPEN"'."""
    thing = "a sign that says" if passage.surface == "sign" else "the text"
    return f'{thing} "{passage.text}"'


def describe_page(scene: Scene) -> str:
    """What the picture of a page shows: "a page of text", "a screen with text"."""
    on_screen = any(line.surface == "screen" for line in scene.lines)
    return "a screen with text" if on_screen else "a page of text"


def quote_first_line(scene: Scene) -> str:
    """The first line of a page, to be quoted."""
    return escape_quotes(scene.lines[0].text)
