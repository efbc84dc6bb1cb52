"""Phrase grounding on Flickr30k Entities."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...datasets.importers.problems import LabelError
from ...datasets.importers.xml_nodes import Node, read_xml
from ...results.geometry import box_area
from ...results.tasks import find_task
from ..answer_values import FloatArray
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    PaperResult,
    Table,
    group_table,
)
from ..metrics.input_checks import check_unique
from ..scorers import score_phrases
from .benchmark_files import find_directory, find_file
from .detection_errors import SIZES, size_class
from .marked_sentences import Sentence, count_unknown_labels, match_phrases, read_sentence

TOP = (1, 5, 10)

SOURCE = """\
From the Flickr30k Entities project (bryanplummer.com/Flickr30kEntities), annotations.zip and the
split lists, and from the Flickr30k site (shannon.cs.illinois.edu/DenotationGraph) the images:

    test.txt
    Annotations/1007129816.xml ...
    Sentences/1007129816.txt ...
    flickr30k-images/1007129816.jpg ..."""

PROTOCOL = """\
Test split: 1,000 images, five captions each, 14,481 phrases with boxes. Prompt
`<CAPTION_TO_PHRASE_GROUNDING>` with the whole caption, words as in the file. Captions without a
phrase that has a box are left out.

R@k: among the first k boxes of a phrase one has IoU of at least .5 with **any** of its true boxes
(the "any box" protocol); the first metric is R@1. "R@1 merged" requires the one box around them
all ("merged boxes"). The paper reports R@1 and does not name the protocol. Boxes of a phrase are
ranked by the mean probability of their location tokens, times that of the label where known, else
by their order in the output.

A label of the output is looked up in the caption and belongs to the first annotated phrase that
it shares a word with; labels that are not in the caption belong to no phrase. Phrases without a box
in the annotation (scenes, invisible objects) are not scored. Coordinates of the XML count from 1.
Intervals resample images."""


@dataclass(frozen=True)
class PhraseBoxes:
    """A caption, and the true boxes ``float[K, 4]`` of its phrases; K may be 0."""

    sentence: Sentence
    boxes: tuple[FloatArray, ...]


@dataclass(frozen=True)
class _Phrase:
    """A phrase to score, with its predicted boxes."""

    image: str
    kind: str
    true: FloatArray
    predicted: FloatArray


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One case for each caption that has a phrase with a box, in the order of the split's list."""
    listed = find_file(data, [f"{split}.txt"], SOURCE)
    names = listed.read_text(encoding="utf-8").split()
    check_unique(names, f"images of {listed}")
    sentences = find_directory(data, ["Sentences", "annotations/Sentences"], SOURCE)
    annotations = find_directory(data, ["Annotations", "annotations/Annotations"], SOURCE)
    images = find_directory(data, ["flickr30k-images", "flickr30k_images", "images"], SOURCE)
    examples = []
    for name in names:
        boxes = _read_boxes(find_file(annotations, [f"{name}.xml"], SOURCE))
        path = find_file(sentences, [f"{name}.txt"], SOURCE)
        for number, sentence in enumerate(_read_sentences(path)):
            ground_truth = PhraseBoxes(
                sentence,
                tuple(
                    np.asarray(boxes.get(phrase.entity, [])).reshape(-1, 4)
                    for phrase in sentence.phrases
                ),
            )
            if any(map(len, ground_truth.boxes)):
                image, task = images / f"{name}.jpg", find_task("phrase-grounding")
                examples.append(
                    BenchmarkExample(
                        f"{name}-{number}", image, name, task, sentence.text, ground_truth
                    )
                )
    if not examples:
        raise ValueError(f"{listed} has no image with a box; get the lists again: {SOURCE}")
    return examples


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """Recall of phrases, by kind of phrase and size of its largest box."""
    phrases = [_phrases(each) for each in predictions]
    flat = [phrase for group in phrases for phrase in group]
    boxes = [each.predicted for each in flat], [each.true for each in flat]
    image_ids = [phrase.image for phrase in flat]
    scores = score_phrases(*boxes, image_ids, top=TOP)
    metrics = scores.rename({f"recall@{count}": f"R@{count}" for count in TOP})
    merged = score_phrases(*boxes, image_ids, protocol="merged")
    metrics += merged.rename({"recall@1": "R@1 merged"})
    first = scores.per_example.tolist()
    per_caption = np.split(scores.per_example, np.cumsum([len(group) for group in phrases])[:-1])
    tables = (
        group_table(
            "R@1 by kind of phrase", ("kind", "phrases", "R@1"), [each.kind for each in flat], first
        ),
        group_table(
            "R@1 by size of the largest true box",
            ("size", "phrases", "R@1"),
            [size_class(float(box_area(each.true).max())) for each in flat],
            first,
            order=tuple(SIZES),
        ),
        _outcomes(flat, first, predictions),
    )
    per_example = tuple(float(part.mean()) for part in per_caption)
    return BenchmarkScores(tuple(metrics), per_example, tables)


def _phrases(each: ExamplePrediction) -> list[_Phrase]:
    ground_truth: PhraseBoxes = each.example.ground_truth
    predicted = match_phrases(ground_truth.sentence, each.answer)
    return [
        _Phrase(each.example.image_id, phrase.kind, true, found)
        for phrase, true, found in zip(
            ground_truth.sentence.phrases, ground_truth.boxes, predicted, strict=True
        )
        if len(true)
    ]


def _outcomes(
    phrases: list[_Phrase], hits: list[float], predictions: Sequence[ExamplePrediction]
) -> Table:
    counts = Counter(
        "correct" if hit else "first box wrong" if len(phrase.predicted) else "no box"
        for phrase, hit in zip(phrases, hits, strict=True)
    )
    unknown = sum(
        count_unknown_labels(each.example.ground_truth.sentence, each.answer)
        for each in predictions
    )
    rows = [(name, counts[name]) for name in ("correct", "first box wrong", "no box")]
    rows.append(("boxes whose label is not in the caption", unknown))
    return Table("Outcomes of the phrases", ("outcome", "count"), tuple(rows))


def _read_sentences(path: Path) -> list[Sentence]:
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [read_sentence(line) for line in lines if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}; get the file again") from error


def _read_boxes(path: Path) -> dict[str, list[tuple[float, ...]]]:
    """The boxes of each entity of an image; one box may belong to several."""
    boxes = defaultdict(list)
    try:
        for item in read_xml(path).find_all("object"):
            frame = item.find("bndbox")
            if frame is not None:
                for name in item.find_all("name"):
                    boxes[name.text].append(_corners(frame))
    except LabelError as error:
        raise ValueError(f"{path}: {error}; get the file again") from error
    return boxes


def _corners(frame: Node) -> tuple[float, ...]:
    return tuple(frame.number_of(side) - 1 for side in ("xmin", "ymin", "xmax", "ymax"))


BENCHMARK = Benchmark(
    name="flickr30k-entities",
    title="Flickr30k Entities",
    splits=("test", "val"),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    reported={"test": {"R@1": PaperResult(83.6, 84.4, 84.0, 85.2)}},
)
