"""Answers that other readers of the same tokens give, as literals from their own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import florence2
from florence2.processing.grammar import read
from florence2.processing.tokenizer import Tokenizer
from florence2.results.tasks import AnswerKind
from florence2.results.types import Boxes, Polygons, Text

TOKENIZER = Tokenizer.from_file(Path(florence2.__file__).parent / "nano" / "tokenizer.json")
THOUSAND = (1000, 1000)


def said(*pieces: str | int, end: bool = True) -> list[int]:
    """Ids as a model gives them: the start token, ``<s>``, words and locations, ``</s>``."""
    ids = [TOKENIZER.eos, TOKENIZER.bos]
    for piece in pieces:
        is_bin = isinstance(piece, int)
        ids += [TOKENIZER.first_location + piece] if is_bin else TOKENIZER.encode(str(piece))
    return [*ids, TOKENIZER.eos] if end else ids


def read_thousand(kind: AnswerKind, *pieces: str | int, **options: Any) -> Any:
    return read(said(*pieces), kind, THOUSAND, TOKENIZER, **options)


def test_answers_of_microsofts_parser() -> None:
    ids = said("car", 53, 333, 933, 774)
    car = read(ids, "boxes", (640, 480), TOKENIZER)
    x0, y0, x1, y1 = 34.23999786376953, 160.0800018310547, 597.4400024414062, 371.7599792480469
    assert car.xyxy.tolist() == [[x0, y0, x1, y1]]

    small = read(said("car", 1, 2, 3, 4), "boxes", (1333, 750), TOKENIZER)
    assert small.xyxy.tolist() == [[1.9994999170303345, 1.875, 4.665499687194824, 3.375]]

    bins = (414, 100, 932, 100, 932, 229, 414, 229)
    line = read(said("CUDA", *bins), "quads", (403, 500), TOKENIZER)
    assert line.labels == ("CUDA",)
    left, right = 167.0435028076172, 375.7974853515625
    assert line.corners.reshape(-1).tolist() == [
        left, 50.25, right, 50.25, right, 114.75, left, 114.75
    ]  # fmt: skip

    table = read_thousand("boxes", "café table", 1, 2, 3, 4, 5, "x", 9, 9, 9, ascii_labels=True)
    assert table == Boxes([[1.5, 2.5, 3.5, 4.5]], ["caf table"], THOUSAND)

    box = (1, 2, 3, 4)
    grounding = ("A green car", *box, *box, "the image", *box, "The Image", *box)
    found = read_thousand("phrases", *grounding)
    assert found.labels == ("A green car", "A green car", "The Image")

    masks = ("<poly>", *box, "<sep>", 5, 6, "</poly><poly>", 7, 8, "</poly>")
    two = [[[(1.5, 2.5), (3.5, 4.5)], [(5.5, 6.5)]], [[(7.5, 8.5)]]]
    assert read_thousand("polygons", *masks) == Polygons(two, ["", ""], THOUSAND)

    open_vocabulary = (
        "cat<poly>", *box, "</poly><poly>", 5, 6, "</poly>dog<poly>", 1, 2, 3, "</poly>"
    )  # fmt: skip
    found = read_thousand("boxes_or_polygons", *open_vocabulary)
    assert found.labels == ("cat", "cat", "dog")
    assert found.polygons[-1][0].tolist() == [[1.5, 2.5]]


def test_answers_of_the_transformers_tests() -> None:
    regions_only = read_thousand(
        "proposals", 53, 334, 933, 775, 711, 203, 906, 546, 585, 309, 774, 709, 577
    )
    assert np.floor(regions_only.xyxy).tolist() == [
        [53, 334, 933, 775], [711, 203, 906, 546], [585, 309, 774, 709]
    ]  # fmt: skip
    assert regions_only.labels == ("", "", "")

    parts = read_thousand("boxes", "car", 53, 334, 933, 775, "door handle", 425, 504, 474, 516)
    assert parts.labels == ("car", "door handle")

    outline = (279, 379, 282, 379, 290, 373, 293, 373, 298, 369, 301, 369)
    mask = read_thousand("polygons", *outline)
    assert np.floor(mask.polygons[0][0]).reshape(-1).tolist() == list(outline)

    hello, world = (
        (100, 100, 200, 100, 200, 200, 100, 200),
        (300, 300, 400, 300, 400, 400, 300, 400),
    )
    lines = read_thousand("quads", "Hello", *hello, "DistributedContext", *world)
    assert lines.labels == ("Hello", "DistributedContext")
    assert np.floor(lines.corners).reshape(-1, 8).tolist() == [list(hello), list(world)]

    phrases = read_thousand(
        "phrases", "red car", 53, 334, 933, 775, 711, 203, 906, 546, "sky", 0, 0, 999, 300
    )
    assert phrases.labels == ("red car", "red car", "sky")
    assert len(read_thousand("phrases", "the image", 0, 0, 999, 300)) == 0
    assert read_thousand("text", "Hello world") == Text("Hello world")
