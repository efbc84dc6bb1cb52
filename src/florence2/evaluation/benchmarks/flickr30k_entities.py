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
from ..benchmark import Answered, Benchmark, BenchmarkExample, Reported, Scored, Table
from ..metric import mean_metric
from ..metrics.grounding import phrase_hits
from ..metrics.input_checks import check_unique
from .benchmark_files import find_file, find_folder
from .detection_errors import SIZES, size_of
from .group_table import grouped_table
from .marked_sentences import Sentence, boxes_of_phrases, read_sentence, strange_labels

TOP = (1, 5, 10)

SOURCE = """\
From the Flickr30k Entities project (bryanplummer.com/Flickr30kEntities), annotations.zip and the
split lists, and from the Flickr30k site (shannon.cs.illinois.edu/DenotationGraph) the pictures:

    test.txt
    Annotations/1007129816.xml ...
    Sentences/1007129816.txt ...
    flickr30k-images/1007129816.jpg ..."""

PROTOCOL = """\
Test split: 1,000 pictures, five captions each, 14,481 phrases with boxes. Prompt
`<CAPTION_TO_PHRASE_GROUNDING>` with the whole caption, words as they stand in the file. Captions
without a phrase that has a box are not asked.

R@k: among the first k boxes given for a phrase one has IoU of at least .5 with **any** of its
true boxes (the "any box" protocol); the first figure is R@1. "R@1 merged" demands the one box
around them all ("merged boxes"). The paper gives R@1 and names no protocol. Boxes of a phrase
rank by the mean probability of their location tokens, times that of the label where known, else
in the order said.

A label of the answer is looked up in the caption and speaks for the first annotated phrase that
it shares a word with; labels that are not in the caption speak for none. Phrases without a box in
the annotation (scenes, things not seen) are not scored. Coordinates of the XML count from 1.
Intervals draw pictures."""


@dataclass(frozen=True)
class CaptionTruth:
    """A caption, and the true boxes ``float[K, 4]`` of its phrases; none where K is 0."""

    sentence: Sentence
    boxes: tuple[FloatArray, ...]


@dataclass(frozen=True)
class _Phrase:
    """A phrase to score, with the boxes that the model gave it."""

    picture: str
    kind: str
    true: FloatArray
    predicted: FloatArray


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """One case for each caption that has a phrase with a box, in the order of the split's list."""
    listed = find_file(data, [f"{split}.txt"], SOURCE)
    names = listed.read_text(encoding="utf-8").split()
    check_unique(names, f"pictures of {listed}")
    sentences = find_folder(data, ["Sentences", "annotations/Sentences"], SOURCE)
    annotations = find_folder(data, ["Annotations", "annotations/Annotations"], SOURCE)
    pictures = find_folder(data, ["flickr30k-images", "flickr30k_images", "images"], SOURCE)
    cases = []
    for name in names:
        boxes = _read_boxes(find_file(annotations, [f"{name}.xml"], SOURCE))
        path = find_file(sentences, [f"{name}.txt"], SOURCE)
        for number, sentence in enumerate(_read_sentences(path)):
            truth = CaptionTruth(
                sentence,
                tuple(
                    np.asarray(boxes.get(phrase.entity, [])).reshape(-1, 4)
                    for phrase in sentence.phrases
                ),
            )
            if any(map(len, truth.boxes)):
                image, task = pictures / f"{name}.jpg", find_task("phrase-grounding")
                cases.append(
                    BenchmarkExample(f"{name}-{number}", image, name, task, sentence.text, truth)
                )
    if not cases:
        raise ValueError(f"{listed} lists no picture with a box; get the lists again: {SOURCE}")
    return cases


def score(answered: Sequence[Answered]) -> Scored:
    """Recall of phrases, by kind of phrase and size of its largest box."""
    phrases = [_phrases(each) for each in answered]
    flat = [phrase for group in phrases for phrase in group]
    predicted, true = [each.predicted for each in flat], [each.true for each in flat]
    hits = phrase_hits(predicted, true, TOP)
    merged = phrase_hits(predicted, true, (1,), protocol="merged")
    pictures = [phrase.picture for phrase in flat]
    figures = [
        mean_metric(f"R@{count}", hits[:, place], pictures) for place, count in enumerate(TOP)
    ]
    figures.append(mean_metric("R@1 merged", merged[:, 0], pictures))
    first = hits[:, 0].tolist()
    per_case = np.split(hits[:, 0], np.cumsum([len(group) for group in phrases])[:-1])
    tables = (
        grouped_table(
            "R@1 by kind of phrase", ("kind", "phrases", "R@1"), [each.kind for each in flat], first
        ),
        grouped_table(
            "R@1 by size of the largest true box",
            ("size", "phrases", "R@1"),
            [size_of(float(box_area(each.true).max())) for each in flat],
            first,
            order=tuple(SIZES),
        ),
        _outcomes(flat, first, answered),
    )
    return Scored(tuple(figures), tuple(float(part.mean()) for part in per_case), tables)


def _phrases(each: Answered) -> list[_Phrase]:
    truth: CaptionTruth = each.case.truth
    predicted = boxes_of_phrases(truth.sentence, each.answer)
    return [
        _Phrase(each.case.image_id, phrase.kind, true, found)
        for phrase, true, found in zip(truth.sentence.phrases, truth.boxes, predicted, strict=True)
        if len(true)
    ]


def _outcomes(phrases: list[_Phrase], hits: list[bool], answered: Sequence[Answered]) -> Table:
    counts = Counter(
        "right" if hit else "first box wrong" if len(phrase.predicted) else "no box"
        for phrase, hit in zip(phrases, hits, strict=True)
    )
    unknown_ids = sum(strange_labels(each.case.truth.sentence, each.answer) for each in answered)
    rows = [(name, counts[name]) for name in ("right", "first box wrong", "no box")]
    rows.append(("boxes whose label is not in the caption", unknown_ids))
    return Table("What became of the phrases", ("outcome", "count"), tuple(rows))


def _read_sentences(path: Path) -> list[Sentence]:
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [read_sentence(line) for line in lines if line.strip()]
    except ValueError as error:
        raise ValueError(f"{path}: {error}; get the file again") from error


def _read_boxes(path: Path) -> dict[str, list[tuple[float, ...]]]:
    """The boxes of each entity of a picture; one box may belong to several."""
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
    reported={"test": {"R@1": Reported(83.6, 84.4, 84.0, 85.2)}},
)
