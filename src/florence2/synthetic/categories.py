"""The things that scenes show: their names, groups and emoji, read from ``categories.csv``."""

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
    """A kind of thing.

    ``name`` is a singular noun, ``group`` what it is a kind of ("animal"), ``coco`` its name
    among the 80 COCO categories if it is one. ``emoji`` are the characters whose drawings show
    it; a shape has none. ``is_recolorable`` says that the thing comes in any color.
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
    """Whether things of this category come in any color; unknown ones keep theirs."""
    category = load_categories().get(name)
    return category is not None and category.is_recolorable


# What else a thing may rightly be called. Names that hold another ("police car", "basketball")
# need no entry, and what is here errs on the side of asking less.
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
    """Whether a thing of ``category`` may be called ``name``: a police car is a car."""
    if category == name or name in _ALSO_CALLED.get(category, ()):
        return True
    # "police car" is a car and "basketball" a ball; "carrot" is no car.
    return f" {name} " in f" {category} " or category.endswith(name)


def are_ambiguous(first: str, second: str) -> bool:
    """Whether a thing of one category may be called by the other's name, either way round."""
    return (
        matches_name(first, second)
        or matches_name(second, first)
        or _share_coco_name(first, second)
    )


def count_named_objects(caption: str, vocabulary: Sequence[str]) -> Counter[str]:
    """How many of which categories a caption names: ``{"dog": 2, "car": 1}``.

    Singular and plural count, the longest name first, so a hot dog is no dog; a plural without a
    number counts two. What "the" leads was named before and adds nothing to as many. Words in
    quotation marks are what signs say, and an orange car is no orange.
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
        category, several, length = matched
        count, known = _count_named(tokens, last, position, several)
        found[category] = max(found[category], count) if known else found[category] + count
        last = position = position + length
    wanted = set(vocabulary)
    return Counter({name: count for name, count in found.items() if name in wanted and count})


_NameIndex = dict[tuple[str, ...], tuple[str, bool]]


@lru_cache(maxsize=8)
def _index_names(vocabulary: frozenset[str]) -> _NameIndex:
    """Words in a row, to the category they name and whether they are its plural.

    Categories that are not asked for are here too, for they hold words of those that are.
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
    """The category that begins here, whether in the plural, and of how many words."""
    for length in range(min(4, len(tokens) - position), 0, -1):
        found = names.get(tuple(tokens[position : position + length]))
        if found is not None:
            return *found, length
    return None


def _is_color(tokens: list[str], position: int, length: int, names: _NameIndex) -> bool:
    """Whether a name is meant as a color here: something that is named stands behind it."""
    if length != 1 or tokens[position] not in PALETTE:
        return False
    following = position + 1
    while following < len(tokens) and tokens[following] in (*PALETTE, *MEASURES, "of"):
        if _match_name(tokens, following, names) is not None:
            return True
        following += 1
    return following < len(tokens) and _match_name(tokens, following, names) is not None


def _count_named(tokens: list[str], start: int, position: int, several: bool) -> tuple[int, bool]:
    """How many are named, and whether "the" leads them; nothing before ``start`` is about them."""
    count = 2 if several else 1
    for at in range(position - 1, max(start, position - _MAX_WORDS_BEFORE) - 1, -1):
        word = tokens[at]
        if word in _COUNT_BREAKS:
            break
        if word in _COUNTS or word.isdigit():
            number = _COUNTS[word] if word in _COUNTS else int(word)
            return number, at > start and tokens[at - 1] == "the"
        if word in _ARTICLES:
            # "a pair of skis": the measure bears the number.
            return 1 if word != "the" else count, word == "the"
    return count, False


def _share_coco_name(first: str, second: str) -> bool:
    """Whether a data set that scenes share names with calls both the same, or one the other."""
    known = load_categories()
    names = [
        {name, known[name].coco if name in known else None} - {None} for name in (first, second)
    ]
    return bool(names[0] & names[1])
