"""Records to store."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from florence2.results.records import Annotation, FilterDecision, Record, content_hash
from florence2.results.tasks import TASKS
from florence2.results.types import Boxes, Polygons, Quads, Text

MakeRecord = Callable[[int], Record]


@pytest.fixture
def make_record() -> MakeRecord:
    """Record number ``n``: a small PNG of its own color, a caption, boxes, a dropped answer."""

    def make(number: int) -> Record:
        stream = io.BytesIO()
        Image.new("RGB", (8 + number % 3, 6), (number % 256, 40, 90)).save(stream, "PNG")
        content, size = stream.getvalue(), (8 + number % 3, 6)
        annotations = (
            Annotation("<CAPTION>", Text(f"image {number}")),
            Annotation("<OD>", Boxes([[0, 1, 2, 3]] * (number % 3), ["dot"] * (number % 3), size)),
            Annotation(
                "<VQA>", Text("no"), text="Is it?", decision=FilterDecision(False, "too short")
            ),
        )
        name = f"{number:04d}.png"
        return Record(name, *size, content_hash(content), content, name, annotations)

    return make


@pytest.fixture
def shared_annotations() -> list[Annotation]:
    """One annotation for every task of the table, about an image of 64 x 48."""
    size = (64, 48)
    answers = {
        "text": Text("words"),
        "boxes": Boxes([[1, 2, 3, 4]], ["car"], size, [0.5]),
        "phrases": Boxes([[1, 2, 3, 4]], ["a red car"], size),
        "proposals": Boxes([[1, 2, 3, 4]], [""], size),
        "quads": Quads([[[0, 0], [4, 0], [4, 2], [0, 2]]], ["sign"], size),
        "polygons": Polygons([[[[0, 0], [4, 0], [4, 2]]]], [""], size),
        "boxes_or_polygons": Boxes([[1, 2, 3, 4]], ["car"], size),
    }
    return [
        Annotation(
            task.token,
            answers[task.answer],
            text="a red car" if task.input == "text" else "",
            region=(1.0, 2.0, 3.0, 4.0) if task.input == "region" else None,
        )
        for task in TASKS
    ]
