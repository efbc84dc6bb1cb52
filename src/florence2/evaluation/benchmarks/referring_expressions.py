"""Referring expressions in the layout of the refer project, for RefCOCO, RefCOCO+ and RefCOCOg."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...results.tasks import Task
from ..benchmark import BenchmarkExample, Table
from ..metrics.input_checks import check_unique
from .benchmark_files import (
    Id,
    box_of,
    entries_of,
    field_of,
    find_file,
    find_folder,
    id_of,
    image_path,
    read_json,
    whole_number_of,
)
from .detection_errors import SIZES, size_of
from .group_table import grouped_table
from .safe_pickle import read_plain_pickle

PICTURES = "train2014"
_LENGTHS = ("1 to 2 words", "3 to 5 words", "6 to 9 words", "10 words and more")


@dataclass(frozen=True)
class Referent:
    """The object that an expression means.

    ``box`` is ``(x0, y0, x1, y1)`` in pixels, ``segmentation`` COCO's (polygons or run lengths).
    """

    box: tuple[float, float, float, float]
    segmentation: Any
    area: float
    category: str
    image_size: tuple[int, int]


def source_of(folder: str, partition: str) -> str:
    """Which files a data set needs, and where they are got."""
    return f"""\
From the refer project (github.com/lichengunc/refer), {folder}.zip, and from cocodataset.org,
"2014 Train images":

    {folder}/refs({partition}).p
    {folder}/instances.json
    images/mscoco/images/{PICTURES}/COCO_{PICTURES}_000000000009.jpg ...

The pictures may also lie in images/{PICTURES} or {PICTURES}. The expressions are a pickle; only
plain values are read from it, and one that names code is refused. The same list as
refs({partition}).json will do as well."""


def read_expressions(
    data: Path, folder: str, partition: str, split: str, task: Task
) -> list[BenchmarkExample]:
    """One case for each sentence of the split, in the order of the file."""
    source = source_of(folder, partition)
    stem = f"{folder}/refs({partition})"
    path = find_file(data, [f"{stem}.p", f"{stem}.json"], source)
    expressions = read_plain_pickle(path) if path.suffix == ".p" else read_json(path)
    chosen = _of_split(expressions, split, path)
    referents = _Instances(find_file(data, [f"{folder}/instances.json"], source))
    places = [f"images/mscoco/images/{PICTURES}", f"images/{PICTURES}", PICTURES]
    pictures = find_folder(data, places, source)
    cases = [
        BenchmarkExample(
            id=str(id_of(sentence, "sent_id", path)),
            image=image_path(pictures, referents.picture(expression, path), path),
            image_id=str(id_of(expression, "image_id", path)),
            task=task,
            question=str(field_of(sentence, "sent", path)),
            truth=referents.referent(expression, path),
        )
        for expression in chosen
        for sentence in entries_of(expression, "sentences", path)
    ]
    check_unique((case.id for case in cases), f"sentence ids of {path}")
    return cases


def group_tables(
    cases: Sequence[BenchmarkExample], values: Sequence[float], figure: str
) -> tuple[Table, ...]:
    """The mean of one value per expression by size and class of the object and by words."""
    titles = (f"{figure} by size", f"{figure} by class", f"{figure} by length of expression")
    groups: tuple[list[str], ...] = (
        [size_of(case.truth.area) for case in cases],
        [case.truth.category for case in cases],
        [_length(str(case.question)) for case in cases],
    )
    orders = (tuple(SIZES), None, _LENGTHS)
    return tuple(
        grouped_table(title, (column, "expressions", figure), names, values, order=order)
        for title, column, names, order in zip(
            titles, ("size", "class", "length"), groups, orders, strict=True
        )
    )


class _Instances:
    """The objects and pictures of an ``instances.json``."""

    def __init__(self, path: Path) -> None:
        content = read_json(path, "images", "annotations", "categories")
        self.path = path
        self.images = self._by_id(content, "images")
        self.objects = self._by_id(content, "annotations")
        self.categories = self._by_id(content, "categories")

    def _by_id(self, content: Any, key: str) -> dict[Id, Mapping[str, Any]]:
        items = entries_of(content, key, self.path)
        ids = [id_of(item, "id", self.path) for item in items]
        check_unique(ids, f"ids of {key} of {self.path}")
        return dict(zip(ids, items, strict=True))

    def _find(self, items: Mapping[Id, Mapping[str, Any]], name: Id, what: str) -> Any:
        if name not in items:
            raise ValueError(
                f"{self.path} has no {what} {name!r}: are the expressions another data set's?"
            )
        return items[name]

    def picture(self, expression: Mapping[str, Any], path: Path) -> str:
        """The file name of the picture that an expression of the file at ``path`` is about."""
        image = self._find(self.images, id_of(expression, "image_id", path), "image")
        return str(field_of(image, "file_name", self.path))

    def referent(self, expression: Mapping[str, Any], path: Path) -> Referent:
        """What the expression means."""
        item = self._find(self.objects, id_of(expression, "ann_id", path), "annotation")
        number = id_of(expression, "image_id", path)
        image = self._find(self.images, number, "image")
        if id_of(item, "image_id", self.path) != number:
            raise ValueError(
                f"{path}: annotation {item['id']} is on image {item['image_id']}, its expression "
                f"on {number}: are the two files of one data set?"
            )
        left, top, width, height = box_of(item, self.path)
        category = self._find(self.categories, id_of(item, "category_id", self.path), "category")
        return Referent(
            (left, top, left + width, top + height),
            item.get("segmentation"),
            float(item.get("area", width * height)),
            str(field_of(category, "name", self.path)),
            (
                whole_number_of(image, "width", self.path),
                whole_number_of(image, "height", self.path),
            ),
        )


def _of_split(expressions: Any, split: str, path: Path) -> list[Mapping[str, Any]]:
    expressions = entries_of(expressions, None, path)
    chosen = [each for each in expressions if field_of(each, "split", path) == split]
    if not chosen:
        there = sorted({str(each["split"]) for each in expressions})
        raise ValueError(f"{path} has no expression of split {split!r}, only of {there}")
    check_unique((id_of(each, "ref_id", path) for each in expressions), f"ref ids of {path}")
    return chosen


def _length(expression: str) -> str:
    words = len(expression.split())
    return _LENGTHS[sum(words >= least for least in (3, 6, 10))]
