"""Texts that prompt for objects: referring expressions, descriptions, open-vocabulary classes."""

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
# The phrase, the axis of the box center, and the sign of the end of the axis.
_SIDES = (
    ("on the left", 0, -1),
    ("on the right", 0, 1),
    ("at the top", 1, -1),
    ("at the bottom", 1, 1),
)


def find_expressions(scene: Scene, index: int) -> list[str]:
    """All unambiguous expressions for the object at ``index``, the simplest first.

    "the car", "the red car", "the dog on the left", "the largest dog", "the cup next to the cat".
    An object without distinctive features has none.
    """
    obj = scene.objects[index]
    rivals = _find_rivals(scene, index)
    if not rivals:
        plain = [format_definite(obj.category)]
        return [*plain, format_definite(obj.category, 1, [obj.color])] if obj.color else plain
    found = [*_by_color(scene, index, rivals), *_by_side(scene, index, rivals)]
    return [*found, *_by_size(scene, index, rivals), *_by_neighbor(scene, index, rivals)]


def write_description(scene: Scene, index: int, rng: np.random.Generator) -> str:
    """Describe an object: "a small red car", half of the time with "left of two dogs"."""
    obj = scene.objects[index]
    words = (find_size_word(obj, scene.size), obj.color or "")
    text = ObjectGroup(obj.category, words, (index,)).indefinite
    if rng.random() >= 0.5:
        return text
    alone = ObjectGroup(obj.category, (), (index,))
    others = [group for group in group_objects(scene, by_color=True) if index not in group.members]
    near = sorted(others, key=lambda group: _center_distance(obj.box, group.box(scene)))
    for other in near:
        word = find_relation(scene, alone, other)
        if word is not None:
            return f"{text} {word} {other.indefinite}"
    return text


def _find_rivals(scene: Scene, index: int) -> list[int]:
    """The other objects for which this one's category is a correct name."""
    category = scene.objects[index].category
    return [
        other
        for other, obj in enumerate(scene.objects)
        if other != index and matches_name(obj.category, category)
    ]


def _by_color(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By color, if every rival has another color."""
    obj = scene.objects[index]
    others = {scene.objects[rival].color for rival in rivals}
    if obj.color and obj.color != obj.category and not others & {None, obj.color}:
        yield format_definite(obj.category, 1, [obj.color])


def _by_side(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By location, if it is clearly the first in that direction."""
    middle = _box_center(scene.objects[index].box)
    margin = _SIDE_MARGIN * min(scene.size)
    for words, axis, sign in _SIDES:
        leads = [
            sign * (middle[axis] - _box_center(scene.objects[rival].box)[axis]) for rival in rivals
        ]
        if min(leads) >= margin:
            yield f"{format_definite(scene.objects[index].category)} {words}"


def _by_size(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By size, if it is clearly the largest or the smallest."""
    own = _box_area(scene.objects[index].box)
    others = [_box_area(scene.objects[rival].box) for rival in rivals]
    category = scene.objects[index].category
    if own >= _MIN_AREA_RATIO * max(others):
        yield format_definite(category, 1, ["largest"])
    if _MIN_AREA_RATIO * own <= min(others):
        yield format_definite(category, 1, ["smallest"])


def _by_neighbor(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By the relation to a unique object, if no rival has the same relation."""
    own = scene.objects[index]
    named = group_objects(scene, by_color=False)
    single = [group for group in named if group.count == 1 and is_unambiguous(group, named)]
    for other in single:
        if other.members[0] in (index, *rivals):
            continue
        box = other.box(scene)
        word = find_direction(own.box, box, scene.size)
        rival_relations = {
            find_direction(scene.objects[rival].box, box, scene.size) for rival in rivals
        }
        obj = format_definite(other.category)
        if is_next_to(own.box, box, scene.size) and not _is_any_near(scene, rivals, box):
            yield f"{format_definite(own.category)} next to {obj}"
        elif word is not None and rival_relations == {OPPOSITES[word]}:
            yield f"{format_definite(own.category)} {word} {obj}"


def _is_any_near(scene: Scene, rivals: Sequence[int], box: Box) -> bool:
    """Whether a rival might count as next to the box too."""
    reach = 0.25 * min(scene.size)
    return any(_box_gap(scene.objects[rival].box, box) < reach for rival in rivals)


def _box_gap(first: Box, second: Box) -> float:
    """The gap between two boxes; 0 if they overlap."""
    across = max(0.0, first[0] - second[2], second[0] - first[2])
    down = max(0.0, first[1] - second[3], second[1] - first[3])
    return float(np.hypot(across, down))


def _center_distance(first: Box, second: Box) -> float:
    """The distance between the centers of two boxes."""
    return float(np.hypot(*np.subtract(_box_center(first), _box_center(second))))


def _box_center(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _box_area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


CLASS_SEPARATOR = "<and>"
"""Separator of class names in a prompt."""

_ABSENT_SHARE = 1 / 3
_PHRASE_SHARE = 0.25
_SEVERAL_SHARE = 0.25

LabeledIndices = list[tuple[int, str]]


def sample_open_vocabulary_prompt(
    scene: Scene, vocabulary: Sequence[str], rng: np.random.Generator
) -> tuple[str, LabeledIndices] | None:
    """Sample a class, a phrase or several classes, with the matching objects and their labels.

    One in three prompts is negative: no object matches. Several classes are separated by
    ``<and>``, and some of them are absent. ``None`` if there is no unambiguous prompt.
    """
    negative, form = rng.random(2)
    if negative < _ABSENT_SHARE:
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
    """Sample a category whose name fits no object in the scene; ``None`` if there is none."""
    shown = {obj.category for obj in scene.objects}
    for index in rng.permutation(len(vocabulary)).tolist():
        if not any(are_ambiguous(vocabulary[index], category) for category in shown):
            return vocabulary[index]
    return None


def _find_unambiguous_categories(scene: Scene) -> list[str]:
    """The categories in the scene whose names fit no object of another category."""
    shown = sorted({obj.category for obj in scene.objects})
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
    """Two or three classes, at least one of them present."""
    names = present[: int(rng.integers(1, 3))]
    missing = sample_absent_category(scene, vocabulary, rng)
    if missing is not None and (len(names) < 2 or rng.random() < 0.5):
        names.insert(int(rng.integers(len(names) + 1)), missing)
    found = [pair for name in names for pair in _label_category(scene, name)]
    return CLASS_SEPARATOR.join(names), found


def _sample_present_phrase(
    scene: Scene, present: list[str], rng: np.random.Generator
) -> tuple[str, LabeledIndices] | None:
    """A color with a category, if every object of that category has a color."""
    colored = [
        obj
        for obj in scene.objects
        if obj.category in present
        and obj.category != obj.color
        and None not in _find_colors(scene, obj.category)
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
    """A present category in a color that none of its objects has."""
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
    return {obj.color for obj in scene.objects if obj.category == name}
