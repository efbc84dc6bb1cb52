"""Predictions for request handlers: images are loaded, requests submitted, deadlines kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from ..inference.cascades import Cascade, find_cascade
from ..inference.prepared import InferenceConfig, LoadedImage
from ..io.fetch import UrlFetcher
from ..processing.image import is_url
from ..processing.processor import TextInput
from ..results.types import Failure, Result
from .engine_worker import Worker
from .fair_pool import ANONYMOUS, FairPool, JobKey
from .openai_chat import Usage
from .request_limits import RequestError
from .uploaded_file import WHOLE_FILE, FilePosition, is_large_file
from .wire_schema import RequestOptions, TaskRequest

ImageContent = str | bytes
Value = TypeVar("Value")
_RETRY_SECONDS = 2.0
_PARSERS, _FETCHERS, _CASCADES = 2, 8, 16
# Errors of the input, which the client can fix.
_USER_ERRORS = (ValueError, TypeError, OSError, ImportError)


class RequestContext(NamedTuple):
    """The client of a request, and the time (``time.monotonic``) at which it must be done."""

    deadline: float
    key: JobKey = ANONYMOUS

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())


class _PendingFutures:
    """The futures of one request, which other threads add and the event loop cancels."""

    def __init__(self) -> None:
        self.futures: dict[int, Future[Result]] = {}
        self.canceled = False

    def add(self, index: int, future: Future[Result]) -> None:
        """Add a future; after ``cancel`` it is canceled at once."""
        self.futures[index] = future
        if self.canceled:
            future.cancel()

    def cancel(self) -> None:
        """Cancel all futures, and those that are added later."""
        self.canceled = True
        for future in list(self.futures.values()):
            future.cancel()


class PredictionService:
    """Predictions for request handlers, over one worker.

    Slow work runs in threads in which clients take turns: nothing is decoded, parsed or
    tokenized on the event loop.

    Args:
        worker: the worker.
        fetch: downloads images; without it URLs are refused.
    """

    def __init__(self, worker: Worker, fetch: UrlFetcher | None = None) -> None:
        self._worker, self._fetch = worker, fetch
        self._parsers = FairPool(_PARSERS, "florence2-parse")
        self._fetchers = FairPool(_FETCHERS, "florence2-fetch") if fetch else None
        self._cascades = FairPool(_CASCADES, "florence2-cascade")

    def close(self) -> None:
        """Stop the threads."""
        for pool in (self._parsers, self._fetchers, self._cascades):
            if pool is not None:
                pool.close()

    async def parse(self, key: JobKey, call: Callable[[], Value]) -> Value:
        """Run ``call`` in a thread for work without the model."""
        return await asyncio.wrap_future(self._parsers.submit(key, call))

    def make_config(self, options: RequestOptions) -> InferenceConfig:
        """The options of a request as a config. Raises ``RequestError`` (422)."""
        try:
            return InferenceConfig.of(options.drop_none())
        except _USER_ERRORS as error:
            raise RequestError(422, str(error)) from error

    async def load_image(
        self, content: ImageContent, context: RequestContext, position: FilePosition = WHOLE_FILE
    ) -> LoadedImage:
        """Load an image: bytes of a file, base64, or a URL.

        Raises:
            RequestError: 422 for a file without such an image, 503 after the deadline.
        """
        body = content if isinstance(content, bytes) else await self._read_bytes(content, context)
        is_large = await self.parse(context.key, lambda: is_large_file(body, position))
        loading = self._worker.load_image(body, context.key, position, is_large)
        return await _await_before(asyncio.wrap_future(loading), context, "reading the image")

    async def predict(
        self,
        image: LoadedImage,
        tasks: Sequence[TaskRequest],
        config: InferenceConfig,
        context: RequestContext,
        usage: Usage | None = None,
    ) -> list[Result | str]:
        """A result, or an error message, for each task of an image.

        When the caller is canceled, the submitted tasks are canceled too.

        Args:
            image: the image.
            tasks: tasks and cascades with their inputs.
            config: options of the tasks.
            context: client and deadline.
            usage: counts the tokens.

        Raises:
            RequestError: 422 for too many tasks, 429 when the queue is full, 503 after the
                deadline.
        """
        limit = self._worker.limits.tasks
        if len(tasks) > limit:
            raise RequestError(422, f"at most {limit} tasks per image, got {len(tasks)}")
        results: list[Any] = [None] * len(tasks)
        simple: dict[int, tuple[str, TextInput | None]] = {}
        cascades: dict[int, Cascade] = {}
        for index, task in enumerate(tasks):
            try:
                cascade = _find_cascade(task)
                if cascade is not None:
                    cascades[index] = cascade
                else:
                    simple[index] = (task.task, _text_input(task))
            except ValueError as error:
                results[index] = str(error)
        pending = _PendingFutures()
        try:
            await self.parse(
                context.key, lambda: self._submit(image, simple, config, results, pending)
            )
            for index, future in pending.futures.items():
                results[index] = await _await_result(asyncio.wrap_future(future), context)
            for index, cascade in cascades.items():
                results[index] = await self._run_cascade(cascade, image, config, context, usage)
        finally:
            pending.cancel()
        if usage is not None:
            done = [results[at] for at in pending.futures if isinstance(results[at], Result)]
            await self.parse(context.key, lambda: self._count_tokens(usage, done))
        return results

    def _submit(
        self,
        image: LoadedImage,
        tasks: dict[int, tuple[str, TextInput | None]],
        config: InferenceConfig,
        results: list[Any],
        pending: _PendingFutures,
    ) -> None:
        """Submit tasks; futures go to ``pending``, messages of errors to ``results``."""
        for index, task in tasks.items():
            if pending.canceled:
                return
            try:
                (future,) = self._worker.submit(image, [task], config)
                pending.add(index, future)
            except _USER_ERRORS as error:
                results[index] = str(error)

    async def _run_cascade(
        self,
        cascade: Cascade,
        image: LoadedImage,
        config: InferenceConfig,
        context: RequestContext,
        usage: Usage | None,
    ) -> Result | str:
        worker = self._worker
        pending = _PendingFutures()

        def on_submit(futures: Sequence[Future[Result]]) -> None:
            for future in futures:
                pending.add(len(pending.futures), future)

        def predict(tasks: Sequence[tuple[Any, Any]]) -> list[Result | Failure]:
            found = worker.predict(image, tasks, config, context.seconds_left, on_submit)
            if usage is not None:
                self._count_tokens(usage, [each for each in found if isinstance(each, Result)])
            return found

        def run() -> Result:
            worker.pin(image)
            try:
                return cascade.run(predict)
            finally:
                worker.unpin(image)

        try:
            running = asyncio.wrap_future(self._cascades.submit(context.key, run))
            return await _await_result(running, context)
        finally:
            pending.cancel()

    def _count_tokens(self, usage: Usage, results: Sequence[Result]) -> None:
        processor = self._worker.model.processor
        usage.image_tokens = processor.image_tokens
        for result in results:
            usage.add(result, len(processor.tokenizer.encode_prompt(result.prompt)))

    async def _read_bytes(self, text: str, context: RequestContext) -> bytes:
        if is_url(text):
            fetch = self._fetch
            if fetch is None or self._fetchers is None:
                raise RequestError(
                    422,
                    "images are not fetched from URLs here: send the file, or start the "
                    "server with --allow-urls",
                )
            fetching = asyncio.wrap_future(self._fetchers.submit(context.key, lambda: fetch(text)))
            content: bytes = await _await_before(fetching, context, "fetching the image")
            return content
        return await self.parse(context.key, lambda: decode_base64(text))


def _find_cascade(task: TaskRequest) -> Cascade | None:
    """The cascade of a task, if it is one. Raises ``ValueError`` for a cascade with an input."""
    cascade = find_cascade(task.task)
    if cascade is not None and (task.text or task.region):
        raise ValueError(f"{cascade.name} takes no text and no region: leave them out")
    return cascade


def _text_input(task: TaskRequest) -> TextInput | None:
    """The text or the region of a task. Raises ``ValueError`` for both."""
    if task.region is None:
        return task.text
    if task.text is not None:
        raise ValueError("a task takes a text or a region, not both: leave one out")
    x0, y0, x1, y1 = task.region
    return x0, y0, x1, y1


def decode_base64(text: str) -> bytes:
    """Decode base64 or a data: URL. Raises ``RequestError`` (422).

    Padding may be missing, the alphabet may be the URL-safe one, white space is ignored.
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.rstrip().lower().endswith(";base64"):
            raise RequestError(
                422, "a data: URL holds the file in base64: data:image/png;base64,AAAA"
            )
    elif (scheme := _find_scheme(text)) is not None:
        raise RequestError(422, f"{scheme}: URLs are not supported: send the content of the file")
    content = unquote_to_bytes(text) if "%" in text[:200] or "%" in text[-20:] else text.encode()
    content = b"".join(content.split()).translate(_STANDARD_ALPHABET).rstrip(b"=")
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(422, f"the image is not valid base64 ({error})") from error


_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")


def _find_scheme(text: str) -> str | None:
    """The scheme of a URL; None for other text."""
    scheme, colon, _ = text[:40].partition(":")
    return scheme.lower() if colon and scheme.isalnum() and scheme.isascii() else None


async def _await_result(future: Any, context: RequestContext) -> Result | str:
    """The result, or the message of an error that concerns this task only."""
    try:
        result: Result = await asyncio.wait_for(future, context.seconds_left)
    except TimeoutError as error:
        raise RequestError(503, "the request took too long", _RETRY_SECONDS) from error
    except ValueError as error:
        return str(error)
    except RuntimeError as error:
        raise RequestError(503, str(error), _RETRY_SECONDS) from error
    return result


async def _await_before(future: Any, context: RequestContext, what: str) -> Any:
    try:
        return await asyncio.wait_for(future, context.seconds_left)
    except TimeoutError as error:
        raise RequestError(503, f"{what} took too long", _RETRY_SECONDS) from error
    except _USER_ERRORS as error:
        raise RequestError(422, str(error)) from error
