"""A model against the annotations of held-out records: the figures of an evaluation in training.

Figures are named ``task/figure``, the task in small letters (``od/map``, ``vqa/exact_match``):

| answers | figures |
|---|---|
| boxes | ``map`` and ``map50`` (COCO's, with scores and classes), ``f1`` at IoU 0.5 |
| quads | ``hmean`` (ICDAR's, at IoU 0.5), ``cer`` (edits of characters over true characters) |
| polygons | ``miou``, the mean over annotations |
| text | ``exact_match``, ``edit_distance`` (over the longer text's length, mean) |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ..inference.prepared import Request
from ..results.records import Annotation, Record
from ..results.types import Answer, Boxes, Failure, Polygons, Quads
from .answer_values import mask_pair, text_regions_of, to_boxes, to_text
from .metrics.coco_ap import average_precision
from .metrics.detection import Agreement, DetectedObjects, TrueObjects, agreement_counts
from .metrics.edit_distance import edit_distance
from .metrics.grounding import mask_ious, mask_overlaps
from .metrics.libraries import load_library
from .metrics.ocr import character_errors, error_rate, icdar_counts
from .subset import evenly

if TYPE_CHECKING:
    from ..inference.predictor import Florence2

Shape = Literal["boxes", "quads", "polygons", "text"]
# Descriptions are no classes: two that mean the same seldom agree in every letter.
_WITHOUT_CLASSES = frozenset({"<DENSE_REGION_CAPTION>"})
# The figure to choose a checkpoint by, and whether more of it is better, by preference.
_WATCHED: Mapping[Shape, tuple[str, bool]] = {
    "boxes": ("map", True),
    "quads": ("hmean", True),
    "polygons": ("miou", True),
    "text": ("edit_distance", False),
}
_FIGURE_NAMES: Mapping[Shape, tuple[str, ...]] = {
    "boxes": ("map", "map50", "f1"),
    "quads": ("hmean", "cer"),
    "polygons": ("miou",),
    "text": ("exact_match", "edit_distance"),
}
_LOWER_IS_BETTER = frozenset({"cer", "edit_distance"})
_LIBRARIES: Mapping[Shape, str] = {
    "boxes": "faster_coco_eval",
    "quads": "shapely",
    "polygons": "faster_coco_eval",
}


class Records(Protocol):
    """Records by number, such as a ``ShardDataset`` or a list."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Record: ...


@dataclass(frozen=True)
class Answered:
    """An annotation and what the model said; ``None`` where it could not be asked."""

    annotation: Annotation
    answer: Answer | None


def evaluate_records(
    records: Records,
    *,
    limit: int | None = 200,
    batch_size: int = 8,
    max_new_tokens: int = 1024,
) -> Callable[[Florence2], dict[str, float]]:
    """A function that lets a model answer the kept annotations, and returns the figures by name.

    Of more than ``limit`` records, as many are taken at even distances. The search is greedy. What
    cannot be asked counts as answered by nothing. Raises ``ImportError`` at once when a figure
    needs a library that is not installed, ``ValueError`` when there is nothing to answer.
    """
    chosen = evenly(len(records), limit)
    shapes = {_shape(each) for index in chosen for each in records[index].kept()}
    if not shapes:
        raise ValueError("the held-out records have no kept annotation to judge a model by")
    for shape in shapes & _LIBRARIES.keys():
        load_library(_LIBRARIES[shape])

    def judge(model: Florence2) -> dict[str, float]:
        groups: dict[tuple[str, Shape], list[Answered]] = {}
        waiting: list[Annotation] = []
        outcomes = model.stream(
            _requests((records[index] for index in chosen), waiting),
            beams=1,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
        )
        for outcome in outcomes:
            annotation = waiting.pop(0)
            answer = None if isinstance(outcome, Failure) else outcome.answer
            group = groups.setdefault((figure_prefix(annotation.task), _shape(annotation)), [])
            group.append(Answered(annotation, answer))
        return {
            f"{prefix}/{name}": value
            for (prefix, shape), answered in sorted(groups.items())
            for name, value in _FIGURES[shape](answered).items()
        }

    return judge


def selection_metric(annotations: Iterable[Sequence[Annotation]]) -> tuple[str, bool]:
    """The name of the figure to choose a checkpoint by, and whether higher is better.

    Boxes go before quads, these before polygons, these before text. Of several tasks it is
    detection, or else the one with the most annotations. Raises ``ValueError`` when none is kept.
    """
    counts = Counter(
        (_shape(each), figure_prefix(each.task))
        for group in annotations
        for each in group
        if each.decision.kept
    )
    for shape, (figure, higher) in _WATCHED.items():
        tasks = {prefix: count for (found, prefix), count in counts.items() if found == shape}
        if tasks:
            chosen = "od" if "od" in tasks else max(sorted(tasks), key=tasks.__getitem__)
            return f"{chosen}/{figure}", higher
    raise ValueError("the held-out records have no kept annotation to judge a model by")


def list_figures(annotations: Iterable[Sequence[Annotation]]) -> dict[str, bool]:
    """The figures of an evaluation on kept annotations, and whether more of each is better."""
    found = {
        (figure_prefix(each.task), _shape(each))
        for group in annotations
        for each in group
        if each.decision.kept
    }
    return {
        f"{prefix}/{name}": name not in _LOWER_IS_BETTER
        for prefix, shape in sorted(found)
        for name in _FIGURE_NAMES[shape]
    }


def figure_prefix(task: str) -> str:
    """A task token or prompt as the names of its figures begin: ``"<OD>"`` gives ``"od"``."""
    return re.sub(r"\W+", "_", task).strip("_").lower() or "answer"


def _shape(annotation: Annotation) -> Shape:
    answer = annotation.answer
    if isinstance(answer, Boxes):
        return "boxes"
    if isinstance(answer, Quads):
        return "quads"
    return "polygons" if isinstance(answer, Polygons) else "text"


def _requests(records: Iterator[Record], waiting: list[Annotation]) -> Iterator[Request]:
    """What to ask; each annotation is put in ``waiting`` as its request goes out."""
    for record in records:
        content = _picture(record)
        for annotation in record.kept():
            waiting.append(annotation)
            # An answer to a prompt outside the table is read as the kind that the truth is.
            task = replace(annotation.task_definition, answer=annotation.kind)
            yield content, task, annotation.region or annotation.text or None


def _picture(record: Record) -> bytes:
    """The bytes of the picture; none when they are gone, which the model answers by a failure."""
    try:
        return record.image_bytes()
    except (OSError, ValueError):
        return b""


def _boxes_figures(answered: Sequence[Answered]) -> dict[str, float]:
    truths, found = [], []
    by_class = answered[0].annotation.task not in _WITHOUT_CLASSES
    for number, each in enumerate(answered):
        true = each.annotation.answer
        assert isinstance(true, Boxes)
        truths.append(TrueObjects(number, true.xyxy, true.labels))
        answer = each.answer
        if isinstance(answer, Boxes | Polygons):
            found.append(DetectedObjects(number, to_boxes(answer), answer.labels, answer.scores))
    figures = average_precision(truths, found, by_class=by_class)
    return {
        "map": figures.ap,
        "map50": figures.ap_50,
        "f1": Agreement.of(agreement_counts(truths, found, by_class=by_class).sum(axis=0)).f1,
    }


def _quads_figures(answered: Sequence[Answered]) -> dict[str, float]:
    truths = [text_regions_of(each.annotation.answer) for each in answered]
    found = [text_regions_of(each.answer) for each in answered]
    figures = {"hmean": Agreement.of(icdar_counts(truths, found).sum(axis=0)).f1}
    texts = ["\n".join(regions.texts) for regions in truths]
    if any(texts):
        guesses = ["\n".join(regions.texts) for regions in found]
        figures["cer"] = error_rate(character_errors(guesses, texts))
    return figures


def _polygons_figures(answered: Sequence[Answered]) -> dict[str, float]:
    pairs = []
    for each in answered:
        truth = each.annotation.answer
        assert isinstance(truth, Polygons)
        pairs.append(mask_pair(each.answer, truth))
    return {"miou": float(mask_ious(mask_overlaps(pairs)).mean())}


def _text_figures(answered: Sequence[Answered]) -> dict[str, float]:
    equal, distances = [], []
    for each in answered:
        truth, said = to_text(each.annotation.answer), to_text(each.answer)
        equal.append(truth == said)
        distances.append(edit_distance(said, truth) / max(len(said), len(truth), 1))
    return {"exact_match": float(np.mean(equal)), "edit_distance": float(np.mean(distances))}


_FIGURES: Mapping[Shape, Callable[[Sequence[Answered]], dict[str, float]]] = {
    "boxes": _boxes_figures,
    "quads": _quads_figures,
    "polygons": _polygons_figures,
    "text": _text_figures,
}
