"""From what came over the wire to answers: pictures are got, questions asked, time is kept."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from ..image import is_address
from ..io.fetch import UrlFetcher
from ..processor import TextInput
from ..requests import Picture, Settings
from ..results import Result
from ..workflows.cascades import Cascade, find_cascade
from .limits import RefusedError
from .schema import AnswerOptions, Question
from .worker import Worker

ImageContent = str | bytes
_RETRY_SECONDS = 2.0
# Errors of input: the caller's to mend.
_UNFIT = (ValueError, TypeError, OSError)


class Asking:
    """Answers about pictures for request handlers, over one worker.

    ``fetch`` gets pictures from addresses; without it addresses are refused.
    """

    def __init__(self, worker: Worker, fetch: UrlFetcher | None = None) -> None:
        self._worker, self._fetch = worker, fetch

    def settings(self, options: AnswerOptions) -> Settings:
        """The settings of a request. Raises ``RefusedError`` (422)."""
        try:
            return Settings.of(options.given())
        except _UNFIT as error:
            raise RefusedError(422, str(error)) from error

    async def picture(self, content: ImageContent, deadline: float) -> Picture:
        """The picture. Raises ``RefusedError``: 422 for what is no picture, 503 without time."""
        body = content if isinstance(content, bytes) else await self._bytes(content, deadline)
        reading = asyncio.wrap_future(self._worker.read(body))
        return await _in_time(reading, deadline, "reading the picture")

    async def answers(
        self, picture: Picture, questions: Sequence[Question], settings: Settings, deadline: float
    ) -> list[Result | str]:
        """An answer, or why there is none, for every question about a picture.

        A question that cannot be asked is an error in its place. Raises ``RefusedError``: 429 when
        the queue is full, 503 when the time is up.
        """
        limit = self._worker.limits.tasks
        if len(questions) > limit:
            raise RefusedError(422, f"at most {limit} tasks a picture, got {len(questions)}")
        placed: list[Any] = [None] * len(questions)
        simple: dict[int, tuple[str, TextInput | None]] = {}
        cascades: dict[int, Cascade] = {}
        for index, question in enumerate(questions):
            found = find_cascade(question.task)
            if found is not None:
                cascades[index] = found
                continue
            words: TextInput | None = question.text
            if question.region is not None:
                x0, y0, x1, y1 = question.region
                words = (x0, y0, x1, y1)
            simple[index] = (question.task, words)
        waiting = self._ask(picture, simple, settings, placed)
        try:
            for index, future in waiting.items():
                placed[index] = await _answer(asyncio.wrap_future(future), deadline)
            for index, cascade in cascades.items():
                placed[index] = await self._cascade(cascade, picture, settings, deadline)
        finally:
            for future in waiting.values():
                future.cancel()
        return placed

    def _ask(
        self,
        picture: Picture,
        simple: dict[int, tuple[str, TextInput | None]],
        settings: Settings,
        placed: list[Any],
    ) -> dict[int, Future[Result]]:
        """Futures of the questions that can be asked; errors of the others go to ``placed``."""
        waiting: dict[int, Future[Result]] = {}
        try:
            for index, question in simple.items():
                try:
                    (waiting[index],) = self._worker.ask(picture, [question], settings)
                except _UNFIT as error:
                    placed[index] = str(error)
        except RefusedError:
            for future in waiting.values():
                future.cancel()
            raise
        return waiting

    async def _cascade(
        self, cascade: Cascade, picture: Picture, settings: Settings, deadline: float
    ) -> Result | str:
        worker = self._worker

        def run() -> Result:
            worker.hold(picture)
            try:
                return cascade.run(
                    lambda questions: worker.answers(
                        picture, questions, settings, max(0.0, deadline - time.monotonic())
                    )
                )
            finally:
                worker.release(picture)

        return await _answer(asyncio.to_thread(run), deadline)

    async def _bytes(self, text: str, deadline: float) -> bytes:
        if is_address(text):
            if self._fetch is None:
                raise RefusedError(
                    422, "pictures are not fetched from addresses here: send the file"
                )
            fetching = asyncio.to_thread(self._fetch, text)
            return await _in_time(fetching, deadline, "fetching the picture")
        if text[:5].lower() == "data:":
            head, _, text = text.partition(",")
            if not head.lower().endswith(";base64"):
                raise RefusedError(422, "a data: address holds the file in base64")
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise RefusedError(422, f"the picture is no base64 ({error})") from error


async def _answer(waiting: Any, deadline: float) -> Result | str:
    """The result, or the words of an error that concerns this question alone."""
    try:
        result: Result = await asyncio.wait_for(waiting, max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise RefusedError(503, "the answer took too long", _RETRY_SECONDS) from error
    except ValueError as error:
        return str(error)
    except RuntimeError as error:
        raise RefusedError(503, str(error), _RETRY_SECONDS) from error
    return result


async def _in_time(waiting: Any, deadline: float, what: str) -> Any:
    try:
        return await asyncio.wait_for(waiting, max(0.0, deadline - time.monotonic()))
    except TimeoutError as error:
        raise RefusedError(503, f"{what} took too long", _RETRY_SECONDS) from error
    except _UNFIT as error:
        raise RefusedError(422, str(error)) from error
