"""Questions of open-vocabulary detection: what is there, and often what is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .category_names import answers_to, confusable
from .colors import PALETTE
from .english import bare
from .phrases import reading_order
from .scene import Scene

CLASS_SEPARATOR = "<and>"
"""What stands between the names when several classes are asked for."""

_ABSENT_SHARE = 1 / 3
_PHRASE_SHARE = 0.25
_SEVERAL_SHARE = 0.25

Found = list[tuple[int, str]]


def open_vocabulary_question(
    scene: Scene, vocabulary: Sequence[str], rng: np.random.Generator
) -> tuple[str, Found] | None:
    """A class, a phrase or several classes, and the objects that answer to it with their labels.

    One in three asks for what is not there, and nothing answers. Several classes are written
    with ``<and>`` between them, some of them absent. ``None`` when nothing can be asked.
    """
    kind, form = rng.random(2)
    if kind < _ABSENT_SHARE:
        text = _absent_phrase(scene, rng) if form < _PHRASE_SHARE else None
        text = text or absent_category(scene, vocabulary, rng)
        return None if text is None else (text, [])
    present = _askable(scene)
    if not present:
        text = absent_category(scene, vocabulary, rng)
        return None if text is None else (text, [])
    if form < _PHRASE_SHARE:
        phrase = _present_phrase(scene, present, rng)
        if phrase is not None:
            return phrase
    names = [present[int(index)] for index in rng.permutation(len(present))]
    if form < 1 - _SEVERAL_SHARE:
        return names[0], _of_category(scene, names[0])
    return _several(scene, names, vocabulary, rng)


def absent_category(
    scene: Scene, vocabulary: Sequence[str], rng: np.random.Generator
) -> str | None:
    """A category that no object is of or may be taken for, or ``None`` when there is none."""
    shown = {thing.category for thing in scene.objects}
    for index in rng.permutation(len(vocabulary)).tolist():
        if not any(confusable(vocabulary[index], category) for category in shown):
            return vocabulary[index]
    return None


def _askable(scene: Scene) -> list[str]:
    """The categories there are whose names fit no object of another category."""
    shown = sorted({thing.category for thing in scene.objects})
    return [
        name
        for name in shown
        if not any(answers_to(other, name) for other in shown if other != name)
    ]


def _of_category(scene: Scene, name: str) -> Found:
    return [
        (index, name) for index in reading_order(scene) if scene.objects[index].category == name
    ]


def _several(
    scene: Scene, present: list[str], vocabulary: Sequence[str], rng: np.random.Generator
) -> tuple[str, Found]:
    """Two or three classes, at least one of them there."""
    names = present[: int(rng.integers(1, 3))]
    missing = absent_category(scene, vocabulary, rng)
    if missing is not None and (len(names) < 2 or rng.random() < 0.5):
        names.insert(int(rng.integers(len(names) + 1)), missing)
    found = [pair for name in names for pair in _of_category(scene, name)]
    return CLASS_SEPARATOR.join(names), found


def _present_phrase(
    scene: Scene, present: list[str], rng: np.random.Generator
) -> tuple[str, Found] | None:
    """A color with a category, when every object of that category plainly has a color."""
    colored = [
        thing
        for thing in scene.objects
        if thing.category in present
        and thing.category != thing.color
        and None not in _colors(scene, thing.category)
    ]
    if not colored:
        return None
    chosen = colored[int(rng.integers(len(colored)))]
    phrase = bare(chosen.category, 1, [chosen.color or ""])
    found = [
        (index, phrase)
        for index, _ in _of_category(scene, chosen.category)
        if scene.objects[index].color == chosen.color
    ]
    return phrase, found


def _absent_phrase(scene: Scene, rng: np.random.Generator) -> str | None:
    """A category that is there in a color that it plainly does not have there."""
    names = [name for name in _askable(scene) if None not in _colors(scene, name)]
    if not names:
        return None
    name = names[int(rng.integers(len(names)))]
    others = [word for word in PALETTE if word not in (*_colors(scene, name), name)]
    return bare(name, 1, [others[int(rng.integers(len(others)))]])


def _colors(scene: Scene, name: str) -> set[str | None]:
    return {thing.color for thing in scene.objects if thing.category == name}
