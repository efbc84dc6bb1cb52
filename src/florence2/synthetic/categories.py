"""The things that scenes show: their names, groups and emoji, read from ``categories.csv``."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


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
            recolorable=row["recolor"] == "yes",
        )
        for row in csv.DictReader(table.splitlines())
    }


def is_recolorable(name: str) -> bool:
    """Whether things of this category come in any color; unknown ones keep theirs."""
    category = load_categories().get(name)
    return category is not None and category.recolorable
