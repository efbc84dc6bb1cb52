"""Flickr30k Entities: marked captions, boxes from XML, and whose boxes the model's labels are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from florence2.evaluation.benchmark import ExamplePrediction
from florence2.evaluation.benchmarks.flickr30k_entities import BENCHMARK
from florence2.evaluation.benchmarks.marked_sentences import match_phrases, read_sentence
from florence2.results.types import Boxes

SIZE = (500, 333)
SENTENCES = """\
[/EN#1/people Two men] in [/EN#2/clothing green shirts] are standing in [/EN#3/scene a yard] .
[/EN#1/people Two men] talk about [/EN#0/notvisual the weather] .
[/EN#3/scene A yard] .
"""
# The second man's box is his shirt's too.
OBJECTS = """\
<annotation>
  <filename>36979.jpg</filename>
  <size><width>500</width><height>333</height><depth>3</depth></size>
  <object><name>1</name><bndbox>
    <xmin>11</xmin><ymin>11</ymin><xmax>111</xmax><ymax>211</ymax></bndbox></object>
  <object><name>1</name><name>2</name><bndbox>
    <xmin>201</xmin><ymin>11</ymin><xmax>301</xmax><ymax>211</ymax></bndbox></object>
  <object><name>3</name><scene>1</scene><nobox>0</nobox></object>
</annotation>
"""
LEFT, RIGHT, BOTH = [10, 10, 110, 210], [200, 10, 300, 210], [10, 10, 300, 210]
NOWHERE = [400, 300, 410, 310]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for directory in ("Annotations", "Sentences", "flickr30k-images"):
        (tmp_path / directory).mkdir()
    (tmp_path / "test.txt").write_text("36979\n")
    (tmp_path / "Annotations/36979.xml").write_text(OBJECTS)
    (tmp_path / "Sentences/36979.txt").write_text(SENTENCES)
    return tmp_path


def test_examples_of_the_official_files(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    # The third caption names nothing that has a box.
    assert [example.prompt_input for example in examples] == [
        "Two men in green shirts are standing in a yard .",
        "Two men talk about the weather .",
    ]
    assert [example.id for example in examples] == ["36979-0", "36979-1"]
    assert examples[0].image == data / "flickr30k-images/36979.jpg"
    assert [boxes.tolist() for boxes in examples[0].ground_truth.boxes] == [
        [LEFT, RIGHT],
        [RIGHT],
        [],
    ]


def test_any_box_and_merged_boxes(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    answers = [
        Boxes([NOWHERE, LEFT, RIGHT], ["two men", "two men", "green shirts"], SIZE),
        Boxes([BOTH], ["Two men"], SIZE),
    ]
    scored = BENCHMARK.score(
        [
            ExamplePrediction(example, answer)
            for example, answer in zip(examples, answers, strict=True)
        ]
    )
    # Of three phrases: the men are found second, the shirts first, and once as a pair.
    metrics = {metric.name: metric.value for metric in scored.metrics}
    assert metrics == pytest.approx(
        {"R@1": 100 / 3, "R@5": 200 / 3, "R@10": 200 / 3, "R@1 merged": 200 / 3}
    )
    assert scored.per_example == (0.5, 0)
    by_kind, by_size, outcomes = scored.tables
    assert by_kind.rows == (("people", 2, 0.0), ("clothing", 1, 100.0))
    assert by_size.rows == (("large", 3, 33.3),)
    assert [count for _, count in outcomes.rows] == [1, 2, 0, 0]


def test_scores_rank_the_boxes_of_a_phrase(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")[1:]
    answer = Boxes([NOWHERE, LEFT], ["Two men", "Two men"], SIZE, [0.3, 0.6])
    (metric, *_) = BENCHMARK.score([ExamplePrediction(examples[0], answer)]).metrics
    assert metric.value == 100


def test_silence_and_labels_from_elsewhere(data: Path) -> None:
    examples = BENCHMARK.read(data, "test")
    predictions = [
        ExamplePrediction(examples[0], None),
        ExamplePrediction(examples[1], Boxes([LEFT, LEFT], ["three men", "talk"], SIZE)),
    ]
    scored = BENCHMARK.score(predictions)
    assert scored.metrics[0].value == 0
    assert [count for _, count in scored.tables[2].rows] == [0, 0, 3, 1]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        # Box 0 carries the first label and so on; what each phrase gets.
        (["a man", "a hat", "a dog"], [[0], [1], [2]]),
        (["A Man"], [[0], [], []]),  # case plays no part
        (["man"], [[0], [], []]),  # a part of a phrase
        (["a man in a hat"], [[0], [], []]),  # several phrases: the first
        (["in a hat"], [[], [0], []]),
        (["holds"], [[], [], []]),  # in the caption, in no phrase
        (["a cat"], [[], [], []]),
        ([""], [[], [], []]),
        (["a dog", "a man", "a man"], [[1, 2], [], [0]]),
    ],
)
def test_labels_find_their_phrases(labels: list[str], expected: list[list[int]]) -> None:
    line = "[/EN#1/people A man] in [/EN#2/clothing a hat] holds [/EN#3/animals/other a dog] ."
    sentence = read_sentence(line)
    assert [phrase.kind for phrase in sentence.phrases] == ["people", "clothing", "animals/other"]
    assert owners(line, labels) == expected


def test_a_repeated_label_is_taken_in_order() -> None:
    line = "[/EN#1/people a man] , [/EN#2/people a boy] and [/EN#3/people a man]"
    assert owners(line, ["a man", "a boy", "a man"]) == [[0], [1], [2]]
    assert owners(line, ["a man", "a boy"]) == [[0], [1], [0]]


def owners(line: str, labels: list[str]) -> list[list[int]]:
    """Which of the boxes, one a label, each phrase is given."""
    corners = [[index, 0, index + 1, 1] for index in range(len(labels))]
    found = match_phrases(read_sentence(line), Boxes(corners, labels, SIZE))
    return [np.asarray(boxes)[:, 0].astype(int).tolist() for boxes in found]


def test_faulty_files_are_named(data: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"val\.txt"):
        BENCHMARK.read(data, "val")
    (data / "Sentences/36979.txt").write_text("[/EN#1/people Two men in a yard .\n")
    with pytest.raises(ValueError, match=r"36979\.txt: not a caption with marks"):
        BENCHMARK.read(data, "test")
    (data / "Sentences/36979.txt").write_text("[/EN#3/scene A yard] .\n")
    with pytest.raises(ValueError, match="has no image with a box"):
        BENCHMARK.read(data, "test")
    (data / "Annotations/36979.xml").write_text("<annotation>")
    with pytest.raises(ValueError, match=r"36979\.xml: "):
        BENCHMARK.read(data, "test")
    (data / "test.txt").write_text("36979\n36979\n")
    with pytest.raises(ValueError, match="repeated: '36979'"):
        BENCHMARK.read(data, "test")
    (data / "test.txt").write_text("36980\n")
    with pytest.raises(FileNotFoundError, match=r"36980\.xml"):
        BENCHMARK.read(data, "test")
