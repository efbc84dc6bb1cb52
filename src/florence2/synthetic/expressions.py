"""Expressions that name one object and no other, and descriptions of single objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .category_names import answers_to
from .english import definite
from .phrases import Group, groups, size_word
from .relations import OPPOSITES, direction, is_next_to
from .scene import Box, Scene
from .sentences import is_clear, relation

_SIDE_MARGIN = 0.12
_TIMES_LARGER = 1.6
# Ends of an axis of the box's middle: which one, and whether the least or the most is meant.
_SIDES = (
    ("on the left", 0, -1),
    ("on the right", 0, 1),
    ("at the top", 1, -1),
    ("at the bottom", 1, 1),
)


def expressions(scene: Scene, index: int) -> list[str]:
    """All ways to name the object at ``index`` so that nothing else can be meant, plainest first.

    "the car", "the red car", "the dog on the left", "the largest dog", "the cup next to the cat".
    An object that shares all these with another has none.
    """
    thing = scene.objects[index]
    rivals = _rivals(scene, index)
    if not rivals:
        plain = [definite(thing.category)]
        return [*plain, definite(thing.category, 1, [thing.color])] if thing.color else plain
    found = [*_by_color(scene, index, rivals), *_by_side(scene, index, rivals)]
    return [*found, *_by_size(scene, index, rivals), *_by_neighbor(scene, index, rivals)]


def description(scene: Scene, index: int, rng: np.random.Generator) -> str:
    """What is in an object's box: "a small red car", some with "left of two dogs"."""
    thing = scene.objects[index]
    words = (size_word(thing, scene.size), thing.color or "")
    text = Group(thing.category, words, (index,)).indefinite
    if rng.random() >= 0.5:
        return text
    alone = Group(thing.category, (), (index,))
    others = [group for group in groups(scene, by_color=True) if index not in group.members]
    near = sorted(others, key=lambda group: _distance(thing.box, group.box(scene)))
    for other in near:
        word = relation(scene, alone, other)
        if word is not None:
            return f"{text} {word} {other.indefinite}"
    return text


def _rivals(scene: Scene, index: int) -> list[int]:
    """The other objects that may be called by the category of this one."""
    category = scene.objects[index].category
    return [
        other
        for other, thing in enumerate(scene.objects)
        if other != index and answers_to(thing.category, category)
    ]


def _by_color(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By color, when every rival plainly has another."""
    thing = scene.objects[index]
    others = {scene.objects[rival].color for rival in rivals}
    if thing.color and thing.color != thing.category and not others & {None, thing.color}:
        yield definite(thing.category, 1, [thing.color])


def _by_side(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By the side that it is nearest to, well before every rival."""
    middle = _middle(scene.objects[index].box)
    margin = _SIDE_MARGIN * min(scene.size)
    for words, axis, sign in _SIDES:
        leads = [
            sign * (middle[axis] - _middle(scene.objects[rival].box)[axis]) for rival in rivals
        ]
        if min(leads) >= margin:
            yield f"{definite(scene.objects[index].category)} {words}"


def _by_size(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By size, when it is plainly the largest or the smallest."""
    own = _area(scene.objects[index].box)
    others = [_area(scene.objects[rival].box) for rival in rivals]
    category = scene.objects[index].category
    if own >= _TIMES_LARGER * max(others):
        yield definite(category, 1, ["largest"])
    if _TIMES_LARGER * own <= min(others):
        yield definite(category, 1, ["smallest"])


def _by_neighbor(scene: Scene, index: int, rivals: Sequence[int]) -> Iterator[str]:
    """By where it is from something that is there once, on whose other side all rivals are."""
    own = scene.objects[index]
    named = groups(scene, by_color=False)
    single = [group for group in named if group.count == 1 and is_clear(group, named)]
    for other in single:
        if other.members[0] in (index, *rivals):
            continue
        box = other.box(scene)
        word = direction(own.box, box, scene.size)
        theirs = {direction(scene.objects[rival].box, box, scene.size) for rival in rivals}
        thing = definite(other.category)
        if is_next_to(own.box, box, scene.size) and not _any_near(scene, rivals, box):
            yield f"{definite(own.category)} next to {thing}"
        elif word is not None and theirs == {OPPOSITES[word]}:
            yield f"{definite(own.category)} {word} {thing}"


def _any_near(scene: Scene, rivals: Sequence[int], box: Box) -> bool:
    """Whether a rival may seem to be next to the box as well."""
    reach = 0.25 * min(scene.size)
    return any(_gap(scene.objects[rival].box, box) < reach for rival in rivals)


def _gap(first: Box, second: Box) -> float:
    """The distance between the nearest points of two boxes."""
    across = max(0.0, first[0] - second[2], second[0] - first[2])
    down = max(0.0, first[1] - second[3], second[1] - first[3])
    return float(np.hypot(across, down))


def _distance(first: Box, second: Box) -> float:
    """The distance between the middles of two boxes."""
    return float(np.hypot(*np.subtract(_middle(first), _middle(second))))


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
