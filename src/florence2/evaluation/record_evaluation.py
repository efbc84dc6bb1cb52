"""A model on the annotations of validation records: the metrics of an evaluation in training.

Metrics are named ``task/metric``, the task in small letters (``od/map``, ``vqa/exact_match``):

| answers | metrics |
|---|---|
| boxes | ``map`` and ``map50`` (COCO's, with scores and classes), ``f1`` at IoU 0.5 |
| quads | ``hmean`` (ICDAR's, at IoU 0.5), ``cer`` (character error rate) |
| polygons | ``miou``, the mean over annotations |
| text | ``exact_match``, ``edit_distance`` (over the longer text's length, mean) |
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..inference.prepared import Request
from ..results.records import Annotation, Record
from ..results.types import Failure
from .benchmark import BenchmarkExample, ExamplePrediction
from .metrics.libraries import load_library
from .scorers import KindScores, Shape, answer_shape, score_by_shape
from .subset import sample_evenly

if TYPE_CHECKING:
    from ..inference.predictor import Florence2

# Descriptions are not classes: two descriptions of one object are seldom equal.
_WITHOUT_CLASSES = frozenset({"<DENSE_REGION_CAPTION>"})
# The metrics of each shape; the first is the one that selects a checkpoint.
_METRICS: Mapping[Shape, tuple[str, ...]] = {
    "boxes": ("map", "map50", "f1"),
    "quads": ("hmean", "cer"),
    "polygons": ("miou",),
    "text": ("edit_distance", "exact_match"),
}
_LOWER_IS_BETTER = frozenset({"cer", "edit_distance"})
_LIBRARIES: Mapping[Shape, str] = {"quads": "shapely", "polygons": "faster_coco_eval"}
_NO_ANNOTATION = "the validation records have no kept annotation to evaluate a model on"


class RecordSequence(Protocol):
    """Records by index, such as a ``ShardDataset`` or a list."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Record: ...


def evaluate_records(
    records: RecordSequence,
    *,
    limit: int | None = 200,
    batch_size: int = 8,
    max_new_tokens: int = 1024,
) -> Callable[[Florence2], dict[str, float]]:
    """A function that runs a model on the kept annotations and returns the metrics by name.

    Metrics are fractions of 1. Decoding is greedy. A failed request counts as an empty prediction.

    Args:
        records: the validation records.
        limit: number of records, taken at even distances; ``None`` for all.
        batch_size: as in a call of the model.
        max_new_tokens: as in a call of the model.

    Raises:
        ImportError: a library of a metric is not installed.
        ValueError: no annotation is kept.
    """
    selected = sample_evenly(len(records), limit)
    shapes = {answer_shape(each.answer) for index in selected for each in records[index].kept()}
    if not shapes:
        raise ValueError(_NO_ANNOTATION)
    for shape in shapes & _LIBRARIES.keys():
        load_library(_LIBRARIES[shape])

    def evaluate(model: Florence2) -> dict[str, float]:
        waiting: deque[BenchmarkExample] = deque()
        outcomes = model.stream(
            _iter_requests((records[index] for index in selected), waiting),
            beams=1,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
        )
        predictions = [
            ExamplePrediction(
                waiting.popleft(), None if isinstance(outcome, Failure) else outcome.answer
            )
            for outcome in outcomes
        ]
        return {
            f"{prefix}/{name}": metric.value / 100
            for prefix, _, scores in score_tasks(predictions)
            for name, metric in scores.metrics.items()
        }

    return evaluate


def make_examples(record: Record, image: bytes) -> list[BenchmarkExample]:
    """One example for each kept annotation of a record with its image file."""
    return [
        BenchmarkExample(
            id=f"{record.id}/{each.task}/{number}",
            image=image,
            image_id=record.id,
            # The output of a prompt outside the table is read as the kind of the ground truth.
            task=replace(each.task_definition, answer=each.kind),
            prompt_input=each.prompt_input,
            ground_truth=each.answer,
        )
        for number, each in enumerate(record.annotations)
        if each.decision.kept
    ]


def score_tasks(
    predictions: Sequence[ExamplePrediction],
) -> Iterator[tuple[str, list[int], KindScores]]:
    """For each task and shape: the prefix of its metrics, the rows of its predictions, scores."""
    groups: dict[tuple[str, Shape], list[int]] = {}
    for row, each in enumerate(predictions):
        example = each.example
        key = metric_prefix(example.task.token), answer_shape(example.ground_truth)
        groups.setdefault(key, []).append(row)
    for (prefix, _), rows in sorted(groups.items()):
        group = [predictions[row] for row in rows]
        by_class = group[0].example.task.token not in _WITHOUT_CLASSES
        yield prefix, rows, score_by_shape(group, by_class=by_class)


def selection_metric(annotations: Iterable[Sequence[Annotation]]) -> tuple[str, bool]:
    """The name of the metric that selects a checkpoint, and whether higher is better.

    Boxes go before quads, quads before polygons, polygons before text. Of several tasks it is
    detection, or else the one with the most annotations. Raises ``ValueError`` when none is kept.
    """
    counts = _count_tasks(annotations)
    for shape, (metric, *_) in _METRICS.items():
        tasks = {prefix: count for (prefix, found), count in counts.items() if found == shape}
        if tasks:
            task = "od" if "od" in tasks else max(sorted(tasks), key=tasks.__getitem__)
            return f"{task}/{metric}", metric not in _LOWER_IS_BETTER
    raise ValueError(_NO_ANNOTATION)


def list_metrics(annotations: Iterable[Sequence[Annotation]]) -> dict[str, bool]:
    """The metrics of an evaluation on kept annotations, and whether higher is better."""
    return {
        f"{prefix}/{name}": name not in _LOWER_IS_BETTER
        for prefix, shape in sorted(_count_tasks(annotations))
        for name in _METRICS[shape]
    }


def metric_prefix(task: str) -> str:
    """A task token or prompt as the prefix of its metrics: ``"<OD>"`` gives ``"od"``."""
    return re.sub(r"\W+", "_", task).strip("_").lower() or "answer"


def _count_tasks(annotations: Iterable[Sequence[Annotation]]) -> Counter[tuple[str, Shape]]:
    """The number of kept annotations of each task and shape."""
    return Counter(
        (metric_prefix(each.task), answer_shape(each.answer))
        for group in annotations
        for each in group
        if each.decision.kept
    )


def _iter_requests(
    records: Iterator[Record], waiting: deque[BenchmarkExample]
) -> Iterator[Request]:
    """The requests; each example is put in ``waiting`` when its request is taken."""
    for record in records:
        content = _read_image(record)
        for example in make_examples(record, b""):
            waiting.append(example)
            yield content, example.task, example.prompt_input


def _read_image(record: Record) -> bytes:
    """The image file; empty when it cannot be read, which the model reports as a failure."""
    try:
        return record.image_bytes()
    except (OSError, ValueError):
        return b""
