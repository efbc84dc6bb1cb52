"""What the routes do: a picture, a batch, a chat; every answer is counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from ..results import ImageSize, Result
from ..tasks import TASKS
from ..workflows.cascades import CASCADES
from . import chat
from .asking import Asking
from .limits import Limits, RefusedError
from .metrics import Metrics
from .schema import (
    Answer,
    AnswerOptions,
    BatchAnswer,
    BatchItem,
    BatchRequest,
    ChatRequest,
    Question,
    RunAnswer,
    RunRequest,
    answer_of,
)
from .upload import read_upload

Model = TypeVar("Model", bound=BaseModel)
_FORM = "multipart/form-data"
_KNOWN = {task.token for task in TASKS} | {each.task.token for each in CASCADES}


class Answering:
    """The work of the routes over one ``Asking``; errors are ``RefusedError``."""

    def __init__(self, asking: Asking, metrics: Metrics, limits: Limits) -> None:
        self._asking, self._metrics, self._limits = asking, metrics, limits

    async def run(self, request: Request) -> RunAnswer:
        """The answers about one picture, from JSON or a form."""
        begin = time.monotonic()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        image: str | bytes
        if kind == _FORM:
            image, tasks, options = await read_upload(request)
        else:
            asked = await _parsed(request, RunRequest)
            image, tasks, options = asked.image, asked.tasks, asked.options
        size, answers = await self._answers(image, tasks, options, begin)
        if len(answers) == 1 and answers[0].error is not None:
            raise RefusedError(422, answers[0].error)
        return RunAnswer(image_size=size, answers=answers, seconds=time.monotonic() - begin)

    async def batch(self, request: BatchRequest) -> BatchAnswer:
        """The answers about several pictures; refused as a whole only when all of them are."""
        begin, most = time.monotonic(), self._limits.pictures
        if len(request.requests) > most:
            raise RefusedError(422, f"at most {most} pictures, got {len(request.requests)}")

        async def one(asked: RunRequest) -> BatchItem | RefusedError:
            try:
                size, answers = await self._answers(asked.image, asked.tasks, asked.options, begin)
            except RefusedError as error:
                return error
            return BatchItem(image_size=size, answers=answers)

        found = await asyncio.gather(*map(one, request.requests))
        refused = [each for each in found if isinstance(each, RefusedError)]
        busy = [each for each in refused if each.status in (429, 503)]
        if len(busy) == len(found):
            raise busy[0]
        items = [
            BatchItem(error=str(each)) if isinstance(each, RefusedError) else each for each in found
        ]
        return BatchAnswer(results=items, seconds=time.monotonic() - begin)

    async def complete(self, request: ChatRequest) -> Result:
        """The answer to the last words of a chat about its last picture."""
        image, question = chat.question_of(request)
        deadline = time.monotonic() + self._limits.seconds
        settings = self._asking.settings(chat.options_of(request))
        picture = await self._asking.picture(image, deadline)
        (result,) = await self._asking.answers(picture, [question], settings, deadline)
        if not isinstance(result, Result):
            raise RefusedError(422, result)
        self._count(result)
        return result

    async def _answers(
        self, image: str | bytes, tasks: list[Question], options: AnswerOptions, begin: float
    ) -> tuple[ImageSize, list[Answer]]:
        deadline = begin + self._limits.seconds
        settings = self._asking.settings(options)
        picture = await self._asking.picture(image, deadline)
        found = await self._asking.answers(picture, tasks, settings, deadline)
        answers = []
        for question, result in zip(tasks, found, strict=True):
            if isinstance(result, Result):
                answers.append(answer_of(result))
                self._count(result)
            else:
                answers.append(Answer(task=question.task, error=result))
        return picture.size, answers

    def _count(self, result: Result) -> None:
        """Prompts of fine-tuned models are one label: they must not make labels without end."""
        token = result.task.token if result.task.token in _KNOWN else "other"
        self._metrics.count_answer(token, len(result.token_ids))


async def _parsed(request: Request, kind: type[Model]) -> Model:
    """The JSON body. Raises ``RefusedError`` (422) for what is none, or not of that form."""
    try:
        return TypeAdapter(kind).validate_json(await request.body())
    except ValidationError as error:
        raise RefusedError(422, told(error.errors())) from error


def told(errors: Iterable[Any]) -> str:
    """The first few errors of a validation, each with its place."""
    words = []
    for each in list(errors)[:3]:
        place = ".".join(str(part) for part in each["loc"])
        words.append(f"{place}: {each['msg']}" if place else str(each["msg"]))
    # What cannot be written as UTF-8 is escaped.
    return json.dumps("; ".join(words), ensure_ascii=False)[1:-1]
