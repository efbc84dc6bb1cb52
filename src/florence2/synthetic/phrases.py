"""Phrases about a scene: groups of objects, sizes, locations, relations, passages of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..results.geometry import box_area, point_bounds
from .language import format_counted, format_definite, format_noun
from .scene import Box, Scene, SceneObject, Surface, TextLine

_SMALL, _LARGE = 0.17, 0.45
_LOCATIONS = (
    ("in the top left", "at the top", "in the top right"),
    ("on the left", "in the middle", "on the right"),
    ("in the bottom left", "at the bottom", "in the bottom right"),
)
_GROUND_WORDS = (
    "grass",
    "beach",
    "snow",
    "water",
    "table",
    "floor",
    "road",
    "field",
    "sea",
    "surface",
)
_MAX_LINE_GAP = 0.9


@dataclass(frozen=True)
class ObjectGroup:
    """Objects of one phrase: their indices in ``Scene.objects``, in reading order."""

    category: str
    adjectives: tuple[str, ...]
    members: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of objects."""
        return len(self.members)

    @property
    def indefinite(self) -> str:
        """The phrase for the first mention: "two red cars"."""
        return format_counted(self.category, self.count, self.adjectives)

    @property
    def definite(self) -> str:
        """The phrase for later mentions: "the two red cars"."""
        return format_definite(self.category, self.count, self.adjectives)

    def box(self, scene: Scene) -> Box:
        """The bounds of all objects."""
        return union_box([scene.objects[index].box for index in self.members])

    def area(self, scene: Scene) -> float:
        """The summed area of their boxes in pixels."""
        return float(box_area(np.array([scene.objects[index].box for index in self.members])).sum())


@dataclass(frozen=True)
class TextPassage:
    """Lines of text that belong together, such as those of a sign."""

    text: str
    surface: Surface
    lines: tuple[TextLine, ...]

    @property
    def box(self) -> Box:
        """The bounds of the lines."""
        x0, y0, x1, y1 = point_bounds(np.concatenate([line.quad for line in self.lines])).tolist()
        return x0, y0, x1, y1


def sort_by_position(scene: Scene) -> list[int]:
    """The indices of the objects by the top edge of their boxes, then the left.

    All labels have this order.
    """
    boxes = [obj.box for obj in scene.objects]
    return sorted(range(len(boxes)), key=lambda index: (boxes[index][1], boxes[index][0]))


def group_objects(scene: Scene, *, by_color: bool) -> list[ObjectGroup]:
    """Group the objects by category, in reading order; a group has a color if all share it.

    With ``by_color``, objects of one category are split by color if each has one.
    """
    by_category: dict[str, list[int]] = {}
    for index in sort_by_position(scene):
        by_category.setdefault(scene.objects[index].category, []).append(index)
    found: list[ObjectGroup] = []
    for category, members in by_category.items():
        colors = {scene.objects[index].color for index in members}
        if len(colors) == 1 or (by_color and None not in colors):
            found += _split_by_color(scene, category, members)
        else:
            found.append(ObjectGroup(category, (), tuple(members)))
    return found


def group_by_size(scene: Scene) -> list[ObjectGroup]:
    """Group the objects by category, color, size and location, in reading order."""
    members: dict[tuple[str, str, str, tuple[int, int]], list[int]] = {}
    for index in sort_by_position(scene):
        obj = scene.objects[index]
        key = (
            obj.category,
            find_size_word(obj, scene.size),
            obj.color or "",
            find_grid_cell(obj.box, scene.size),
        )
        members.setdefault(key, []).append(index)
    return [
        ObjectGroup(category, (size, color), tuple(members))
        for (category, size, color, _), members in members.items()
    ]


def find_size_word(obj: SceneObject, size: tuple[int, int]) -> str:
    """ "small", "large" or nothing, by the longer side in an image of ``size``."""
    x0, y0, x1, y1 = obj.box
    share = max(x1 - x0, y1 - y0) / min(size)
    return "small" if share < _SMALL else "large" if share > _LARGE else ""


def describe_object(obj: SceneObject, size: tuple[int, int]) -> str:
    """A phrase with size and color, without an article: "small red car"."""
    return format_noun(obj.category, 1, (find_size_word(obj, size), obj.color or ""))


def describe_location(box: Box, size: tuple[int, int]) -> str:
    """The location of a box by the cell of a 3x3 grid with its center: "at the top"."""
    row, column = find_grid_cell(box, size)
    return _LOCATIONS[row][column]


def find_grid_cell(box: Box, size: tuple[int, int]) -> tuple[int, int]:
    """Row and column, 0 to 2, of the cell of a 3x3 grid with the box's center."""
    across, down = (box[0] + box[2]) / (2 * size[0]), (box[1] + box[3]) / (2 * size[1])
    return min(2, max(0, int(3 * down))), min(2, max(0, int(3 * across)))


def describe_background(background: str) -> str:
    """A background with its preposition: "on green grass", "in front of a brick wall"."""
    words = background.split()
    if any(word in _GROUND_WORDS for word in words):
        return f"on {background}"
    return f"against {background}" if words[-1] == "sky" else f"in front of {background}"


def find_passages(scene: Scene) -> list[TextPassage]:
    """The passages of text in reading order; a sign or a page is one passage."""
    runs: list[list[TextLine]] = []
    for line in scene.lines:
        if runs and _is_continuation(runs[-1][-1], line):
            runs[-1].append(line)
        else:
            runs.append([line])
    return [
        TextPassage(" ".join(escape_quotes(line.text) for line in run), run[0].surface, tuple(run))
        for run in runs
    ]


def escape_quotes(text: str) -> str:
    """The text with single quotation marks in place of double ones."""
    return text.replace('"', "'")


def _split_by_color(scene: Scene, category: str, members: Sequence[int]) -> list[ObjectGroup]:
    colors: dict[str, list[int]] = {}
    for index in members:
        colors.setdefault(scene.objects[index].color or "", []).append(index)
    return [
        ObjectGroup(category, (color,) if color else (), tuple(members))
        for color, members in colors.items()
    ]


def _is_continuation(line: TextLine, following: TextLine) -> bool:
    """Whether ``following`` belongs to the same passage as ``line``."""
    if line.surface != following.surface or line.color != following.color:
        return False
    if line.surface in ("document", "screen"):
        return True
    if line.surface != "sign":
        return False
    # Lines of a sign have one angle, are close below each other and centered.
    down = line.quad[3] - line.quad[0]
    height = float(np.hypot(*down))
    step = following.quad.mean(axis=0) - line.quad.mean(axis=0)
    along = abs(float(step @ np.array([down[1], -down[0]]))) / max(height, 1e-6)
    gap = float(step @ down) / max(height, 1e-6) - height
    return along < height and -0.5 * height < gap < _MAX_LINE_GAP * height


OPPOSITES = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "next to": "next to",
    "in front of": "behind",
    "behind": "in front of",
}
"""All spatial relations with their inverses."""

_MIN_DISTANCE = 0.12
_MAX_OVERLAP = 0.2
_MAX_SLOPE = 0.8
_MAX_GAP = 0.1
_MIN_HIDDEN = 0.12


def union_box(boxes: Sequence[Box]) -> Box:
    """The bounds of all boxes."""
    corners = np.asarray(boxes, dtype=np.float64)
    x0, y0 = corners[:, :2].min(axis=0).tolist()
    x1, y1 = corners[:, 2:].max(axis=0).tolist()
    return x0, y0, x1, y1


def find_direction(first: Box, second: Box, size: tuple[int, int]) -> str | None:
    """ "left of", "right of", "above" or "below": where ``first`` is relative to ``second``.

    ``None`` unless the centers are clearly apart along one axis and the boxes hardly overlap along
    it. ``size`` is the image's (width, height).
    """
    reach = min(size)
    across = (second[0] + second[2] - first[0] - first[2]) / 2
    down = (second[1] + second[3] - first[1] - first[3]) / 2
    axis = 0 if abs(across) >= abs(down) else 1
    apart, aside = (across, down) if axis == 0 else (down, across)
    if abs(apart) < _MIN_DISTANCE * reach or abs(aside) > _MAX_SLOPE * abs(apart):
        return None
    low, high = (first, second) if apart > 0 else (second, first)
    overlap = low[axis + 2] - high[axis]
    shorter = min(low[axis + 2] - low[axis], high[axis + 2] - high[axis])
    if overlap > _MAX_OVERLAP * shorter:
        return None
    return (("left of", "right of"), ("above", "below"))[axis][0 if apart > 0 else 1]


def is_next_to(first: Box, second: Box, size: tuple[int, int]) -> bool:
    """Whether two boxes are side by side with a small gap."""
    if find_direction(first, second, size) not in ("left of", "right of"):
        return False
    gap = max(first[0], second[0]) - min(first[2], second[2])
    shared = min(first[3], second[3]) - max(first[1], second[1])
    lower = min(first[3] - first[1], second[3] - second[1])
    return gap <= _MAX_GAP * min(size) and shared >= 0.5 * lower


def is_in_front_of(objects: Sequence[SceneObject], nearer: int, farther: int) -> bool:
    """Whether the object at index ``nearer`` occludes much of the one at ``farther``.

    Objects go from the farthest to the nearest. The hidden pixels are not known, so the nearer
    object must cover much of the farther one's box, and a part of the farther one must be hidden.
    """
    if nearer <= farther or objects[farther].visible > 1 - _MIN_HIDDEN:
        return False
    x0, y0, x1, y1 = (round(value) for value in objects[farther].box)
    shown = np.count_nonzero(objects[nearer].mask[y0:y1, x0:x1])
    return bool(shown >= _MIN_HIDDEN * (x1 - x0) * (y1 - y0))
