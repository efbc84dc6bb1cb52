"""Captions of three lengths, every word of them true, with what their phrases speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from .english import joined, number_word
from .phrases import Group, before, groups, passages, place, quotable, sized
from .phrases import cell as cell_of
from .relations import direction
from .scene import Scene, TextLine
from .sentences import (
    Caption,
    composed,
    first_line,
    is_or_are,
    page_name,
    relation_sentences,
    says,
    text_sentences,
    there_are,
    written,
)

Length = Literal["brief", "detailed", "more detailed"]

_MAIN = 3
_AT_ONCE = 4
_READ_OUT = 4


def caption(scene: Scene, length: Length, rng: np.random.Generator) -> Caption:
    """A caption of a scene; the same generator state gives the same one.

    Brief is one sentence that names the main things. Detailed is two or three with everything,
    the background first. More detailed is a paragraph with places, sizes and the text read out.
    """
    if scene.kind == "page" and scene.lines:
        return _PAGE_WRITERS[length](scene, rng)
    return _WRITERS[length](scene, rng)


def _brief(scene: Scene, rng: np.random.Generator) -> Caption:
    where = before(scene.background)
    named = sorted(groups(scene, by_color=False), key=lambda group: -group.area(scene))
    style, with_text = rng.random(2)
    # "Other things" are several.
    main = named if len(named) <= _MAIN + 1 else named[:_MAIN]
    things = [group.indefinite for group in main]
    if scene.lines and (with_text < 0.5 or not things):
        things.append(written(passages(scene)[0]))
    if len(named) > len(main):
        things.append("other things")
    if not things:
        return composed([f"nothing but {scene.background}"], ())
    if len(named) == len(things) == 2 and style < 0.5:
        word = direction(named[0].box(scene), named[1].box(scene), scene.size)
        if word is not None:
            return composed([f"{things[0]} {word} {things[1]}"], named)
    if style < 0.75 or not named:
        sentence = f"{joined(things)} {where}"
    else:
        verb = "is" if named[0].count == 1 else "are"
        sentence = f"there {verb} {joined(things)} {where}"
    return composed([sentence], main)


def _detailed(scene: Scene, rng: np.random.Generator) -> Caption:
    named = groups(scene, by_color=True)
    if not named:
        nothing = [f"the picture shows {scene.background}"]
        return composed([*nothing, *text_sentences(scene, 2)], ())
    first, rest = named[:_AT_ONCE], named[_AT_ONCE:]
    style = rng.random()
    if style < 0.6:
        sentences = [f"{before(scene.background)} {there_are(first)}"]
    else:
        things = joined([group.indefinite for group in first])
        sentences = [f"the picture shows {things} {before(scene.background)}"]
    if rest:
        sentences.append(there_are(rest, also="also "))
    sentences += text_sentences(scene, 1)
    sentences += relation_sentences(scene, named, rng, 3 - len(sentences))
    return composed(sentences, named)


def _more_detailed(scene: Scene, rng: np.random.Generator) -> Caption:
    count = len(scene.objects)
    style = rng.random(2)
    if count > 1 and style[0] < 0.5:
        opening = f"the picture shows {number_word(count)} things {before(scene.background)}"
    else:
        opening = f"the background is {scene.background}"
    sentences, named = _by_place(scene, things_first=bool(style[1] < 0.3))
    sentences = [opening, *sentences]
    sentences += relation_sentences(scene, groups(scene, by_color=True), rng, 2)
    sentences += [
        says(passage, place(passage.box, scene.size)) for passage in passages(scene)[:_READ_OUT]
    ]
    return composed(sentences, named)


def _by_place(scene: Scene, *, things_first: bool) -> tuple[list[str], list[Group]]:
    """A sentence for each ninth of the picture that has things in it, and the things named."""
    cells: dict[tuple[int, int], list[Group]] = {}
    for group in sized(scene):
        cells.setdefault(cell_of(group.box(scene), scene.size), []).append(group)
    sentences, named = [], []
    for _, here in sorted(cells.items()):
        where = place(here[0].box(scene), scene.size)
        named += here
        if things_first:
            things = joined([group.indefinite for group in here])
            sentences.append(f"{things} {is_or_are(here)} {where}")
        else:
            sentences.append(f"{where} {there_are(here)}")
    return sentences, named


def _brief_page(scene: Scene, rng: np.random.Generator) -> Caption:
    named = groups(scene, by_color=False)
    sentence = f'{page_name(scene)} that says "{first_line(scene)}"'
    return composed([f"{sentence}{_beside(named)}"], named)


def _detailed_page(scene: Scene, rng: np.random.Generator) -> Caption:
    named = groups(scene, by_color=True)
    opening = f"the picture shows {page_name(scene)} {before(scene.background)}"
    sentences = [opening, *_extent(scene.lines)]
    return composed([*sentences, *([there_are(named, also="also ")] if named else [])], named)


def _more_detailed_page(scene: Scene, rng: np.random.Generator) -> Caption:
    opening = f"the picture shows {page_name(scene)} {before(scene.background)}"
    sentences, named = _by_place(scene, things_first=False)
    read = " ".join(quotable(line.text) for line in scene.lines[:_READ_OUT])
    text = [*_extent(scene.lines)[:1], f'the text says "{read}"']
    if len(scene.lines) > _READ_OUT:
        text[-1] = f'the text begins with "{read}"'
    return composed([opening, *text, *sentences], named)


def _extent(lines: Sequence[TextLine]) -> list[str]:
    """How much text there is and how it begins."""
    count = f"{number_word(len(lines))} line{'s' if len(lines) > 1 else ''}"
    return [f"it has {count} of text", f'the first line says "{quotable(lines[0].text)}"']


def _beside(named: Sequence[Group]) -> str:
    return f", with {joined([group.indefinite for group in named])}" if named else ""


_WRITERS = {"brief": _brief, "detailed": _detailed, "more detailed": _more_detailed}
_PAGE_WRITERS = {
    "brief": _brief_page,
    "detailed": _detailed_page,
    "more detailed": _more_detailed_page,
}
