"""Names of splits: ``train2017`` and ``valid`` are what people mean by ``train`` and ``val``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ...io.messages import suggest

Role = Literal["train", "val", "test"]
_YEAR = re.compile(r"[-_]?\d+$")
_ROLES: dict[str, Role] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "minival": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}


def find_role(split: str) -> Role | None:
    """What a split called ``split`` is for; ``None`` where its name does not say."""
    name = split.casefold()
    return _ROLES.get(name) or _ROLES.get(_YEAR.sub("", name))


def match_splits(wanted: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that ``wanted`` means: the one of that name, else those of its role.

    A wanted name with a year means itself only.
    """
    names = tuple(names)
    if wanted in names:
        return (wanted,)
    role = _ROLES.get(wanted.casefold())
    return () if role is None else tuple(name for name in names if find_role(name) == role)


def choose_splits(wanted: str, names: Iterable[str], place: Path) -> tuple[str, ...]:
    """Choose the splits that ``wanted`` means, as ``match_splits`` does.

    Raises ``ValueError`` that names the splits of the set at ``place`` when it means none.
    """
    names = tuple(names)
    found = match_splits(wanted, names)
    if not found:
        there = ", ".join(names) or "none"
        hint = suggest(wanted, names)
        raise ValueError(f"{place} has no split {wanted!r}; it has {there}{hint}")
    return found
