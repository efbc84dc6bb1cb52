"""The classes of an export, and the labels that belong to each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...io.files import read_text
from ...results.records import Category, SourceId
from ..importers.class_list import ClassList

CLASS_FILES = (".txt", ".names", ".yaml", ".yml", ".json")
_MAX_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class ClassMap:
    """Prompts and the class of each: ``{"delivery truck": "truck", "person": "person"}``.

    Class numbers count from 0 in the order in which classes are first named. ``categories`` are
    the ids and supercategories of the classes, where a file gave them.
    """

    classes: dict[str, str]
    categories: tuple[Category, ...] = ()

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("a class map must name at least one class")

    @classmethod
    def parse(cls, text: str) -> ClassMap:
        """``"delivery truck=truck, person"``: prompts by commas, each with its class or itself.

        Raises ``ValueError`` for empty names and for a prompt with two classes.
        """
        return cls(_pairs(text.split(","), text))

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """The classes of a file, in its order.

        A text file holds one a line, ``class`` or ``prompt=class``; YAML has ``names`` as in
        ``data.yaml``; JSON is a list of names, or has ``categories`` as in COCO. Raises
        ``ValueError`` that names the file when it holds no classes.
        """
        text = read_text(path, _MAX_BYTES)
        try:
            if path.suffix.lower() in (".yaml", ".yml"):
                return cls(_named(_yaml_names(text)))
            if path.suffix.lower() == ".json":
                categories = _json_categories(text)
                return cls(_named([category.name for category in categories]), categories)
            lines = [line for line in text.splitlines() if line.strip()]
            return cls(_pairs(lines, path.name))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{path} is not a list of classes: {error}") from error

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts for the model."""
        return tuple(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""
        return tuple(dict.fromkeys(self.classes.values()))

    def find_class(self, label: str) -> str | None:
        """The class that a label means, whatever its case; ``None`` when it means none."""
        return self.classes.get(_folded(label))


@dataclass
class ExportClasses:
    """The classes while a set is written: those of a class map, or else those of the source.

    Labels that the source does not list become classes in the order in which they occur.
    """

    class_map: ClassMap | None = None
    listed: ClassList = field(default_factory=ClassList)
    # The last record and its collected regions: the exporter and the counts both use them.
    collected: tuple[object, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.class_map is not None:
            known = {category.name: category for category in self.class_map.categories}
            names = self.class_map.names
            self.listed.declare(known.get(name, Category(name)) for name in names)

    @property
    def names(self) -> tuple[str, ...]:
        """All classes so far, in the order of their numbers."""
        return self.listed.names

    def declare(self, categories: Iterable[Category]) -> None:
        """Take the classes that the source lists, unless a class map is given."""
        if self.class_map is None:
            self.listed.declare(categories)

    def find_class_name(self, label: str) -> str | None:
        """The class of a label; ``None`` when the class map has no such label."""
        if self.class_map is not None:
            return self.class_map.find_class(label)
        return label.strip() or "object"

    def find_class_index(self, name: str, category_id: SourceId | None = None) -> int:
        """The number of a class, from 0 on; ``category_id`` is its id in the source."""
        return self.listed.find(name, category_id if self.class_map is None else None)


def _pairs(parts: Iterable[str], text: str) -> dict[str, str]:
    classes: dict[str, str] = {}
    for part in parts:
        prompt, separator, name = (piece.strip() for piece in part.partition("="))
        name = name if separator else prompt
        if not prompt or not name:
            raise ValueError(
                f"classes are written 'prompt=class, prompt=class' or 'class, class', got {text!r}"
            )
        if classes.setdefault(_folded(prompt), name) != name:
            raise ValueError(
                f"{prompt!r} has two classes: {classes[_folded(prompt)]!r} and {name!r}"
            )
    return classes


def _named(names: Iterable[Any]) -> dict[str, str]:
    classes: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"a class is a name, got {name!r}")
        classes.setdefault(_folded(name), name)
    return classes


def _yaml_names(text: str) -> list[Any]:
    import yaml

    # The base loader keeps every scalar as text: "no" and "1.10" are names.
    try:
        values = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    names = values.get("names") if isinstance(values, dict) else values
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list):
        raise ValueError("'names' should be a list")
    return names


def _json_categories(text: str) -> tuple[Category, ...]:
    values = json.loads(text)
    listed = values["categories"] if isinstance(values, Mapping) else values
    return tuple(
        Category(item)
        if isinstance(item, str)
        else Category(item["name"], item.get("id"), str(item.get("supercategory") or ""))
        for item in listed
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
