"""Any set through any two formats: what both can hold comes out as it went in."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from florence2.datasets import ImportContext, ImportProblem
from florence2.datasets.conversion import ImportOptions, read_records
from florence2.datasets.exporters import write_records
from florence2.datasets.importers.class_list import ClassList
from florence2.datasets.shards import ShardWriter
from florence2.results.records import Category, LabeledObject, Record, content_hash

SIZE = (40, 30)


@dataclass(frozen=True)
class Kind:
    """A format: how it is read, and what of an object and an image it can hold."""

    read_as: str
    outlines: bool = True
    attributes: bool = True
    scores: bool = True
    image_ids: bool = True
    category_ids: bool = False
    directories: bool = True


KINDS = {
    "coco": Kind("coco", category_ids=True),
    "yolo": Kind("yolo", False, False, False, False, directories=False),
    "voc": Kind("voc", image_ids=False, directories=False),
    "cvat": Kind("cvat"),
    "label-studio": Kind("label-studio"),
    "jsonl": Kind("answers", category_ids=True),
    "csv": Kind("csv", category_ids=True),
    "shards": Kind("shards", category_ids=True),
}
names = st.text("abzé漢 .:;,#%&+='\"<>-/01", min_size=1, max_size=10).map(
    lambda text: " ".join(text.split())
).filter(bool)  # fmt: skip
file_names = st.text("abé漢 #%&+='-01", min_size=1, max_size=8).map(
    lambda text: f"x{text.strip()}.png"
)


def bytes_of(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", SIZE, (number, 80, 120)).save(stream, "PNG")
    return stream.getvalue()


@st.composite
def labeled_objects(draw: st.DrawFn, categories: list[Category]) -> LabeledObject:
    category = draw(st.sampled_from(categories))
    x0, y0 = draw(st.floats(0, 15)), draw(st.floats(0, 10))
    x1, y1 = draw(st.floats(20, SIZE[0])), draw(st.floats(15, SIZE[1]))
    outlines: tuple[tuple[float, ...], ...] = ()
    if draw(st.booleans()):
        middle = (x0 + x1) / 2
        outlines = ((x0, y0, middle, y0, x0, y1), (middle + 1, y0, x1, y0, x1, y1))
    keys = st.sampled_from(["difficult", "color", "track"])
    attributes = draw(st.dictionaries(keys, st.sampled_from(["1", "dark red", "x<y"]), max_size=2))
    score = draw(st.none() | st.just(0.0) | st.floats(0.01, 1))
    return LabeledObject(category.name, (x0, y0, x1, y1), outlines, score, category.id,
                         attributes=attributes)  # fmt: skip


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[Category], list[Record]]:
    labels = draw(st.lists(names, min_size=1, max_size=5, unique_by=str.casefold))
    ids = draw(
        st.lists(st.integers(1, 99), min_size=len(labels), max_size=len(labels), unique=True)
    )
    categories = [Category(name, id, f"kind {id}") for name, id in zip(labels, ids, strict=True)]
    splits = draw(st.sampled_from([["train"], ["train", "val"], ["val", "test", "train"]]))
    files = draw(st.lists(file_names, min_size=1, max_size=4, unique_by=str.casefold))
    records = []
    for number, name in enumerate(files):
        content = bytes_of(number)
        objects = tuple(draw(st.lists(labeled_objects(categories), max_size=3)))
        records.append(Record(name, *SIZE, content_hash(content), content, name,
                              split=splits[number % len(splits)], file_name=name,
                              source_id=number * 7 + 3, objects=objects))  # fmt: skip
    return categories, records


def write(
    records: list[Record], categories: tuple[Category, ...], kind: str, directory: Path
) -> None:
    if kind == "shards":
        with ShardWriter(directory) as writer:
            writer.declare(categories)
            for record in records:
                writer.write(record)
        return
    written = write_records(records, kind, directory, categories=lambda: categories)
    assert not written.problems and written.images == len(records)


def read(kind: str, directory: Path) -> tuple[ClassList, list[Record]]:
    problems: list[ImportProblem] = []
    classes = ClassList()
    context = ImportContext(problems.append, declare=classes.declare)
    records = list(read_records(directory, KINDS[kind].read_as, ImportOptions(), context))
    assert not problems
    return classes, records


def in_order(records: list[Record]) -> Iterator[Record]:
    return iter(sorted(records, key=lambda each: each.file_name or each.id))


def compare(
    found: tuple[ClassList, list[Record]],
    expected: tuple[list[Category], list[Record]],
    through: list[Kind],
) -> None:
    holds: Callable[[str], bool] = lambda name: all(getattr(each, name) for each in through)  # noqa: E731
    classes, records = found
    assert classes.names == tuple(each.name for each in expected[0])
    if holds("category_ids"):
        assert list(classes.categories) == expected[0]
    assert len(records) == len(expected[1])
    for after, before in zip(in_order(records), in_order(expected[1]), strict=True):
        assert after.split == before.split and after.file_name == before.file_name
        if holds("image_ids"):
            assert after.source_id == before.source_id
        assert after.objects is not None and before.objects is not None
        assert [each.label for each in after.objects] == [each.label for each in before.objects]
        for one, other in zip(after.objects, before.objects, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=0.01)
            if holds("outlines"):
                assert len(one.outlines) == len(other.outlines)
                for part, whole in zip(one.outlines, other.outlines, strict=True):
                    np.testing.assert_allclose(part, whole, atol=0.01)
            if holds("scores"):
                assert (one.score is None) == (other.score is None)
                assert one.score is None or one.score == pytest.approx(other.score, abs=1e-5)
            if holds("attributes"):
                assert kept(one.attributes) == kept(other.attributes)


def kept(attributes: Any) -> dict[str, str]:
    """The attributes without those that a format has for every object."""
    always = ("pose", "truncated", "iscrowd", "area", "occluded", "z_order")
    texts = {name: str(value) for name, value in attributes.items() if name not in always}
    return {name: text for name, text in texts.items() if (name, text) != ("difficult", "0")}


@pytest.mark.parametrize("first", KINDS)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(made=sets())
def test_any_set_through_any_two_formats(
    first: str, made: tuple[list[Category], list[Record]]
) -> None:
    categories, records = made
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        write(records, tuple(categories), first, work / "first")
        classes, read_once = read(first, work / "first")
        compare((classes, read_once), made, [KINDS[first]])
        for second in KINDS:
            write(read_once, classes.categories, second, work / second)
            compare(read(second, work / second), made, [KINDS[first], KINDS[second]])
