"""Expressions that name one object and no other, and descriptions of single objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .caption_writer import find_relation, is_unambiguous
from .categories import are_ambiguous, matches_name
from .colors import PALETTE
from .language import format_definite, format_noun
from .phrases import (
    OPPOSITES,
    ObjectGroup,
    find_direction,
    find_size_word,
    group_objects,
    is_next_to,
    sort_by_position,
)
from .scene import Box, Scene

_SIDE_MARGIN = 0.12
_MIN_AREA_RATIO = 1.6
# Ends of an axis of the box's middle: which one, and whether the least or the most is meant.
_SIDES = (
    ("on the left", 0, -1),
    ("on the right", 0, 1),
    ("at the top", 1, -1),
    ("at the bottom", 1, 1),
)


def find_expressions(scene: Scene, index: int) -> list[str]:
    """All ways to name the object at ``index`` so that nothing else can be meant, plainest first.

    "the car", "the red car", "the dog on the left", "the largest dog", "the cup next to the cat".
    An object that shares all these with another has none.
    """
    thing = scene.objects[index]
    rivals = _find_rivals(scene, index)
    if not rivals:
        plain = [format_definite(thing.category)]
        return [*plain, format_definite(thing.category, 1, [thing.color])] if thing.color else plain
    found = [*_by_color(scene, index, rivals), *_by_side(scene, index, rivals)]
    return [*found, *_by_size(scene, index, rivals), *_by_neighbor(scene, index, rivals)]


def write_description(scene: Scene, index: int, rng: np.random.Generator) -> str:
    """What is in an object's box: "a small red car", some with "left of two dogs"."""
    thing = scene.objects[index]
    words = (find_size_word(thing, scene.size), thing.color or "")
    text = ObjectGroup(thing.category, words, (index,)).indefinite
    if rng.random() >= 0.5:
        return text
    alone = ObjectGroup(thing.category, (), (index,))
    others = [group for group in group_objects(scene, by_color=True) if index not in group.members]
    near = sorted(others, key=lambda group: _center_distance(thing.box, group.box(scene)))
    for other in near:
        word = find_relation(scene, alone, other)
        if word is not None:
            return f"{text} {word} {other.indefinite}"
    return text


def _find_rivals(scene: Scene, index: int) -> list[int]:
    """The other objects that may be called by the category of this one."""
    category = scene.objects[index].category
    return [
        other
        for other, thing in enumerate(scene.objects)
        if other != index and matches_name(thing.category, category)
    ]


def _by_color(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By color, when every rival plainly has another."""
    thing = scene.objects[index]
    others = {scene.objects[rival].color for rival in rivals}
    if thing.color and thing.color != thing.category and not others & {None, thing.color}:
        yield format_definite(thing.category, 1, [thing.color])


def _by_side(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By the side that it is nearest to, well before every rival."""
    middle = _box_center(scene.objects[index].box)
    margin = _SIDE_MARGIN * min(scene.size)
    for words, axis, sign in _SIDES:
        leads = [
            sign * (middle[axis] - _box_center(scene.objects[rival].box)[axis]) for rival in rivals
        ]
        if min(leads) >= margin:
            yield f"{format_definite(scene.objects[index].category)} {words}"


def _by_size(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By size, when it is plainly the largest or the smallest."""
    own = _box_area(scene.objects[index].box)
    others = [_box_area(scene.objects[rival].box) for rival in rivals]
    category = scene.objects[index].category
    if own >= _MIN_AREA_RATIO * max(others):
        yield format_definite(category, 1, ["largest"])
    if _MIN_AREA_RATIO * own <= min(others):
        yield format_definite(category, 1, ["smallest"])


def _by_neighbor(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By where it is from something that is there once, on whose other side all rivals are."""
    own = scene.objects[index]
    named = group_objects(scene, by_color=False)
    single = [group for group in named if group.count == 1 and is_unambiguous(group, named)]
    for other in single:
        if other.members[0] in (index, *rivals):
            continue
        box = other.box(scene)
        word = find_direction(own.box, box, scene.size)
        theirs = {find_direction(scene.objects[rival].box, box, scene.size) for rival in rivals}
        thing = format_definite(other.category)
        if is_next_to(own.box, box, scene.size) and not _is_any_near(scene, rivals, box):
            yield f"{format_definite(own.category)} next to {thing}"
        elif word is not None and theirs == {OPPOSITES[word]}:
            yield f"{format_definite(own.category)} {word} {thing}"


def _is_any_near(scene: Scene, rivals: Sequence[int], box: Box) -> bool:
    """Whether a rival may seem to be next to the box as well."""
    reach = 0.25 * min(scene.size)
    return any(_box_gap(scene.objects[rival].box, box) < reach for rival in rivals)


def _box_gap(first: Box, second: Box) -> float:
    """The distance between the nearest points of two boxes."""
    across = max(0.0, first[0] - second[2], second[0] - first[2])
    down = max(0.0, first[1] - second[3], second[1] - first[3])
    return float(np.hypot(across, down))


def _center_distance(first: Box, second: Box) -> float:
    """The distance between the middles of two boxes."""
    return float(np.hypot(*np.subtract(_box_center(first), _box_center(second))))


def _box_center(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _box_area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


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
