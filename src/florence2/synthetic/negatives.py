"""Questions of open-vocabulary detection: what is there, and often what is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .category_names import are_ambiguous, matches_name
from .colors import PALETTE
from .english import format_noun
from .phrases import sort_by_position
from .scene import Scene

CLASS_SEPARATOR = "<and>"
"""What stands between the names when several classes are asked for."""

_ABSENT_SHARE = 1 / 3
_PHRASE_SHARE = 0.25
_SEVERAL_SHARE = 0.25

LabeledIndices = list[tuple[int, str]]


def sample_open_vocabulary_prompt(
    scene: Scene, vocabulary: Sequence[str], rng: np.random.Generator
) -> tuple[str, LabeledIndices] | None:
    """A class, a phrase or several classes, and the objects that answer to it with their labels.

    One in three asks for what is not there, and nothing answers. Several classes are written
    with ``<and>`` between them, some of them absent. ``None`` when nothing can be asked.
    """
    kind, form = rng.random(2)
    if kind < _ABSENT_SHARE:
        text = _sample_absent_phrase(scene, rng) if form < _PHRASE_SHARE else None
        text = text or sample_absent_category(scene, vocabulary, rng)
        return None if text is None else (text, [])
    present = _find_unambiguous_categories(scene)
    if not present:
        text = sample_absent_category(scene, vocabulary, rng)
        return None if text is None else (text, [])
    if form < _PHRASE_SHARE:
        phrase = _sample_present_phrase(scene, present, rng)
        if phrase is not None:
            return phrase
    names = [present[int(index)] for index in rng.permutation(len(present))]
    if form < 1 - _SEVERAL_SHARE:
        return names[0], _label_category(scene, names[0])
    return _sample_several_classes(scene, names, vocabulary, rng)


def sample_absent_category(
    scene: Scene, vocabulary: Sequence[str], rng: np.random.Generator
) -> str | None:
    """A category that no object is of or may be taken for, or ``None`` when there is none."""
    shown = {thing.category for thing in scene.objects}
    for index in rng.permutation(len(vocabulary)).tolist():
        if not any(are_ambiguous(vocabulary[index], category) for category in shown):
            return vocabulary[index]
    return None


def _find_unambiguous_categories(scene: Scene) -> list[str]:
    """The categories there are whose names fit no object of another category."""
    shown = sorted({thing.category for thing in scene.objects})
    return [
        name
        for name in shown
        if not any(matches_name(other, name) for other in shown if other != name)
    ]


def _label_category(scene: Scene, name: str) -> LabeledIndices:
    return [
        (index, name) for index in sort_by_position(scene) if scene.objects[index].category == name
    ]


def _sample_several_classes(
    scene: Scene, present: list[str], vocabulary: Sequence[str], rng: np.random.Generator
) -> tuple[str, LabeledIndices]:
    """Two or three classes, at least one of them there."""
    names = present[: int(rng.integers(1, 3))]
    missing = sample_absent_category(scene, vocabulary, rng)
    if missing is not None and (len(names) < 2 or rng.random() < 0.5):
        names.insert(int(rng.integers(len(names) + 1)), missing)
    found = [pair for name in names for pair in _label_category(scene, name)]
    return CLASS_SEPARATOR.join(names), found


def _sample_present_phrase(
    scene: Scene, present: list[str], rng: np.random.Generator
) -> tuple[str, LabeledIndices] | None:
    """A color with a category, when every object of that category plainly has a color."""
    colored = [
        thing
        for thing in scene.objects
        if thing.category in present
        and thing.category != thing.color
        and None not in _find_colors(scene, thing.category)
    ]
    if not colored:
        return None
    chosen = colored[int(rng.integers(len(colored)))]
    phrase = format_noun(chosen.category, 1, [chosen.color or ""])
    found = [
        (index, phrase)
        for index, _ in _label_category(scene, chosen.category)
        if scene.objects[index].color == chosen.color
    ]
    return phrase, found


def _sample_absent_phrase(scene: Scene, rng: np.random.Generator) -> str | None:
    """A category that is there in a color that it plainly does not have there."""
    names = [
        name
        for name in _find_unambiguous_categories(scene)
        if None not in _find_colors(scene, name)
    ]
    if not names:
        return None
    name = names[int(rng.integers(len(names)))]
    others = [word for word in PALETTE if word not in (*_find_colors(scene, name), name)]
    return format_noun(name, 1, [others[int(rng.integers(len(others)))]])


def _find_colors(scene: Scene, name: str) -> set[str | None]:
    return {thing.color for thing in scene.objects if thing.category == name}
