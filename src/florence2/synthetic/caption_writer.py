"""Captions of three lengths, true in every word, with the objects that their phrases name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from .categories import matches_name
from .language import join_phrases, spell_number
from .phrases import (
    ObjectGroup,
    TextPassage,
    describe_background,
    describe_location,
    escape_quotes,
    find_direction,
    find_grid_cell,
    find_passages,
    group_by_size,
    group_objects,
    is_in_front_of,
    is_next_to,
)
from .scene import Scene, TextLine

Length = Literal["brief", "detailed", "more detailed"]

_MAX_BRIEF_GROUPS = 3
_MAX_FIRST_SENTENCE_GROUPS = 4
_MAX_QUOTED_LINES = 4


def write_caption(scene: Scene, length: Length, rng: np.random.Generator) -> Caption:
    """Write a caption of a scene; the same generator state gives the same caption.

    Brief is one sentence that names the main objects. Detailed has two or three sentences with all
    objects. More detailed is a paragraph with locations, sizes and the text.
    """
    if scene.kind == "page" and scene.lines:
        return _PAGE_WRITERS[length](scene, rng)
    return _WRITERS[length](scene, rng)


def _write_brief(scene: Scene, rng: np.random.Generator) -> Caption:
    where = describe_background(scene.background)
    named = sorted(group_objects(scene, by_color=False), key=lambda group: -group.area(scene))
    style, with_text = rng.random(2)
    # "Other things" are at least two.
    main = named if len(named) <= _MAX_BRIEF_GROUPS + 1 else named[:_MAX_BRIEF_GROUPS]
    phrases = [group.indefinite for group in main]
    if scene.lines and (with_text < 0.5 or not phrases):
        phrases.append(describe_passage(find_passages(scene)[0]))
    if len(named) > len(main):
        phrases.append("other things")
    if not phrases:
        return compose_caption([f"nothing but {scene.background}"], ())
    if len(named) == len(phrases) == 2 and style < 0.5:
        word = find_direction(named[0].box(scene), named[1].box(scene), scene.size)
        if word is not None:
            return compose_caption([f"{phrases[0]} {word} {phrases[1]}"], named)
    if style < 0.75 or not named:
        sentence = f"{join_phrases(phrases)} {where}"
    else:
        verb = "is" if named[0].count == 1 else "are"
        sentence = f"there {verb} {join_phrases(phrases)} {where}"
    return compose_caption([sentence], main)


def _write_detailed(scene: Scene, rng: np.random.Generator) -> Caption:
    named = group_objects(scene, by_color=True)
    if not named:
        nothing = [f"the picture shows {scene.background}"]
        return compose_caption([*nothing, *write_passages(scene, 2)], ())
    first, rest = named[:_MAX_FIRST_SENTENCE_GROUPS], named[_MAX_FIRST_SENTENCE_GROUPS:]
    style = rng.random()
    if style < 0.6:
        sentences = [f"{describe_background(scene.background)} {write_there_are(first)}"]
    else:
        phrases = join_phrases([group.indefinite for group in first])
        sentences = [f"the picture shows {phrases} {describe_background(scene.background)}"]
    if rest:
        sentences.append(write_there_are(rest, also="also "))
    sentences += write_passages(scene, 1)
    sentences += write_relations(scene, named, rng, 3 - len(sentences))
    return compose_caption(sentences, named)


def _write_more_detailed(scene: Scene, rng: np.random.Generator) -> Caption:
    count = len(scene.objects)
    style = rng.random(2)
    if count > 1 and style[0] < 0.5:
        where = describe_background(scene.background)
        opening = f"the picture shows {spell_number(count)} things {where}"
    else:
        opening = f"the background is {scene.background}"
    sentences, named = _write_by_location(scene, objects_first=bool(style[1] < 0.3))
    sentences = [opening, *sentences]
    sentences += write_relations(scene, group_objects(scene, by_color=True), rng, 2)
    sentences += [
        write_passage(passage, describe_location(passage.box, scene.size))
        for passage in find_passages(scene)[:_MAX_QUOTED_LINES]
    ]
    return compose_caption(sentences, named)


def _write_by_location(scene: Scene, *, objects_first: bool) -> tuple[list[str], list[ObjectGroup]]:
    """A sentence for each cell of a 3x3 grid with objects, and the groups in order."""
    cells: dict[tuple[int, int], list[ObjectGroup]] = {}
    for group in group_by_size(scene):
        cells.setdefault(find_grid_cell(group.box(scene), scene.size), []).append(group)
    sentences, named = [], []
    for _, here in sorted(cells.items()):
        where = describe_location(here[0].box(scene), scene.size)
        named += here
        if objects_first:
            phrases = join_phrases([group.indefinite for group in here])
            sentences.append(f"{phrases} {choose_verb(here)} {where}")
        else:
            sentences.append(f"{where} {write_there_are(here)}")
    return sentences, named


def _write_brief_page(scene: Scene, rng: np.random.Generator) -> Caption:
    named = group_objects(scene, by_color=False)
    sentence = f'{describe_page(scene)} that says "{quote_first_line(scene)}"'
    return compose_caption([f"{sentence}{_write_objects_beside(named)}"], named)


def _write_detailed_page(scene: Scene, rng: np.random.Generator) -> Caption:
    named = group_objects(scene, by_color=True)
    opening = f"the picture shows {describe_page(scene)} {describe_background(scene.background)}"
    sentences = [opening, *_write_line_count(scene.lines)]
    return compose_caption(
        [*sentences, *([write_there_are(named, also="also ")] if named else [])], named
    )


def _write_more_detailed_page(scene: Scene, rng: np.random.Generator) -> Caption:
    opening = f"the picture shows {describe_page(scene)} {describe_background(scene.background)}"
    sentences, named = _write_by_location(scene, objects_first=False)
    read = " ".join(escape_quotes(line.text) for line in scene.lines[:_MAX_QUOTED_LINES])
    text = [*_write_line_count(scene.lines)[:1], f'the text says "{read}"']
    if len(scene.lines) > _MAX_QUOTED_LINES:
        text[-1] = f'the text begins with "{read}"'
    return compose_caption([opening, *text, *sentences], named)


def _write_line_count(lines: Sequence[TextLine]) -> list[str]:
    """The number of lines and the first line."""
    count = f"{spell_number(len(lines))} line{'s' if len(lines) > 1 else ''}"
    return [f"it has {count} of text", f'the first line says "{escape_quotes(lines[0].text)}"']


def _write_objects_beside(named: Sequence[ObjectGroup]) -> str:
    return f", with {join_phrases([group.indefinite for group in named])}" if named else ""


_WRITERS = {
    "brief": _write_brief,
    "detailed": _write_detailed,
    "more detailed": _write_more_detailed,
}
_PAGE_WRITERS = {
    "brief": _write_brief_page,
    "detailed": _write_detailed_page,
    "more detailed": _write_more_detailed_page,
}


@dataclass(frozen=True)
class Mention:
    """A phrase as written in a caption, and the indices of the objects that it names."""

    phrase: str
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A caption; ``mentions`` are the phrases that introduce objects, in order."""

    text: str
    mentions: tuple[Mention, ...]


def compose_caption(sentences: Iterable[str], named: Sequence[ObjectGroup]) -> Caption:
    """Join sentences to a caption in which the groups are named in the given order.

    Each phrase is searched after the previous one. It may begin a sentence with a capital.
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
    """The verb for all groups together: "is" or "are"."""
    return "is" if len(named) == 1 and named[0].count == 1 else "are"


def find_relation(scene: Scene, first: ObjectGroup, second: ObjectGroup) -> str | None:
    """The spatial relation between two groups, such as "left of"; ``None`` if none is clear."""
    if first.count == second.count == 1:
        nearer, farther = first.members[0], second.members[0]
        if is_in_front_of(scene.objects, nearer, farther):
            return "in front of"
        if is_in_front_of(scene.objects, farther, nearer):
            return "behind"
    return find_direction(first.box(scene), second.box(scene), scene.size)


def write_relations(
    scene: Scene, named: Sequence[ObjectGroup], rng: np.random.Generator, limit: int
) -> list[str]:
    """Up to ``limit`` sentences such as "the red car is left of the two dogs".

    Consecutive groups are compared, without ambiguous ones.
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
    start = int(rng.integers(max(1, len(sentences) - limit + 1)))
    return sentences[start : start + max(0, limit)]


def is_unambiguous(group: ObjectGroup, named: Sequence[ObjectGroup]) -> bool:
    """Whether "the dog" can mean only this group: its name fits no other object."""
    return not any(
        matches_name(other.category, group.category)
        and (other.adjectives == group.adjectives or not other.adjectives or not group.adjectives)
        for other in named
        if other is not group
    )


def write_passages(scene: Scene, limit: int) -> list[str]:
    """Sentences about the first ``limit`` passages of text."""
    return [write_passage(passage) for passage in find_passages(scene)[:limit]]


def write_passage(passage: TextPassage, where: str = "") -> str:
    """'a sign says "OPEN"', 'at the top a sign says "OPEN"'."""
    before = f"{where} " if where else ""
    if passage.surface == "sign":
        return f'{before}a sign says "{passage.text}"'
    return f'{before}there is the text "{passage.text}"'


def describe_passage(passage: TextPassage) -> str:
    """A passage of text as a noun phrase: 'a sign that says "OPEN"'."""
    noun = "a sign that says" if passage.surface == "sign" else "the text"
    return f'{noun} "{passage.text}"'


def describe_page(scene: Scene) -> str:
    """A noun phrase for a page: "a page of text", "a screen with text"."""
    on_screen = any(line.surface == "screen" for line in scene.lines)
    return "a screen with text" if on_screen else "a page of text"


def quote_first_line(scene: Scene) -> str:
    """The first line of a page with escaped quotation marks."""
    return escape_quotes(scene.lines[0].text)
