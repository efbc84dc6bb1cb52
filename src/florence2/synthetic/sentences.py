"""Sentences that captions are put together from, with the things that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .category_names import answers_to
from .english import joined
from .phrases import Group, Passage, passages, quotable
from .relations import direction, is_in_front_of, is_next_to
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


def composed(sentences: Iterable[str], named: Sequence[Group]) -> Caption:
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


def there_are(named: Sequence[Group], also: str = "") -> str:
    """ "there is a red car", "there are two dogs and a cat"."""
    verb = "is" if named[0].count == 1 else "are"
    return f"there {verb} {also}{joined([group.indefinite for group in named])}"


def is_or_are(named: Sequence[Group]) -> str:
    """The verb for all of them together."""
    return "is" if len(named) == 1 and named[0].count == 1 else "are"


def relation(scene: Scene, first: Group, second: Group) -> str | None:
    """What plainly holds between all of one group and all of another: "left of"."""
    if first.count == second.count == 1:
        nearer, farther = first.members[0], second.members[0]
        if is_in_front_of(scene.objects, nearer, farther):
            return "in front of"
        if is_in_front_of(scene.objects, farther, nearer):
            return "behind"
    return direction(first.box(scene), second.box(scene), scene.size)


def relation_sentences(
    scene: Scene, named: Sequence[Group], rng: np.random.Generator, most: int
) -> list[str]:
    """Up to ``most`` sentences such as "the red car is left of the two dogs".

    Neighbors in the order given are compared, and nothing that might be mistaken for another.
    """
    clear = [group for group in named if is_clear(group, named)]
    sentences = []
    for first, second in pairwise(clear):
        word = relation(scene, first, second)
        if word is None:
            continue
        boxes = first.box(scene), second.box(scene)
        single = first.count == second.count == 1
        if single and is_next_to(*boxes, scene.size) and rng.random() < 0.5:
            word = "next to"
        sentences.append(f"{first.definite} {is_or_are([first])} {word} {second.definite}")
    start = int(rng.integers(max(1, len(sentences) - most + 1)))
    return sentences[start : start + max(0, most)]


def is_clear(group: Group, named: Sequence[Group]) -> bool:
    """Whether "the dog" can mean only this group: no other thing may be called so."""
    return not any(
        answers_to(other.category, group.category)
        and (other.adjectives == group.adjectives or not other.adjectives or not group.adjectives)
        for other in named
        if other is not group
    )


def text_sentences(scene: Scene, most: int) -> list[str]:
    """What signs and other writing say, the first ``most`` of them."""
    return [says(passage) for passage in passages(scene)[:most]]


def says(passage: Passage, where: str = "") -> str:
    """'a sign says "OPEN"', 'at the top a sign says "OPEN"'."""
    before = f"{where} " if where else ""
    if passage.surface == "sign":
        return f'{before}a sign says "{passage.text}"'
    return f'{before}there is the text "{passage.text}"'


def written(passage: Passage) -> str:
    """Writing as a thing: 'a sign that says "OPEN"'."""
    thing = "a sign that says" if passage.surface == "sign" else "the text"
    return f'{thing} "{passage.text}"'


def page_name(scene: Scene) -> str:
    """What the picture of a page shows: "a page of text", "a screen with text"."""
    on_screen = any(line.surface == "screen" for line in scene.lines)
    return "a screen with text" if on_screen else "a page of text"


def first_line(scene: Scene) -> str:
    """The first line of a page, to be quoted."""
    return quotable(scene.lines[0].text)
