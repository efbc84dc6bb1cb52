"""Handlers of the routes: one image, a batch, a chat."""

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
from .fair_pool import JobKey
from .prometheus import Metrics
from .request_limits import RequestError, RequestLimits
from .service import PredictionService, RequestContext
from .upload import MULTIPART, URLENCODED, Upload, read_upload
from .uploaded_file import FilePosition
from .validation_errors import describe_errors
from .wire_schema import (
    FIELD_NAMES,
    BatchItem,
    BatchRequest,
    BatchResponse,
    ChatRequest,
    RunRequest,
    RunResponse,
    TaskResult,
    to_task_result,
)

Model = TypeVar("Model", bound=BaseModel)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TASK_TOKENS = {task.token for task in TASKS} | {each.task.token for each in CASCADES}


class RequestHandler:
    """Handles the requests of the routes with a ``PredictionService``.

    All methods raise ``RequestError``.
    """

    def __init__(self, service: PredictionService, metrics: Metrics, limits: RequestLimits) -> None:
        self._service, self._metrics, self._limits = service, metrics, limits
        self._request_numbers = itertools.count()

    async def run(self, request: Request) -> RunResponse:
        """Results for one image, from JSON or a form."""
        begin, context = time.monotonic(), self._make_context(request)
        content_type = request.headers.get("content-type", "")
        body = await request.body()
        media_type = content_type.partition(";")[0].strip().lower()
        # curl -d sends JSON with the content type of a form.
        is_json = media_type == URLENCODED and body.lstrip()[:1] in b"{["
        parsed: Upload | RunRequest
        if media_type in (MULTIPART, URLENCODED) and not is_json:
            parsed = await self._service.parse(context.key, lambda: read_upload(body, content_type))
        else:
            parsed = await self._parse_body(context, body, RunRequest)
        size, results = await self._predict(parsed, context)
        if len(results) == 1 and results[0].error is not None:
            raise RequestError(422, results[0].error)
        return RunResponse(image_size=size, answers=results, seconds=time.monotonic() - begin)

    async def batch(self, request: Request) -> BatchResponse:
        """Results for several images; an error only if all of them are rejected."""
        begin, context = time.monotonic(), self._make_context(request)
        parsed = await self._parse_body(context, await request.body(), BatchRequest)
        limit = self._limits.images
        if len(parsed.requests) > limit:
            raise RequestError(422, f"at most {limit} images, got {len(parsed.requests)}")

        async def run(item: RunRequest) -> BatchItem | RequestError:
            try:
                size, results = await self._predict(item, context)
            except RequestError as error:
                return error
            return BatchItem(image_size=size, answers=results)

        found = await asyncio.gather(*map(run, parsed.requests))
        errors = [each for each in found if isinstance(each, RequestError)]
        rejected = [each for each in errors if each.status in (429, 503)]
        if len(rejected) == len(found):
            raise rejected[0]
        items = [
            BatchItem(error=str(each)) if isinstance(each, RequestError) else each for each in found
        ]
        return BatchResponse(results=items, seconds=time.monotonic() - begin)

    async def complete(self, request: Request) -> tuple[ChatRequest, Result, chat.Usage]:
        """The result for the last prompt and the last image of a chat, with the tokens used."""
        context = self._make_context(request)
        parsed = await self._parse_body(context, await request.body(), ChatRequest)
        content, task = chat.parse_prompt(parsed)
        config, usage = self._service.make_config(chat.parse_options(parsed)), chat.Usage()
        position = FilePosition(parsed.page, parsed.seconds)
        image = await self._service.load_image(content, context, position)
        (result,) = await self._service.predict(image, [task], config, context, usage)
        if not isinstance(result, Result):
            raise RequestError(422, result)
        self._count(result)
        return parsed, result, usage

    def _make_context(self, request: Request) -> RequestContext:
        client = request.client.host if request.client else ""
        key = JobKey(client, next(self._request_numbers))
        return RequestContext(time.monotonic() + self._limits.seconds, key)

    async def _parse_body(self, context: RequestContext, body: bytes, kind: type[Model]) -> Model:
        """Parse a JSON body. Raises ``RequestError`` (422) for invalid JSON or fields."""
        return await self._service.parse(
            context.key, lambda: parse_json(body, kind, self._limits.values)
        )

    async def _predict(
        self, parsed: RunRequest | Upload, context: RequestContext
    ) -> tuple[ImageSize, list[TaskResult]]:
        config = self._service.make_config(parsed.options)
        position = FilePosition(parsed.page, parsed.seconds)
        image = await self._service.load_image(parsed.image, context, position)
        found = await self._service.predict(image, parsed.tasks, config, context)
        results = []
        for task, result in zip(parsed.tasks, found, strict=True):
            if isinstance(result, Result):
                results.append(to_task_result(result))
                self._count(result)
            else:
                results.append(TaskResult(task=task.task, error=result))
        return image.size, results

    def _count(self, result: Result) -> None:
        """Count a result; all prompts of fine-tuned models share one label."""
        token = result.task.token if result.task.token in _TASK_TOKENS else "other"
        self._metrics.count_answer(token, len(result.token_ids))


def parse_json(body: bytes, kind: type[Model], max_values: int) -> Model:
    """Parse JSON with at most ``max_values`` values. Raises ``RequestError`` (413, 422)."""
    # Checked before parsing; a file in base64 has no such characters.
    if sum(body.count(character) for character in (b",", b"[", b"{")) > max_values:
        raise RequestError(413, f"the JSON of a request has at most {max_values:,} values")
    try:
        found: Model = _adapter(kind).validate_json(body.removeprefix(_BYTE_ORDER_MARK))
    except ValidationError as error:
        raise RequestError(422, describe_errors(error, FIELD_NAMES)) from error
    return found


@lru_cache
def _adapter(kind: type[BaseModel]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
