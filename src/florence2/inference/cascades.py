"""Cascades: two tasks on one encoding; the second takes the output of the first as input.

``model.encode_image(image).batch`` is a ``RunRequests``; the server has another, over its engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..results.geometry import clip_boxes, fix_inverted_boxes
from ..results.tasks import AnswerKind, Task
from ..results.types import Answer, Boxes, Failure, Polygons, Result, Text

# A task and its input: ``processor.TextInput`` or ``None``.
TaskRequest = tuple[str | Task, Any]
# Predicts requests about one image; the results are in their order.
RunRequests = Callable[[Sequence[TaskRequest]], Sequence[Result | Failure]]


@dataclass(frozen=True)
class Cascade:
    """Two tasks in sequence; ``run`` gives one result that merges both.

    Attributes:
        name: the name of the cascade, used like the name of a task.
        summary: one line of help.
        first: the task that is predicted first.
        second: the task that takes the first output as input, as a whole or by region.
        answer: the kind of the merged output.
    """

    name: str
    summary: str
    first: str
    second: str
    answer: AnswerKind

    @property
    def task(self) -> Task:
        """The cascade as a task, whose token is the key of ``Result.to_dict``."""
        token = f"<{self.name.upper().replace('-', '_')}>"
        return Task(token, self.name, (), self.name, "none", self.answer, self.summary)

    def run(self, predict: RunRequests) -> Result:
        """Predict both tasks and merge their outputs.

        Raises ``ValueError`` when the first task fails; regions for which the second task fails
        are dropped.
        """
        (first,) = predict([(self.first, None)])
        if isinstance(first, Failure):
            raise ValueError(first.error)
        merged = _ground(first, predict, self.second)
        if merged is None:
            merged = _predict_regions(first, predict, self.second)
        answer, truncated = merged
        return Result(
            self.task,
            first.prompt,
            answer,
            first.image_size,
            truncated=first.truncated or truncated,
        )


CASCADES = (
    Cascade(
        "caption-then-ground",
        "a caption, and boxes of its phrases",
        "caption",
        "phrase-grounding",
        "phrases",
    ),
    Cascade(
        "detailed-caption-then-ground",
        "a detailed caption, and boxes of its phrases",
        "detailed-caption",
        "phrase-grounding",
        "phrases",
    ),
    Cascade(
        "more-detailed-caption-then-ground",
        "a paragraph, and boxes of its phrases",
        "more-detailed-caption",
        "phrase-grounding",
        "phrases",
    ),
    Cascade(
        "detect-then-describe",
        "objects, each with a description of its region",
        "object-detection",
        "region-to-description",
        "boxes",
    ),
    Cascade(
        "detect-then-segment",
        "objects, each with its polygons",
        "object-detection",
        "region-to-segmentation",
        "boxes_or_polygons",
    ),
)
_BY_NAME = {name: each for each in CASCADES for name in (each.name, each.task.token)}


def as_cascade(task: object) -> Cascade | None:
    """The cascade that ``task`` names, or ``None`` for a task."""
    return find_cascade(task) if isinstance(task, str) else None


def find_cascade(name: str) -> Cascade | None:
    """The cascade of a name or token, in any case; ``None`` for another name."""
    key = name.strip()
    return _BY_NAME.get(key) or _BY_NAME.get(key.lower().replace("_", "-"))


def _ground(first: Result, predict: RunRequests, second: str) -> tuple[Answer, bool] | None:
    """Boxes of the phrases of a caption; ``None`` when the first output is not text."""
    if not isinstance(first.answer, Text):
        return None
    if not first.answer.plain_text:
        return Boxes([], [], first.image_size), False
    (grounded,) = predict([(second, first.answer.plain_text)])
    if isinstance(grounded, Failure):
        raise ValueError(grounded.error)
    return grounded.answer, grounded.truncated


def _predict_regions(first: Result, predict: RunRequests, second: str) -> tuple[Answer, bool]:
    found = first.answer
    assert isinstance(found, Boxes)
    boxes = clip_boxes(fix_inverted_boxes(found.xyxy), found.image_size)
    usable = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    requests = [(second, tuple(map(float, boxes[index]))) for index in usable]
    results = predict(requests) if requests else []
    has_polygons = second == "region-to-segmentation"
    texts: list[str] = []
    polygons: list[tuple[np.ndarray, ...]] = []
    kept: list[int] = []
    truncated = False
    for index, result in zip(usable.tolist(), results, strict=True):
        if isinstance(result, Failure):
            continue
        truncated |= result.truncated
        if isinstance(result.answer, Text) and result.answer.plain_text:
            kept.append(index)
            texts.append(result.answer.plain_text)
        elif isinstance(result.answer, Polygons) and len(result.answer):
            kept.append(index)
            polygons.append(tuple(part for parts in result.answer.polygons for part in parts))
    chosen = found.select(kept)
    if not has_polygons:
        return replace(chosen, labels=tuple(texts)), truncated
    merged = Polygons(polygons, chosen.labels, found.image_size, chosen.scores, chosen.label_scores)
    return merged, truncated
