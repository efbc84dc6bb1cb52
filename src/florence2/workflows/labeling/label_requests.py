"""What is asked of every image: tasks of the command line joined with their text or region."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ...results.tasks import Task, find_task

if TYPE_CHECKING:
    from ...datasets.exporters import ClassMap

Region = tuple[float, float, float, float]
QuestionInput = str | tuple[str, ...] | Region | None
_SEVERAL_CLASSES = "<OPEN_VOCABULARY_DETECTION>"
_TOKEN = re.compile(r"<[A-Z_]+>")
# How alike two tokens are when one is a slip for the other: <VQA> is like none of the table's.
_NEAR = 0.8
FIELDS = ("task", "text", "region")


@dataclass(frozen=True)
class Question:
    """A task with what it needs beside the image: words, class names, a pixel box, or nothing."""

    task: Task
    input: QuestionInput = None

    @property
    def fields(self) -> dict[str, Any]:
        """How an answer line names the question: ``task`` and, where given, ``text``/``region``."""
        if self.input is None:
            return {"task": self.task.token}
        value = self.input if isinstance(self.input, str) else list(self.input)
        is_region = isinstance(self.input, tuple) and isinstance(self.input[0], float)
        return {"task": self.task.token, "region" if is_region else "text": value}

    @property
    def region(self) -> Region | None:
        """The box in question, if the question is about one."""
        if isinstance(self.input, tuple) and isinstance(self.input[0], float):
            x0, y0, x1, y1 = self.input
            return (x0, y0, x1, y1)
        return None

    @cached_property
    def key(self) -> str:
        """The question as one string, equal for equal questions."""
        return question_key(self.fields)

    @cached_property
    def file_name(self) -> str:
        """The question as part of a file name: the task, and a digest of what else was asked."""
        in_table = self.task.name != self.task.token
        name = self.task.name if in_table else re.sub(r"\W+", "-", self.task.name)[:40].strip("-")
        if in_table and self.input is None:
            return name
        return f"{name}-{sha256(self.key.encode()).hexdigest()[:8]}"

    def request(self, image: Any) -> tuple[Any, ...]:
        """The question about ``image`` in the form ``Florence2.stream`` takes."""
        if self.input is None:
            return (image, self.task.token)
        classes = isinstance(self.input, tuple) and isinstance(self.input[0], str)
        return (image, self.task.token, list(self.input) if classes else self.input)


def question_key(line: dict[str, Any]) -> str:
    """The ``Question.key`` of the question that an answer line belongs to."""
    return json.dumps({name: line[name] for name in FIELDS if name in line}, ensure_ascii=False)


def ask(tasks: Sequence[str], texts: Sequence[str], regions: Sequence[str]) -> list[Question]:
    """The questions of a run: one for each task, and for a region task one for each region.

    Several texts are the classes of one open-vocabulary question; other tasks take one. Text and
    regions go to the tasks that take them. ``ValueError`` when a task is unknown or lacks its
    text or region, and when a text or region is of no use to any task.
    """
    boxes = [_parse_region(region) for region in regions]
    questions: dict[str, Question] = {}
    for name in tasks:
        for question in _ask_one(_task_of(name), tuple(texts), boxes):
            questions.setdefault(question.key, question)
    used = {question.task.input for question in questions.values()}
    if boxes and "region" not in used:
        raise ValueError(f"--region {regions[0]} is of no use: no task of this run takes a region")
    takers = {"text", "optional"} if boxes else {"text", "optional", "region"}
    if texts and not used & takers:
        raise ValueError(f"--text {texts[0]!r} is of no use: no task of this run takes text")
    return list(questions.values())


def prompts_of(ontology: ClassMap | None, tasks: Sequence[str]) -> tuple[str, ...]:
    """What ``--classes`` asks for: its prompts, if open-vocabulary detection is among the tasks."""
    if ontology is None or _SEVERAL_CLASSES not in {_task_of(name).token for name in tasks}:
        return ()
    return ontology.prompts


def _task_of(name: str) -> Task:
    """The task, or the cascade as one, that ``name`` calls."""
    from ...inference.cascades import find_cascade

    cascade = find_cascade(name)
    if cascade is not None:
        return cascade.task
    near = _near_token(name)
    if near is not None:
        raise ValueError(f"unknown task {name!r}; did you mean {near!r}?")
    return find_task(name)


def _near_token(name: str) -> str | None:
    """The token of the table that an unknown one is nearly, for it would be sent as a prompt."""
    from ...inference.cascades import CASCADES
    from ...results.tasks import TASKS

    known = {task.token for task in (*TASKS, *(each.task for each in CASCADES))}
    word = name.strip().upper().replace("-", "_")
    if not _TOKEN.fullmatch(word) or word in known:
        return None
    close = get_close_matches(word, known, n=1, cutoff=_NEAR)
    return close[0] if close else None


def _ask_one(task: Task, texts: tuple[str, ...], boxes: list[Region]) -> list[Question]:
    if task.input == "none":
        return [Question(task)]
    if task.input == "region" and boxes:
        return [Question(task, box) for box in boxes]
    if task.input == "region" and not texts:
        raise ValueError(f"task {task.token} needs a region; add --region x0,y0,x1,y1 in pixels")
    if task.input == "text" and not any(text.strip() for text in texts):
        raise ValueError(f"task {task.token} needs text; add --text ({task.summary})")
    if len(texts) > 1 and task.token == _SEVERAL_CLASSES:
        return [Question(task, texts)]
    if len(texts) > 1:
        raise ValueError(f"task {task.token} takes one --text, got {len(texts)}: {texts}")
    return [Question(task, texts[0] if texts else None)]


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
    return (x0, y0, x1, y1)
