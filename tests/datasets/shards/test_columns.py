from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from florence2.datasets.shards.columns import SCHEMA, check_version, from_row, to_row
from florence2.results.records import Annotation, Annotator, FilterDecision, Record
from florence2.results.types import Answer, Boxes, Polygons, Quads, Text

SIZE = (64, 48)

words = st.text(max_size=12)
pixels = st.floats(-1e4, 1e4, width=32)
scores = st.floats(0, 1, width=32)


def arrays(draw: st.DrawFn, *shape: int) -> Any:
    count = int(np.prod(shape))
    values = draw(st.lists(pixels, min_size=count, max_size=count))
    return np.asarray(values, np.float32).reshape(shape)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    kind = draw(st.sampled_from(["text", "boxes", "quads", "polygons"]))
    if kind == "text":
        return Text(draw(words), draw(st.none() | st.floats(0, 1)))
    count = draw(st.integers(0, 3))
    labels = draw(st.lists(words, min_size=count, max_size=count))
    known = st.none() | st.lists(scores, min_size=count, max_size=count)
    extra = (draw(known), draw(known))
    if kind == "boxes":
        return Boxes(arrays(draw, count, 4), labels, SIZE, *extra)
    if kind == "quads":
        return Quads(arrays(draw, count, 4, 2), labels, SIZE, *extra)
    parts = [
        [arrays(draw, draw(st.integers(0, 4)), 2) for _ in range(draw(st.integers(0, 2)))]
        for _ in range(count)
    ]
    return Polygons(parts, labels, SIZE, *extra)


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    return Annotation(
        task=draw(st.sampled_from(["<VQA>", "<MY_TASK>", "Say what you see"])),
        answer=draw(answers()),
        text=draw(words),
        region=draw(st.none() | st.tuples(*[st.floats(0, 60)] * 4)),
        annotator=Annotator(draw(words), draw(words), draw(words)),
        score=draw(st.none() | st.floats(0, 1)),
        round=draw(st.integers(0, 9)),
        decision=FilterDecision(draw(st.booleans()), draw(words)),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    image, path = draw(
        st.tuples(st.binary(max_size=9), st.none() | words) | st.tuples(st.none(), words)
    )
    stored = tuple(draw(st.lists(annotations(), max_size=3)))
    return Record(draw(words), *SIZE, draw(words), image, path, stored)


@settings(max_examples=60, deadline=None)
@given(records())
def test_a_row_is_the_record_again_through_arrow(record: Record) -> None:
    table = pa.Table.from_pylist([to_row(record)], schema=SCHEMA)
    assert from_row(table.to_pylist()[0]) == record


def test_every_table_task_survives(shared_annotations: list[Annotation]) -> None:
    record = Record("a", *SIZE, "", b"", None, tuple(shared_annotations))
    table = pa.Table.from_pylist([to_row(record)], schema=SCHEMA)
    assert from_row(table.to_pylist()[0]) == record


@pytest.mark.parametrize(
    ("metadata", "message"),
    [(None, "not a shard"), ({b"florence2.schema": b"99"}, "schema version 99")],
)
def test_other_versions_are_refused(metadata: dict[bytes, bytes] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_version(metadata)


def test_an_unknown_kind_of_answer_is_named() -> None:
    row = to_row(Record("a", *SIZE, "", b"", None, (Annotation("<CAPTION>", Text("x")),)))
    row["annotations"][0]["answer"]["kind"] = "sound"
    with pytest.raises(ValueError, match="got kind 'sound'"):
        from_row(row)
