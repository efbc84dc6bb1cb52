"""Synthetic images: all tasks at once, on images and assets that training does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...results.records import Record
from ...results.types import Boxes
from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    group_table,
)
from ..metric import Metric
from . import synthetic_metrics as metrics

TEST, TRAIN = "test", "train"

SOURCE = """\
Shards of synthetic images, which this package makes:

    florence2 scenes fetch
    florence2 scenes make 1000 --split test --out DATA"""

PROTOCOL = """\
Images of the split's seeds and assets: odd seeds and validation assets for `test` (a category with
a single asset has it in both splits). Every task is run with its released prompt.

- detection: COCO's AP over classes, F1 at IoU .5; AP of the same boxes with their scores permuted
  at random, the mean of five permutations; calibration error over ten bins of the score, where a
  box is correct at IoU .5 and the right class. A box's score is that of its location tokens times
  its label's.
- open vocabulary: F1 on classes in the image; the share of absent classes that get no box.
- grounding: each phrase's highest-scoring box, correct at IoU .5 with any of its true boxes.
- segmentation: mean IoU of masks. Regions: exact text. Proposals: objects found at IoU .5.
- OCR: ICDAR's hmean of lines at IoU .5; character error rate of the matched lines, and of the
  whole text.
- captions: precision and recall of the named objects, with numbers ("two dogs" are two), over the
  categories of the scored images."""

_SCORERS: Mapping[str, metrics.TaskScorer] = {
    "<OD>": metrics.score_detection,
    "<OPEN_VOCABULARY_DETECTION>": metrics.score_open_vocabulary,
    "<CAPTION_TO_PHRASE_GROUNDING>": metrics.score_grounding,
    "<REFERRING_EXPRESSION_SEGMENTATION>": metrics.segmentation_scorer("referring mIoU"),
    "<REGION_TO_SEGMENTATION>": metrics.segmentation_scorer("region mIoU"),
    "<REGION_PROPOSAL>": metrics.score_proposals,
    "<REGION_TO_CATEGORY>": metrics.exact_match_scorer("region category accuracy"),
    "<REGION_TO_DESCRIPTION>": metrics.exact_match_scorer("region description exact"),
    "<OCR_WITH_REGION>": metrics.score_lines,
    "<OCR>": metrics.character_scorer("OCR CER"),
    "<REGION_TO_OCR>": metrics.character_scorer("region OCR CER"),
}
_CAPTIONS = {
    "<CAPTION>": "caption",
    "<DETAILED_CAPTION>": "detailed caption",
    "<MORE_DETAILED_CAPTION>": "more detailed caption",
}
# Dense captions are not scored: two descriptions of one object differ.
_UNSCORED = {"<DENSE_REGION_CAPTION>"}


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """The annotations of a directory of shards, one example each."""
    from ...datasets.shards import ShardDataset

    if not data.is_dir():
        raise FileNotFoundError(f"directory {data} does not exist; make it: {SOURCE}")
    records = ShardDataset(data)
    examples: list[BenchmarkExample] = []
    for index in range(len(records)):
        examples += _to_examples(records[index], split, data)
    return examples


def _to_examples(record: Record, split: str, data: Path) -> list[BenchmarkExample]:
    if not record.id.startswith(f"scene-{split}-"):
        raise ValueError(
            f"{data} has {record.id!r}, which is not a synthetic image of split {split!r}: make "
            f"some with florence2 scenes make N --split {split}"
        )
    content = record.image_bytes()
    return [
        BenchmarkExample(
            id=f"{record.id}/{each.task}/{number}",
            image=content,
            image_id=record.id,
            task=each.task_definition,
            prompt_input=each.prompt_input,
            ground_truth=each.answer,
        )
        for number, each in enumerate(record.annotations)
        if each.task not in _UNSCORED
    ]


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """The metrics of every task in the examples, detection first."""
    rows: dict[str, list[int]] = {}
    for row, each in enumerate(predictions):
        rows.setdefault(each.example.task.token, []).append(row)
    categories = _categories(predictions)
    scorers = {
        **_SCORERS,
        **{task: metrics.caption_scorer(categories, kind) for task, kind in _CAPTIONS.items()},
    }
    found: list[Metric] = []
    per_example = np.zeros(len(predictions))
    for task, scorer in scorers.items():
        if task in rows:
            more, values = scorer([predictions[row] for row in rows[task]])
            found += more
            per_example[rows[task]] = values
    table = group_table(
        "Mean score per example, by task",
        ("task", "examples", "percent"),
        [each.example.task.token for each in predictions],
        per_example.tolist(),
        order=[*scorers],
    )
    return BenchmarkScores(tuple(found), tuple(np.clip(per_example, 0, 1).tolist()), (table,))


def _categories(predictions: Sequence[ExamplePrediction]) -> dict[str, tuple[str, ...]]:
    """The categories of the objects in each image, by the ground truth of its detection."""
    return {
        each.example.image_id: each.example.ground_truth.labels
        for each in predictions
        if each.example.task.token == "<OD>" and isinstance(each.example.ground_truth, Boxes)
    }


BENCHMARK = Benchmark(
    name="synthetic",
    title="Synthetic images",
    splits=(TEST, TRAIN),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    options={"max_new_tokens": 512},
)
