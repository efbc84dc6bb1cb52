"""Referring expressions in the layout of the refer project, for RefCOCO, RefCOCO+ and RefCOCOg."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...results.tasks import Task
from ..benchmark import BenchmarkExample, Table, group_table
from ..metrics.input_checks import check_unique
from .benchmark_files import (
    Id,
    find_directory,
    find_file,
    get_box,
    get_entries,
    get_field,
    get_id,
    get_integer,
    image_path,
    read_json,
)
from .detection_errors import SIZES, size_class

IMAGES = "train2014"
_LENGTHS = ("1 to 2 words", "3 to 5 words", "6 to 9 words", "10 words and more")


@dataclass(frozen=True)
class Referent:
    """The object that an expression refers to.

    ``box`` is ``(x0, y0, x1, y1)`` in pixels, ``segmentation`` COCO's (polygons or RLE).
    """

    box: tuple[float, float, float, float]
    segmentation: Any
    area: float
    category: str
    image_size: tuple[int, int]


def describe_source(directory: str, partition: str) -> str:
    """Which files a dataset needs, and where to get them."""
    return f"""\
From the refer project (github.com/lichengunc/refer), {directory}.zip, and from cocodataset.org,
"2014 Train images":

    {directory}/refs({partition}).p
    {directory}/instances.json
    images/mscoco/images/{IMAGES}/COCO_{IMAGES}_000000000009.jpg ...

The images may also be in images/{IMAGES} or {IMAGES}. The expressions are a pickle; only plain
values are read from it, and a pickle that names code is refused. The same list as
refs({partition}).json is accepted too."""


def read_expressions(
    data: Path, directory: str, partition: str, split: str, task: Task
) -> list[BenchmarkExample]:
    """One example for each sentence of the split, in the order of the file."""
    source = describe_source(directory, partition)
    stem = f"{directory}/refs({partition})"
    path = find_file(data, [f"{stem}.p", f"{stem}.json"], source)
    expressions = read_plain_pickle(path) if path.suffix == ".p" else read_json(path)
    selected = _select_split(expressions, split, path)
    referents = _Instances(find_file(data, [f"{directory}/instances.json"], source))
    candidates = [f"images/mscoco/images/{IMAGES}", f"images/{IMAGES}", IMAGES]
    images = find_directory(data, candidates, source)
    examples = [
        BenchmarkExample(
            id=str(get_id(sentence, "sent_id", path)),
            image=image_path(images, referents.get_file_name(expression, path), path),
            image_id=str(get_id(expression, "image_id", path)),
            task=task,
            prompt_input=str(get_field(sentence, "sent", path)),
            ground_truth=referents.get_referent(expression, path),
        )
        for expression in selected
        for sentence in get_entries(expression, "sentences", path)
    ]
    check_unique((example.id for example in examples), f"sentence ids of {path}")
    return examples


def group_tables(
    examples: Sequence[BenchmarkExample], values: Sequence[float], metric: str
) -> tuple[Table, ...]:
    """The mean of one value per expression by size and class of the object and by length."""
    titles = (f"{metric} by size", f"{metric} by class", f"{metric} by length of expression")
    groups: tuple[list[str], ...] = (
        [size_class(example.ground_truth.area) for example in examples],
        [example.ground_truth.category for example in examples],
        [_length(str(example.prompt_input)) for example in examples],
    )
    orders = (tuple(SIZES), None, _LENGTHS)
    return tuple(
        group_table(title, (column, "expressions", metric), names, values, order=order)
        for title, column, names, order in zip(
            titles, ("size", "class", "length"), groups, orders, strict=True
        )
    )


def read_plain_pickle(path: Path) -> Any:
    """The content of a pickle: lists, tuples, dictionaries, strings, bytes and numbers.

    Files of Python 2 are read too. Raises ``ValueError`` for a damaged file, and for one that
    names a class or a function: loading it could run any program.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="utf-8", errors="replace").load()
    # A damaged pickle raises errors of any type.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a pickle of plain values: {error}; get it again"
        ) from error


# The library's reader in Python: the one in C allocates memory by numbers in the file, so that a
# file of ten bytes can take gigabytes.
class _PlainUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Refuse: plain values need nothing from any module."""
        raise pickle.UnpicklingError(f"it names {module}.{name}, which a plain file never does")


class _Instances:
    """The objects and images of an ``instances.json``."""

    def __init__(self, path: Path) -> None:
        content = read_json(path, "images", "annotations", "categories")
        self.path = path
        self.images = self._by_id(content, "images")
        self.objects = self._by_id(content, "annotations")
        self.categories = self._by_id(content, "categories")

    def _by_id(self, content: Any, key: str) -> dict[Id, Mapping[str, Any]]:
        items = get_entries(content, key, self.path)
        ids = [get_id(item, "id", self.path) for item in items]
        check_unique(ids, f"ids of {key} of {self.path}")
        return dict(zip(ids, items, strict=True))

    def _find(self, items: Mapping[Id, Mapping[str, Any]], name: Id, what: str) -> Any:
        if name not in items:
            raise ValueError(
                f"{self.path} has no {what} {name!r}: the expressions are of another dataset"
            )
        return items[name]

    def get_file_name(self, expression: Mapping[str, Any], path: Path) -> str:
        """The file name of the image of an expression in the file at ``path``."""
        image = self._find(self.images, get_id(expression, "image_id", path), "image")
        return str(get_field(image, "file_name", self.path))

    def get_referent(self, expression: Mapping[str, Any], path: Path) -> Referent:
        """The object that the expression refers to."""
        item = self._find(self.objects, get_id(expression, "ann_id", path), "annotation")
        image_id = get_id(expression, "image_id", path)
        image = self._find(self.images, image_id, "image")
        if get_id(item, "image_id", self.path) != image_id:
            raise ValueError(
                f"{path}: annotation {item['id']} is on image {item['image_id']}, its expression "
                f"on {image_id}: the two files are of different datasets"
            )
        left, top, width, height = get_box(item, self.path)
        category = self._find(self.categories, get_id(item, "category_id", self.path), "category")
        return Referent(
            (left, top, left + width, top + height),
            item.get("segmentation"),
            float(item.get("area", width * height)),
            str(get_field(category, "name", self.path)),
            (get_integer(image, "width", self.path), get_integer(image, "height", self.path)),
        )


def _select_split(expressions: Any, split: str, path: Path) -> list[Mapping[str, Any]]:
    expressions = get_entries(expressions, None, path)
    selected = [each for each in expressions if get_field(each, "split", path) == split]
    if not selected:
        available = sorted({str(each["split"]) for each in expressions})
        raise ValueError(f"{path} has no expression of split {split!r}, only of {available}")
    check_unique((get_id(each, "ref_id", path) for each in expressions), f"ref ids of {path}")
    return selected


def _length(expression: str) -> str:
    words = len(expression.split())
    return _LENGTHS[sum(words >= bound for bound in (3, 6, 10))]
