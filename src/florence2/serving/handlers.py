"""What the routes do: an image, a batch, a chat; every answer is counted."""

from __future__ import annotations

import asyncio
import itertools
import time
from functools import lru_cache
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError

from ..inference.cascades import CASCADES
from ..results.tasks import TASKS
from ..results.types import ImageSize, Result
from . import openai_chat as chat
from .fair_pool import Turn
from .prometheus import Metrics
from .request_limits import RequestError, RequestLimits
from .service import PredictionService
from .upload import MULTIPART, URLENCODED, Upload, read_upload
from .uploaded_file import Place
from .validation_errors import describe_errors
from .wire_schema import (
    FIELD_NAMES,
    Answer,
    BatchAnswer,
    BatchItem,
    BatchRequest,
    ChatRequest,
    RunAnswer,
    RunRequest,
    answer_of,
)

Model = TypeVar("Model", bound=BaseModel)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_KNOWN = {task.token for task in TASKS} | {each.task.token for each in CASCADES}


class RequestHandler:
    """The work of the routes over one ``PredictionService``; errors are ``RequestError``."""

    def __init__(self, asking: PredictionService, metrics: Metrics, limits: RequestLimits) -> None:
        self._asking, self._metrics, self._limits = asking, metrics, limits
        self._numbers = itertools.count()

    async def run(self, request: Request) -> RunAnswer:
        """The answers about one image, from JSON or a form."""
        begin, turn = time.monotonic(), self._turn(request)
        kind = request.headers.get("content-type", "")
        body = await request.body()
        name = kind.partition(";")[0].strip().lower()
        # curl -d sends JSON under the type of a form.
        is_form = name == MULTIPART or (name == URLENCODED and body.lstrip()[:1] not in b"{[")
        asked: Upload | RunRequest
        if is_form:
            asked = await self._asking.parse(turn, lambda: read_upload(body, kind))
        else:
            asked = await self._parsed(turn, body, RunRequest)
        size, answers = await self._answers(asked, begin, turn)
        if len(answers) == 1 and answers[0].error is not None:
            raise RequestError(422, answers[0].error)
        return RunAnswer(image_size=size, answers=answers, seconds=time.monotonic() - begin)

    async def batch(self, request: Request) -> BatchAnswer:
        """The answers about several images; refused as a whole only when all of them are."""
        begin, most, turn = time.monotonic(), self._limits.pictures, self._turn(request)
        asked = await self._parsed(turn, await request.body(), BatchRequest)
        if len(asked.requests) > most:
            raise RequestError(422, f"at most {most} pictures, got {len(asked.requests)}")

        async def one(each: RunRequest) -> BatchItem | RequestError:
            try:
                size, answers = await self._answers(each, begin, turn)
            except RequestError as error:
                return error
            return BatchItem(image_size=size, answers=answers)

        found = await asyncio.gather(*map(one, asked.requests))
        refused = [each for each in found if isinstance(each, RequestError)]
        busy = [each for each in refused if each.status in (429, 503)]
        if len(busy) == len(found):
            raise busy[0]
        items = [
            BatchItem(error=str(each)) if isinstance(each, RequestError) else each for each in found
        ]
        return BatchAnswer(results=items, seconds=time.monotonic() - begin)

    async def complete(self, request: Request) -> tuple[ChatRequest, Result, chat.Usage]:
        """The answer to the last words of a chat about its last image, and what it took."""
        deadline, turn = time.monotonic() + self._limits.seconds, self._turn(request)
        asked = await self._parsed(turn, await request.body(), ChatRequest)
        image, question = chat.question_of(asked)
        settings, usage = self._asking.settings(chat.options_of(asked)), chat.Usage()
        place = Place(asked.page, asked.seconds)
        picture = await self._asking.picture(image, deadline, turn, place)
        (result,) = await self._asking.answers(picture, [question], settings, deadline, turn, usage)
        if not isinstance(result, Result):
            raise RequestError(422, result)
        self._count(result)
        return asked, result, usage

    def _turn(self, request: Request) -> Turn:
        return Turn(request.client.host if request.client else "", next(self._numbers))

    async def _parsed(self, turn: Turn, body: bytes, kind: type[Model]) -> Model:
        """The JSON body. Raises ``RequestError`` (422) for what is none, or not of that form."""
        return await self._asking.parse(turn, lambda: parse_json(body, kind, self._limits.values))

    async def _answers(
        self, asked: RunRequest | Upload, begin: float, turn: Turn
    ) -> tuple[ImageSize, list[Answer]]:
        deadline, tasks = begin + self._limits.seconds, asked.tasks
        settings, place = self._asking.settings(asked.options), Place(asked.page, asked.seconds)
        picture = await self._asking.picture(asked.image, deadline, turn, place)
        found = await self._asking.answers(picture, tasks, settings, deadline, turn)
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


def parse_json(body: bytes, kind: type[Model], most: int) -> Model:
    """The JSON in ``body``, of at most ``most`` values. Raises ``RequestError`` (413, 422)."""
    # Before anything is made of them: no request needs so many, and files in base64 have none.
    if sum(body.count(each) for each in (b",", b"[", b"{")) > most:
        raise RequestError(413, f"the JSON of a request has at most {most:,} values")
    try:
        found: Model = _adapter(kind).validate_json(body.removeprefix(_BYTE_ORDER_MARK))
    except ValidationError as error:
        raise RequestError(422, describe_errors(error, FIELD_NAMES)) from error
    return found


@lru_cache
def _adapter(kind: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
