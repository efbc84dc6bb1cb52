"""From what came over the wire to answers: pictures are got, questions asked, time is kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from ..inference.cascades import Cascade, find_cascade
from ..inference.prepared import InferenceConfig, LoadedImage
from ..io.fetch import UrlFetcher
from ..processing.image import is_url
from ..processing.processor import TextInput
from ..results.types import Failure, Result
from .engine_worker import Worker
from .fair_pool import ANYONE, FairPool, Turn
from .openai_chat import Usage
from .request_limits import RequestError
from .uploaded_file import WHOLE_FILE, Place, is_large_file
from .wire_schema import AnswerOptions, Question

ImageContent = str | bytes
Value = TypeVar("Value")
_RETRY_SECONDS = 2.0
_PARSERS, _FETCHERS, _CASCADES = 2, 8, 16
# Errors of input: the caller's to mend.
_UNFIT = (ValueError, TypeError, OSError, ImportError)


class _Futures:
    """Futures of one request, which other threads add and the event loop cancels."""

    def __init__(self) -> None:
        self.found: dict[int, Future[Result]] = {}
        self.gone = False

    def add(self, index: int, future: Future[Result]) -> None:
        """Keep a future; after ``cancel`` it is cancelled at once."""
        self.found[index] = future
        if self.gone:
            future.cancel()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self.gone = True
        for future in list(self.found.values()):
            future.cancel()


class PredictionService:
    """Answers about pictures for request handlers, over one worker.

    ``fetch`` gets pictures from URLs; without it URLs are refused. What takes time runs in
    threads, in which clients take turns; nothing is read, parsed or tokenized on the event loop.
    """

    def __init__(self, worker: Worker, fetch: UrlFetcher | None = None) -> None:
        self._worker, self._fetch = worker, fetch
        self._parsers = FairPool(_PARSERS, "florence2-parse")
        self._fetchers = FairPool(_FETCHERS, "florence2-fetch") if fetch else None
        self._cascades = FairPool(_CASCADES, "florence2-cascade")

    def close(self) -> None:
        """Let the threads end."""
        for pool in (self._parsers, self._fetchers, self._cascades):
            if pool is not None:
                pool.close()

    async def parse(self, turn: Turn, call: Callable[[], Value]) -> Value:
        """What ``call`` returns, run by a thread for work that needs no model."""
        return await asyncio.wrap_future(self._parsers.submit(turn, call))

    def settings(self, options: AnswerOptions) -> InferenceConfig:
        """The settings of a request. Raises ``RequestError`` (422)."""
        try:
            return InferenceConfig.of(options.given())
        except _UNFIT as error:
            raise RequestError(422, str(error)) from error

    async def picture(
        self,
        content: ImageContent,
        deadline: float,
        turn: Turn = ANYONE,
        place: Place = WHOLE_FILE,
    ) -> LoadedImage:
        """The picture at a place of the file. Raises ``RequestError``: 422 for what is no picture,
        503 without time."""
        body = content if isinstance(content, bytes) else await self._bytes(content, deadline, turn)
        is_large = await self.parse(turn, lambda: is_large_file(body, place))
        reading = asyncio.wrap_future(self._worker.read(body, turn, place, is_large))
        return await _in_time(reading, deadline, "reading the picture")

    async def answers(
        self,
        picture: LoadedImage,
        questions: Sequence[Question],
        settings: InferenceConfig,
        deadline: float,
        turn: Turn = ANYONE,
        usage: Usage | None = None,
    ) -> list[Result | str]:
        """An answer, or why there is none, for every question about a picture.

        A question that cannot be asked is an error in its place; ``usage`` counts the tokens.
        Raises ``RequestError``: 429 when the queue is full, 503 when the time is up. When the
        caller is cancelled, so is what it asked.
        """
        limit = self._worker.limits.tasks
        if len(questions) > limit:
            raise RequestError(422, f"at most {limit} tasks a picture, got {len(questions)}")
        placed: list[Any] = [None] * len(questions)
        simple: dict[int, tuple[str, TextInput | None]] = {}
        cascades: dict[int, Cascade] = {}
        for index, question in enumerate(questions):
            found = find_cascade(question.task)
            if found is not None:
                if question.text or question.region:
                    placed[index] = f"{found.name} takes no text and no region: leave them out"
                else:
                    cascades[index] = found
                continue
            words: TextInput | None = question.text
            if question.region is not None:
                if words is not None:
                    placed[index] = "a question has a text or a region, not both: leave one out"
                    continue
                x0, y0, x1, y1 = question.region
                words = (x0, y0, x1, y1)
            simple[index] = (question.task, words)
        waiting = _Futures()
        try:
            await self.parse(turn, lambda: self._ask(picture, simple, settings, placed, waiting))
            for index, future in waiting.found.items():
                placed[index] = await _answer(asyncio.wrap_future(future), deadline)
            for index, cascade in cascades.items():
                placed[index] = await self._cascade(
                    cascade, picture, settings, deadline, turn, usage
                )
        finally:
            waiting.cancel()
        if usage is not None:
            done = [placed[at] for at in waiting.found if isinstance(placed[at], Result)]
            await self.parse(turn, lambda: self._count(usage, done))
        return placed

    def _ask(
        self,
        picture: LoadedImage,
        simple: dict[int, tuple[str, TextInput | None]],
        settings: InferenceConfig,
        placed: list[Any],
        waiting: _Futures,
    ) -> None:
        """Put futures of the questions that can be asked into ``waiting``; errors of the others
        go to ``placed``."""
        for index, question in simple.items():
            if waiting.gone:
                return
            try:
                (future,) = self._worker.ask(picture, [question], settings)
                waiting.add(index, future)
            except _UNFIT as error:
                placed[index] = str(error)

    async def _cascade(
        self,
        cascade: Cascade,
        picture: LoadedImage,
        settings: InferenceConfig,
        deadline: float,
        turn: Turn,
        usage: Usage | None,
    ) -> Result | str:
        worker = self._worker
        asked = _Futures()

        def start(futures: Sequence[Future[Result]]) -> None:
            for future in futures:
                asked.add(len(asked.found), future)

        def ask(questions: Sequence[tuple[Any, Any]]) -> list[Result | Failure]:
            left = max(0.0, deadline - time.monotonic())
            found = worker.answers(picture, questions, settings, left, start)
            if usage is not None:
                self._count(usage, [each for each in found if isinstance(each, Result)])
            return found

        def run() -> Result:
            worker.hold(picture)
            try:
                return cascade.run(ask)
            finally:
                worker.release(picture)

        try:
            running = asyncio.wrap_future(self._cascades.submit(turn, run))
            return await _answer(running, deadline)
        finally:
            asked.cancel()

    def _count(self, usage: Usage, results: Sequence[Result]) -> None:
        processor = self._worker.model.processor
        usage.image_tokens = processor.image_tokens
        for result in results:
            usage.add(result, len(processor.tokenizer.encode_prompt(result.prompt)))

    async def _bytes(self, text: str, deadline: float, turn: Turn) -> bytes:
        if is_url(text):
            fetch = self._fetch
            if fetch is None or self._fetchers is None:
                raise RequestError(
                    422,
                    "pictures are not fetched from URLs here: send the file, or start the "
                    "server with --allow-urls",
                )
            fetching = asyncio.wrap_future(self._fetchers.submit(turn, lambda: fetch(text)))
            content: bytes = await _in_time(fetching, deadline, "fetching the picture")
            return content
        return await self.parse(turn, lambda: decode_base64(text))


def decode_base64(text: str) -> bytes:
    """The file in base64 or in a data: URL, in the forms that clients write.

    Padding may be missing, the alphabet may be the one for URLs, white space is passed over.
    Raises ``RequestError`` (422).
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.rstrip().lower().endswith(";base64"):
            raise RequestError(
                422, "a data: URL holds the file in base64: data:image/png;base64,AAAA"
            )
    elif (scheme := _scheme(text)) is not None:
        raise RequestError(
            422, f"a picture cannot be read from {scheme}: URLs here: send the content of the file"
        )
    content = unquote_to_bytes(text) if "%" in text[:200] or "%" in text[-20:] else text.encode()
    content = b"".join(content.split()).translate(_STANDARD).rstrip(b"=")
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(422, f"the picture is no base64 ({error})") from error


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _scheme(text: str) -> str | None:
    """The scheme of a text that is a URL."""
    scheme, colon, _ = text[:40].partition(":")
    return scheme.lower() if colon and scheme.isalnum() and scheme.isascii() else None


async def _answer(waiting: Any, deadline: float) -> Result | str:
    """The result, or the words of an error that concerns this question alone."""
    try:
        result: Result = await asyncio.wait_for(waiting, max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise RequestError(503, "the answer took too long", _RETRY_SECONDS) from error
    except ValueError as error:
        return str(error)
    except RuntimeError as error:
        raise RequestError(503, str(error), _RETRY_SECONDS) from error
    return result


async def _in_time(waiting: Any, deadline: float, what: str) -> Any:
    try:
        return await asyncio.wait_for(waiting, max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise RequestError(503, f"{what} took too long", _RETRY_SECONDS) from error
    except _UNFIT as error:
        raise RequestError(422, str(error)) from error
