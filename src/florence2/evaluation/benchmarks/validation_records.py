"""Records of one's own: every kept annotation of shards, asked and scored by its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...results.records import Record
from ...results.types import Boxes, Polygons, Quads
from ..answer_values import labels_of, mask_pair, scores_of, text_regions_of, to_boxes, to_text
from ..benchmark import Answered, Benchmark, BenchmarkExample, Scored, pictures_of
from ..metric import Metric, ap_metric, mean_metric, ratio_metric
from ..metrics.detection import (
    DetectedObjects,
    TrueObjects,
    agreement_counts,
    single_f1s,
    summed_f1,
)
from ..metrics.edit_distance import edit_distance
from ..metrics.grounding import mask_ious, mask_overlaps
from ..metrics.intervals import FloatArray
from ..metrics.ocr import icdar_counts
from ..metrics.resampling import match_pictures
from ..record_evaluation import figure_prefix
from .group_table import grouped_table

# Descriptions are no classes: two that mean the same seldom agree in every letter.
_WITHOUT_CLASSES = frozenset({"<DENSE_REGION_CAPTION>"})
_Found = tuple[list[Metric], FloatArray]

SOURCE = """\
Shards of records, which `florence2 convert` makes of a data set in any of its formats:

    florence2 convert my-validation-set --out DATA
    florence2 evaluate records --data DATA"""

PROTOCOL = """\
Every kept annotation is one case: its prompt, and its text or region, are asked, and its answer is
the ground truth. Figures are named by task, as those of a training are, in percent:

- boxes: COCO's AP (`map`) and AP50 (`map50`), F1 at IoU .5 (`f1`); without classes for dense
  region captions
- quads: ICDAR's hmean at IoU .5 (`hmean`)
- polygons: the mean IoU of masks (`miou`)
- text: the share of equal answers (`exact_match`), and edits over the longer text's length
  (`edit_distance`, lower is better)"""


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """The kept annotations of a folder of shards, one case each."""
    from ...datasets.shards import ShardDataset

    if not data.is_dir():
        raise FileNotFoundError(f"there is no folder {data}; make it: {SOURCE}")
    records = ShardDataset(data)
    return [case for number in range(len(records)) for case in _cases(records[number])]


def _cases(record: Record) -> list[BenchmarkExample]:
    content = record.image_bytes()
    return [
        BenchmarkExample(
            id=f"{record.id}/{each.task}/{number}",
            image=content,
            image_id=record.id,
            # An answer to a prompt outside the table is read as the kind that the truth is.
            task=replace(each.task_definition, answer=each.kind),
            question=each.region or each.text or None,
            truth=each.answer,
        )
        for number, each in enumerate(record.annotations)
        if each.decision.kept
    ]


def score(answered: Sequence[Answered]) -> Scored:
    """The figures of every task that was asked."""
    rows: dict[str, list[int]] = {}
    for row, each in enumerate(answered):
        rows.setdefault(each.case.task.token, []).append(row)
    figures: list[Metric] = []
    qualities = np.zeros(len(answered))
    for task, places in sorted(rows.items()):
        more, values = _score_task(task, [answered[place] for place in places])
        figures += more
        qualities[places] = values
    tasks = [each.case.task.token for each in answered]
    table = grouped_table(
        "Mean quality of the answers, by task",
        ("task", "cases", "percent"),
        tasks,
        qualities.tolist(),
    )
    return Scored(tuple(figures), tuple(np.clip(qualities, 0, 1).tolist()), (table,))


def _score_task(task: str, answered: Sequence[Answered]) -> _Found:
    prefix, truth = figure_prefix(task), answered[0].case.truth
    if isinstance(truth, Boxes):
        return _score_boxes(prefix, answered, by_class=task not in _WITHOUT_CLASSES)
    if isinstance(truth, Quads):
        return _score_quads(prefix, answered)
    if isinstance(truth, Polygons):
        return _score_polygons(prefix, answered)
    return _score_texts(prefix, answered)


def _score_boxes(prefix: str, answered: Sequence[Answered], *, by_class: bool) -> _Found:
    truths, found = [], []
    for row, each in enumerate(answered):
        true, labels = each.case.truth, labels_of(each.answer)
        names = true.labels if by_class else [""] * len(true)
        truths.append(TrueObjects(row, true.xyxy, names))
        said = labels if by_class else [""] * len(labels)
        found.append(DetectedObjects(row, to_boxes(each.answer), said, scores_of(each.answer)))
    matches, counts = match_pictures(truths, found), agreement_counts(truths, found)
    size = len(answered)
    figures = [
        ap_metric(f"{prefix}/map", size, matches.average_precision),
        ap_metric(f"{prefix}/map50", size, lambda n: matches.average_precision(n, 0.5)),
        ratio_metric(f"{prefix}/f1", counts, pictures_of(answered), summed_f1),
    ]
    return figures, single_f1s(counts)


def _score_quads(prefix: str, answered: Sequence[Answered]) -> _Found:
    truths = [text_regions_of(each.case.truth) for each in answered]
    counts = icdar_counts(truths, [text_regions_of(each.answer) for each in answered])
    figure = ratio_metric(f"{prefix}/hmean", counts, pictures_of(answered), summed_f1)
    return [figure], single_f1s(counts)


def _score_polygons(prefix: str, answered: Sequence[Answered]) -> _Found:
    ious = mask_ious(mask_overlaps([mask_pair(each.answer, each.case.truth) for each in answered]))
    return [mean_metric(f"{prefix}/miou", ious, pictures_of(answered))], ious


def _score_texts(prefix: str, answered: Sequence[Answered]) -> _Found:
    equal, distances = [], []
    for each in answered:
        truth, said = to_text(each.case.truth), to_text(each.answer)
        equal.append(float(truth == said))
        distances.append(edit_distance(said, truth) / max(len(said), len(truth), 1))
    pictures, far = pictures_of(answered), np.asarray(distances)
    figures = [
        mean_metric(f"{prefix}/exact_match", equal, pictures),
        mean_metric(f"{prefix}/edit_distance", far, pictures, higher_is_better=False),
    ]
    return figures, 1 - far


BENCHMARK = Benchmark(
    name="records",
    title="Records of one's own",
    splits=("all",),
    protocol=PROTOCOL,
    source=SOURCE,
    read=read,
    score=score,
    options={"max_new_tokens": 1024},
)
