"""What is predicted for every image: tasks joined with their text or region input."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ...results.tasks import Task, find_task

if TYPE_CHECKING:
    from ...datasets.exporters import ClassMap

Region = tuple[float, float, float, float]
RequestInput = str | tuple[str, ...] | Region | None
_OPEN_VOCABULARY = "<OPEN_VOCABULARY_DETECTION>"
_TOKEN = re.compile(r"<[A-Z_]+>")
# Similarity above which an unknown token is a typo: <VQA> is similar to none of the table.
_TYPO_CUTOFF = 0.8
FIELDS = ("task", "text", "region")


@dataclass(frozen=True)
class LabelRequest:
    """A task and its input besides the image: text, class names, a pixel box, or nothing."""

    task: Task
    input: RequestInput = None

    @property
    def fields(self) -> dict[str, Any]:
        """How a prediction line names the request: ``task`` and, if set, ``text``/``region``."""
        if self.input is None:
            return {"task": self.task.token}
        value = self.input if isinstance(self.input, str) else list(self.input)
        return {"task": self.task.token, "text" if self.region is None else "region": value}

    @property
    def region(self) -> Region | None:
        """The box of a region task, in pixels."""
        if isinstance(self.input, tuple) and isinstance(self.input[0], float):
            x0, y0, x1, y1 = self.input
            return (x0, y0, x1, y1)
        return None

    @cached_property
    def key(self) -> str:
        """The request as one string, equal for equal requests."""
        return request_key(self.fields)

    @cached_property
    def file_name(self) -> str:
        """The request as part of a file name: the task, and a digest of its input."""
        in_table = self.task.name != self.task.token
        name = self.task.name if in_table else re.sub(r"\W+", "-", self.task.name)[:40].strip("-")
        if in_table and self.input is None:
            return name
        return f"{name}-{sha256(self.key.encode()).hexdigest()[:8]}"

    def with_image(self, image: Any) -> tuple[Any, ...]:
        """The request about ``image`` in the form that ``Florence2.stream`` takes."""
        if self.input is None:
            return (image, self.task.token)
        is_classes = isinstance(self.input, tuple) and self.region is None
        return (image, self.task.token, list(self.input or ()) if is_classes else self.input)


def request_key(line: Mapping[str, Any]) -> str:
    """The ``LabelRequest.key`` of the request that a prediction line belongs to."""
    return json.dumps({name: line[name] for name in FIELDS if name in line}, ensure_ascii=False)


def takes_classes(request: LabelRequest) -> bool:
    """Whether the text input of the request may be class names."""
    return request.task.token == _OPEN_VOCABULARY


def build_requests(
    tasks: Sequence[str],
    texts: Sequence[str] = (),
    regions: Sequence[str] = (),
    classes: ClassMap | None = None,
) -> list[LabelRequest]:
    """The requests of a run: one for each task, and for a region task one for each region.

    Several texts are the classes of one open-vocabulary request; other tasks take one. Text and
    regions go to the tasks that take them. Without texts, open-vocabulary detection gets the
    prompts of ``classes``.

    Raises:
        ValueError: a task is unknown or lacks its text or region, or no task takes a given text or
            region.
    """
    boxes = [_parse_region(region) for region in regions]
    found = [_find_task(name) for name in tasks]
    if classes is not None and not texts and any(task.token == _OPEN_VOCABULARY for task in found):
        texts = classes.prompts
    requests: dict[str, LabelRequest] = {}
    for task in found:
        for request in _build_for_task(task, tuple(texts), boxes):
            requests.setdefault(request.key, request)
    inputs = {request.task.input for request in requests.values()}
    if boxes and "region" not in inputs:
        raise ValueError(f"--region {regions[0]} is not used by any selected task")
    takers = {"text", "optional"} if boxes else {"text", "optional", "region"}
    if texts and not inputs & takers:
        raise ValueError(f"--text {texts[0]!r} is not used by any selected task")
    return list(requests.values())


def _find_task(name: str) -> Task:
    """The task, or the cascade as a task, that ``name`` is a name, alias or token of."""
    from ...inference.cascades import find_cascade

    cascade = find_cascade(name)
    if cascade is not None:
        return cascade.task
    near = _near_token(name)
    if near is not None:
        raise ValueError(f"unknown task {name!r}; did you mean {near!r}?")
    return find_task(name)


def _near_token(name: str) -> str | None:
    """The known token that an unknown one resembles, which would be sent as a prompt."""
    from ...inference.cascades import CASCADES
    from ...results.tasks import TASKS

    known = {task.token for task in (*TASKS, *(each.task for each in CASCADES))}
    word = name.strip().upper().replace("-", "_")
    if not _TOKEN.fullmatch(word) or word in known:
        return None
    close = get_close_matches(word, known, n=1, cutoff=_TYPO_CUTOFF)
    return close[0] if close else None


def _build_for_task(
    task: Task, texts: tuple[str, ...], boxes: Sequence[Region]
) -> list[LabelRequest]:
    if task.input == "none":
        return [LabelRequest(task)]
    if task.input == "region" and boxes:
        return [LabelRequest(task, box) for box in boxes]
    if task.input == "region" and not texts:
        raise ValueError(f"task {task.token} needs a region; add --region x0,y0,x1,y1 in pixels")
    if task.input == "text" and not any(text.strip() for text in texts):
        raise ValueError(f"task {task.token} needs text; add --text ({task.summary})")
    if len(texts) > 1 and task.token == _OPEN_VOCABULARY:
        return [LabelRequest(task, texts)]
    if len(texts) > 1:
        raise ValueError(f"task {task.token} takes one --text, got {len(texts)}: {texts}")
    return [LabelRequest(task, texts[0] if texts else None)]


def _parse_region(text: str) -> Region:
    try:
        x0, y0, x1, y1 = (float(value) for value in text.split(","))
    except ValueError:
        message = f"--region must be four numbers x0,y0,x1,y1 in pixels, got {text!r}"
        raise ValueError(message) from None
    box = (x0, y0, x1, y1)
    if not all(map(math.isfinite, box)) or x0 >= x1 or y0 >= y1 or x1 <= 0 or y1 <= 0:
        raise ValueError(
            "--region must have x0 <= x1 and y0 <= y1, and an area inside the image (a point has "
            f"none), got {text!r}"
        )
    return box
