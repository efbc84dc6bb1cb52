"""Categories of objects, read from ``categories.csv``, and the words that name them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from .colors import PALETTE
from .language import MEASURES, NUMBER_WORDS, pluralize


@dataclass(frozen=True)
class ObjectCategory:
    """A category of objects.

    ``name`` is a singular noun, ``group`` its supercategory ("animal"), ``coco`` its name among
    the 80 COCO categories if it is one. ``emoji`` are the emoji that show it; a shape has none.
    ``is_recolorable`` is true for objects of any color.
    """

    name: str
    group: str
    coco: str | None
    emoji: tuple[str, ...]
    is_recolorable: bool


@lru_cache(maxsize=1)
def load_categories() -> dict[str, ObjectCategory]:
    """All categories by name."""
    table = files("florence2.synthetic").joinpath("categories.csv").read_text("utf-8")
    return {
        row["name"]: ObjectCategory(
            name=row["name"],
            group=row["group"],
            coco=row["coco"] or None,
            emoji=tuple(row["emoji"].split()),
            is_recolorable=row["recolor"] == "yes",
        )
        for row in csv.DictReader(table.splitlines())
    }


def is_recolorable(name: str) -> bool:
    """Whether objects of this category come in any color; false for an unknown category."""
    category = load_categories().get(name)
    return category is not None and category.is_recolorable


# Other correct names of a category. Names that contain another ("police car", "basketball") need
# no entry. An extra entry only removes a prompt; a missing one gives a wrong label.
_ALSO_CALLED = {
    "person": ("man", "woman"),
    "man": ("person",),
    "woman": ("person",),
    "boy": ("person", "man"),
    "girl": ("person", "woman"),
    "baby": ("person", "boy", "girl"),
    "police officer": ("person", "man", "woman"),
    "construction worker": ("person", "man", "woman"),
    "chef": ("person", "man", "woman"),
    "astronaut": ("person", "man", "woman"),
    "taxi": ("car",),
    "ambulance": ("car", "truck"),
    "tulip": ("flower",),
    "rose": ("flower",),
    "sunflower": ("flower",),
    "flower": ("potted plant", "rose", "tulip"),
    "cactus": ("potted plant",),
    "parrot": ("bird",),
    "duck": ("bird",),
    "owl": ("bird",),
    "penguin": ("bird",),
    "chicken": ("bird",),
    "panda": ("bear",),
    "shark": ("fish",),
    "whale": ("fish",),
    "beer mug": ("cup",),
    "wine glass": ("cup",),
    "telephone": ("cell phone",),
    "computer mouse": ("mouse",),
    "watch": ("clock",),
    "pen": ("pencil",),
    "pencil": ("pen",),
    "heart": ("balloon",),
    "diamond": ("square",),
    "square": ("diamond", "box"),
    "box": ("gift",),
    "gift": ("box",),
    "ring": ("circle",),
    "circle": ("ball",),
    "ball": ("soccer ball",),
    "football": ("ball",),
    "baseball": ("ball",),
    "basketball": ("ball",),
}

_ARTICLES = ("a", "an", "the", "one", "another")
_COUNTS = {word: number for number, word in enumerate(NUMBER_WORDS)}
_MAX_WORDS_BEFORE = 6
_TOKEN = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*|[^\sa-z0-9]")
_QUOTED = re.compile(r'["“][^"“”]*(?:["”]|$)')
_COUNT_BREAKS = frozenset(
    (*",.;:!?()", "and", "or", "is", "are", "with", "on", "in", "behind", "next")
)


def matches_name(category: str, name: str) -> bool:
    """Whether ``name`` is a correct name for an object of ``category``: a police car is a car."""
    if category == name or name in _ALSO_CALLED.get(category, ()):
        return True
    # "police car" is a car and "basketball" a ball; "carrot" is not a car.
    return f" {name} " in f" {category} " or category.endswith(name)


def are_ambiguous(first: str, second: str) -> bool:
    """Whether the name of one of two categories is correct for objects of the other."""
    return (
        matches_name(first, second)
        or matches_name(second, first)
        or _share_coco_name(first, second)
    )


def count_named_objects(caption: str, vocabulary: Sequence[str]) -> Counter[str]:
    """Count the objects that a caption names by category: ``{"dog": 2, "car": 1}``.

    Singular and plural count, the longest name first, so a hot dog is not a dog; a plural without a
    number counts two. A phrase with "the" refers to objects named before and adds none. Words in
    quotation marks are text in the image, and an orange car is not an orange.
    """
    names = _index_names(frozenset(vocabulary))
    tokens = _TOKEN.findall(_QUOTED.sub(" , ", caption.lower()))
    found: Counter[str] = Counter()
    last = position = 0
    while position < len(tokens):
        matched = _match_name(tokens, position, names)
        if matched is None or _is_color(tokens, position, matched[2], names):
            position += 1
            continue
        category, is_plural, length = matched
        count, known = _count_named(tokens, last, position, is_plural)
        found[category] = max(found[category], count) if known else found[category] + count
        last = position = position + length
    selected = set(vocabulary)
    return Counter({name: count for name, count in found.items() if name in selected and count})


_NameIndex = dict[tuple[str, ...], tuple[str, bool]]


@lru_cache(maxsize=8)
def _index_names(vocabulary: frozenset[str]) -> _NameIndex:
    """Sequences of words with the category that they name and whether they are its plural.

    Categories outside the vocabulary are included, because their names contain words of others.
    """
    known: Iterable[str] = sorted(vocabulary | load_categories().keys() | {"hot dog", "teddy bear"})
    names: _NameIndex = {}
    for name in known:
        names.setdefault(tuple(pluralize(name).lower().split()), (name, pluralize(name) != name))
    for name in known:
        names[tuple(name.lower().split())] = (name, False)
    return names


def _match_name(
    tokens: list[str], position: int, names: _NameIndex
) -> tuple[str, bool, int] | None:
    """The category that is named at ``position``, whether in the plural, and its word count."""
    for length in range(min(4, len(tokens) - position), 0, -1):
        found = names.get(tuple(tokens[position : position + length]))
        if found is not None:
            return *found, length
    return None


def _is_color(tokens: list[str], position: int, length: int, names: _NameIndex) -> bool:
    """Whether a name is used as a color: the name of an object follows."""
    if length != 1 or tokens[position] not in PALETTE:
        return False
    following = position + 1
    while following < len(tokens) and tokens[following] in (*PALETTE, *MEASURES, "of"):
        if _match_name(tokens, following, names) is not None:
            return True
        following += 1
    return following < len(tokens) and _match_name(tokens, following, names) is not None


def _count_named(tokens: list[str], start: int, position: int, is_plural: bool) -> tuple[int, bool]:
    """The count before a name, and whether it has "the"; words before ``start`` do not count."""
    count = 2 if is_plural else 1
    for at in range(position - 1, max(start, position - _MAX_WORDS_BEFORE) - 1, -1):
        word = tokens[at]
        if word in _COUNT_BREAKS:
            break
        if word in _COUNTS or word.isdigit():
            number = _COUNTS[word] if word in _COUNTS else int(word)
            return number, at > start and tokens[at - 1] == "the"
        if word in _ARTICLES:
            # "a pair of skis": "pair" carries the count.
            return 1 if word != "the" else count, word == "the"
    return count, False


def _share_coco_name(first: str, second: str) -> bool:
    """Whether COCO has one name for both, or the name of one for the other."""
    known = load_categories()
    names = [
        {name, known[name].coco if name in known else None} - {None} for name in (first, second)
    ]
    return bool(names[0] & names[1])
