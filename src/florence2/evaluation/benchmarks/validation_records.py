"""Your own records: every kept annotation of shards is an example, scored by its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    group_table,
)
from ..metric import Metric
from ..record_evaluation import make_examples, score_tasks

SOURCE = """\
Shards of records, which `florence2 convert` makes from a dataset in any of its formats:

    florence2 convert my-validation-set --out DATA
    florence2 evaluate records --data DATA"""

PROTOCOL = """\
Every kept annotation is one example: its prompt, and its text or region, are the request, and its
answer is the ground truth. Metrics are named by task, as in training, in percent:

- boxes: COCO's AP (`map`) and AP50 (`map50`), F1 at IoU .5 (`f1`); without classes for dense
  region captions
- quads: ICDAR's hmean at IoU .5 (`hmean`), character error rate over all lines (`cer`, lower is
  better)
- polygons: the mean IoU of masks (`miou`)
- text: the share of equal texts (`exact_match`), and the edit distance over the longer text's
  length (`edit_distance`, lower is better)"""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """The kept annotations of a directory of shards, one example each."""
    from ...datasets.shards import ShardDataset

    if not data.is_dir():
        raise FileNotFoundError(f"directory {data} does not exist; make it: {SOURCE}")
    records = ShardDataset(data)
    return [
        example
        for record in (records[index] for index in range(len(records)))
        for example in make_examples(record, record.image_bytes())
    ]


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    """The metrics of every task in the records."""
    metrics: list[Metric] = []
    per_example = np.zeros(len(predictions))
    for prefix, rows, scores in score_tasks(predictions):
        metrics += [replace(each, name=f"{prefix}/{name}") for name, each in scores.metrics.items()]
        per_example[rows] = scores.per_example
    table = group_table(
        "Mean score per example, by task",
        ("task", "examples", "percent"),
        [each.example.task.token for each in predictions],
        per_example.tolist(),
    )
    return BenchmarkScores(tuple(metrics), tuple(np.clip(per_example, 0, 1).tolist()), (table,))


BENCHMARK = Benchmark(
    name="records",
    title="Your own records",
    splits=("all",),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    options={"max_new_tokens": 1024},
)
