"""A small set with every kind of answer, its images on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from florence2.results.records import Annotation, FilterDecision, Record, content_hash
from florence2.results.types import Boxes, Polygons, Quads, Text

SIZE = (200, 100)


def record_of(path: Path, name: str, annotations: tuple[Annotation, ...]) -> Record:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    sha = content_hash(path.read_bytes())
    return Record(name, *SIZE, sha, path=str(path), annotations=annotations)


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Three images: detection with scores; outlines, text and captions; nothing found."""
    boxes = Boxes(
        [(10, 20, 60, 80), (100, 10, 190.5, 95.25), (150, 90, 120, 50), (5, 5, 5, 60)],
        ["delivery truck", "person", "Person", "dog"], SIZE, scores=[0.9, 0.5, 0.25, 0.8],
    )  # fmt: skip
    parts = [[(10, 10), (60, 10), (60, 50), (10, 50)], [(80, 10), (100, 10), (90, 30)]]
    outlines = Polygons([parts], ["dog"], SIZE)
    quads = Quads(
        [
            [(10, 10), (90, 20), (88, 36), (8, 26)],
            [(10, 40), (90, 40), (90, 55), (10, 55)],
        ],
        ["Ünïcode <&> 漢字", "second line"], SIZE,
    )  # fmt: skip
    dropped = Annotation(
        "<OD>", Boxes([(1, 1, 9, 9)], ["ghost"], SIZE), decision=FilterDecision(False, "low score")
    )
    photos = tmp_path / "photos"
    return [
        record_of(photos / "a.png", "a.png", (Annotation("<OD>", boxes), dropped)),
        record_of(
            photos / "below" / "b.jpg",
            "below/b.jpg",
            (
                Annotation("<REFERRING_EXPRESSION_SEGMENTATION>", outlines, text="a dog"),
                Annotation("<OCR_WITH_REGION>", quads),
                Annotation("<CAPTION>", Text("a dog")),
                Annotation("<MORE_DETAILED_CAPTION>", Text("A dog\nbeside words.")),
                Annotation("<REGION_TO_CATEGORY>", Text("cat<loc_1>"), region=(20, 30, 40, 60)),
            ),
        ),
        record_of(photos / "a.jpg", "a.jpg", (Annotation("<OD>", Boxes([], [], SIZE)),)),
    ]
