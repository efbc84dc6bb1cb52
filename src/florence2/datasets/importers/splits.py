"""Names of splits: ``train2017`` is a ``train`` split and ``valid`` a ``val`` split."""

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
    """What a split called ``split`` is for; ``None`` when the name is of no known role."""
    name = split.casefold()
    return _ROLES.get(name) or _ROLES.get(_YEAR.sub("", name))


def match_splits(requested: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that ``requested`` means: the one of that name, else those of its role.

    A requested name with a year means itself only.
    """
    names = tuple(names)
    if requested in names:
        return (requested,)
    role = _ROLES.get(requested.casefold())
    return () if role is None else tuple(name for name in names if find_role(name) == role)


def choose_splits(requested: str, names: Iterable[str], source: Path) -> tuple[str, ...]:
    """Choose the splits that ``requested`` means, as ``match_splits`` does.

    Raises ``ValueError`` that names the splits of ``source`` when none matches.
    """
    names = tuple(names)
    found = match_splits(requested, names)
    if not found:
        listed = ", ".join(names) or "none"
        hint = suggest(requested, names)
        raise ValueError(f"{source} has no split {requested!r}; it has {listed}{hint}")
    return found
