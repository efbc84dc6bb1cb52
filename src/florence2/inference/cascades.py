"""Cascades: the answer to one question is what the next one asks about, on one encoding.

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

# A task, and what it asks about: ``processor.TextInput`` or nothing.
TaskRequest = tuple[str | Task, Any]
# Answers to questions about one picture, in order.
RunRequests = Callable[[Sequence[TaskRequest]], Sequence[Result | Failure]]


@dataclass(frozen=True)
class Cascade:
    """A first question and what is asked about its answer.

    ``run`` gives one result: its answer joins all steps, its task is a row outside the table with
    the cascade's token. Raises ``ValueError`` when a first question cannot be answered; regions
    that a second question fails on are left out.
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

    def run(self, ask: RunRequests) -> Result:
        """The joined answer of both steps."""
        (first,) = ask([(self.first, None)])
        if isinstance(first, Failure):
            raise ValueError(first.error)
        joined = _ground(first, ask, self.second)
        if joined is None:
            joined = _each_region(first, ask, self.second)
        answer, truncated = joined
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
        "objects, each with its outlines",
        "object-detection",
        "region-to-segmentation",
        "boxes_or_polygons",
    ),
)
_BY_NAME = {name: each for each in CASCADES for name in (each.name, each.task.token)}


def find_cascade(name: str) -> Cascade | None:
    """The cascade of a name or token, in any case; ``None`` when it is none."""
    key = name.strip()
    return _BY_NAME.get(key) or _BY_NAME.get(key.lower().replace("_", "-"))


def _ground(first: Result, ask: RunRequests, second: str) -> tuple[Answer, bool] | None:
    """Boxes of the phrases of a caption; ``None`` when the first answer is no text."""
    if not isinstance(first.answer, Text):
        return None
    if not first.answer.plain_text:
        return Boxes([], [], first.image_size), False
    (grounded,) = ask([(second, first.answer.plain_text)])
    if isinstance(grounded, Failure):
        raise ValueError(grounded.error)
    return grounded.answer, grounded.truncated


def _each_region(first: Result, ask: RunRequests, second: str) -> tuple[Answer, bool]:
    found = first.answer
    assert isinstance(found, Boxes)
    boxes = clip_boxes(fix_inverted_boxes(found.xyxy), found.image_size)
    usable = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    asked = [(second, tuple(float(at) for at in boxes[index])) for index in usable]
    answers = ask(asked) if asked else []
    outlined = second == "region-to-segmentation"
    texts: list[str] = []
    outlines: list[tuple[np.ndarray, ...]] = []
    kept: list[int] = []
    truncated = False
    for index, result in zip(usable.tolist(), answers, strict=True):
        if isinstance(result, Failure):
            continue
        truncated |= result.truncated
        if isinstance(result.answer, Text) and result.answer.plain_text:
            kept.append(index)
            texts.append(result.answer.plain_text)
        elif isinstance(result.answer, Polygons) and len(result.answer):
            kept.append(index)
            outlines.append(tuple(part for parts in result.answer.polygons for part in parts))
    chosen = found.select(kept)
    if not outlined:
        return replace(chosen, labels=tuple(texts)), truncated
    polygons = Polygons(
        outlines, chosen.labels, found.image_size, chosen.scores, chosen.label_scores
    )
    return polygons, truncated
