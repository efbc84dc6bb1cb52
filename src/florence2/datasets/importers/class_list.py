"""The one list of classes of a dataset: the source's classes in the source's order.

Readers declare the classes that their files list, empty ones too. Labels that no file lists are
added behind them in the order in which they appear.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ...results.records import Category, SourceId


@dataclass
class ClassList:
    """Classes with their indices from 0 on; names are unique."""

    _categories: list[Category] = field(default_factory=list)
    _by_name: dict[str, int] = field(default_factory=dict)
    _by_id: dict[tuple[SourceId, str], int] = field(default_factory=dict)
    _ids: set[SourceId] = field(default_factory=set)

    @property
    def categories(self) -> tuple[Category, ...]:
        """All classes so far, in the order of their numbers."""
        return tuple(self._categories)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all classes so far."""
        return tuple(category.name for category in self._categories)

    def declare(self, categories: Iterable[Category]) -> None:
        """Add the classes of one file. Classes with a known name keep their index.

        Two classes of one file with the same name remain two.
        """
        known = set(self._by_name)
        for category in categories:
            if category.name not in known:
                self._append(category)
                continue
            number, id = self._by_name[category.name], category.id
            existing = self._categories[number]
            if id is None:
                continue
            self._by_id.setdefault((id, category.name), number)
            if existing.id is None and id not in self._ids:
                self._ids.add(id)
                supercategory = existing.supercategory or category.supercategory
                attributes = {**category.attributes, **existing.attributes}
                self._categories[number] = Category(existing.name, id, supercategory, attributes)

    def find(self, name: str, id: SourceId | None = None) -> int:
        """The number of a class; a class that is not in the list is added to it.

        ``id`` distinguishes classes with the same name.
        """
        if id is not None and (id, name) in self._by_id:
            return self._by_id[id, name]
        if name not in self._by_name:
            self._append(Category(name))
        return self._by_name[name]

    def ids(self) -> tuple[SourceId, ...]:
        """An id for each class: the source's, or a free number, if possible its position from 1."""
        return tuple(fill_ids([category.id for category in self._categories]))

    def _append(self, category: Category) -> None:
        number, id = len(self._categories), category.id
        if id is not None and id in self._ids:
            category = replace(category, id=None)
        elif id is not None:
            self._ids.add(id)
        self._categories.append(category)
        # Labels are read without white space at the ends.
        for name in (category.name, category.name.strip()):
            self._by_name.setdefault(name, number)
            if id is not None:
                self._by_id.setdefault((id, name), number)


def fill_ids(requested: Sequence[SourceId | None]) -> list[SourceId]:
    """An id for each item: the requested one if no earlier item has it, else a free number.

    The free number is its position from 1, if that is free.
    """
    taken: set[SourceId] = {id for id in requested if id is not None}
    given: set[SourceId] = set()
    following = max([len(requested), *(id for id in taken if isinstance(id, int))])
    ids: list[SourceId] = []
    for position, want in enumerate(requested, start=1):
        id = want
        if id is None or id in given:
            id = position if position not in taken else following + 1
            following = max(following, id) if isinstance(id, int) else following
        taken.add(id)
        given.add(id)
        ids.append(id)
    return ids
