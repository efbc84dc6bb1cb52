"""Records of one's own: what is right by their annotations has full marks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from florence2.datasets.shards import ShardWriter
from florence2.evaluation.benchmark import ExamplePrediction
from florence2.evaluation.benchmarks import find_benchmark
from florence2.results.records import Annotation, FilterDecision, Record, content_hash
from florence2.results.types import Boxes, Polygons, Quads, Text

SIZE = (60, 40)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    boxes = Boxes([[5, 5, 30, 30]], ["cat"], SIZE)
    corners = np.asarray([[[5, 5], [50, 5], [50, 15], [5, 15]]], np.float32)
    outline = [[np.asarray([[5, 5], [30, 5], [30, 30]], np.float32)]]
    annotations = (
        Annotation("<OD>", boxes), Annotation("<CAPTION>", Text("a cat")),
        Annotation("<OCR_WITH_REGION>", Quads(corners, ["OPEN"], SIZE)),
        Annotation("<REFERRING_EXPRESSION_SEGMENTATION>", Polygons(outline, [""], SIZE),
                   text="the cat"),
        Annotation("<CAPTION>", Text("wrong"), decision=FilterDecision(False, "dropped")),
    )  # fmt: skip
    with ShardWriter(tmp_path / "shards") as writer:
        for number in range(2):
            stream = io.BytesIO()
            Image.new("RGB", SIZE, (number, 0, 0)).save(stream, "PNG")
            content = stream.getvalue()
            writer.write(Record(f"{number}.png", *SIZE, content_hash(content), content,
                                f"{number}.png", annotations))  # fmt: skip
    return tmp_path / "shards"


def test_every_kept_annotation_is_an_example_and_scored_by_its_kind(data: Path) -> None:
    benchmark = find_benchmark("records")
    examples = benchmark.read(data, "all")
    assert len(examples) == 8 and examples[3].prompt_input == "the cat"
    right = benchmark.score(
        [ExamplePrediction(example, example.ground_truth) for example in examples]
    )
    metrics = {each.name: each.value for each in right.metrics}
    assert metrics == {
        "caption/exact_match": 100, "caption/edit_distance": 0, "od/map": 100, "od/map50": 100,
        "od/f1": 100, "ocr_with_region/hmean": 100, "ocr_with_region/cer": 0,
        "referring_expression_segmentation/miou": 100,
    }  # fmt: skip
    nothing = benchmark.score([ExamplePrediction(example, None) for example in examples])
    assert all(each.value == 0 for each in nothing.metrics if each.higher_is_better)
    assert set(right.per_example) == {1.0} and max(nothing.per_example) == 0


def test_a_directory_without_shards_is_reported_with_the_command_that_makes_some(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="florence2 convert"):
        find_benchmark("records").read(tmp_path / "nowhere", "all")
