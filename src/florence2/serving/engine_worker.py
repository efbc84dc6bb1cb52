"""One thread that drives the engine; everybody else hands it questions and waits for futures."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ..generation import Engine, Generated, GenerationRequest
from ..inference.predictor import Florence2
from ..inference.prefetch import get_constraint, prepare_request
from ..inference.prepared import InferenceConfig, LoadedImage, PreparedRequest
from ..processing.image import ImageSource, load_image
from ..processing.processor import TextInput
from ..results.tasks import Task
from ..results.types import Failure, Result
from .fair_pool import ANYONE, FairPool, Turn
from .request_limits import RequestError, RequestLimits
from .uploaded_file import WHOLE_FILE, Place, load_uploaded

# Seconds to come back in, where nothing better is known.
_RETRY_SECONDS = 1.0


@dataclass(eq=False)
class _Asked:
    """A question on its way through the engine; ``number`` is the engine's."""

    prepared: PreparedRequest
    settings: InferenceConfig
    future: Future[Result]
    number: int | None = None


@dataclass
class _Inbox:
    """What other threads leave for the engine's."""

    asked: deque[_Asked] = field(default_factory=deque)
    orders: deque[Callable[[], None]] = field(default_factory=deque)


class Worker:
    """Answers questions of many callers through one engine; its own thread runs it.

    ``most`` answers run at a time, within ``memory`` bytes of attention; at most ``limits.queue``
    wait or run. ``close`` lets what was taken finish, or not.
    """

    def __init__(
        self,
        model: Florence2,
        limits: RequestLimits = RequestLimits(),  # noqa: B008 - frozen
        *,
        most: int = 16,
        memory: int | None = None,
        readers: int = 2,
    ) -> None:
        self.model, self.limits = model, limits
        self._engine = Engine(model.runtime, max_num_seqs=most, memory=memory)
        self._inbox = _Inbox()
        self._running: dict[int, _Asked] = {}
        self._load = 0
        self._closed = self._abandoned = False
        self._changed = threading.Condition()
        self._readers = FairPool(readers, "florence2-pictures")
        # Large pictures have a thread of their own: the others do not wait for them.
        self._large_readers = FairPool(1, "florence2-large-pictures")
        self._thread = threading.Thread(target=self._run, name="florence2-engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """How many answers wait or run."""
        return self._load

    @property
    def alive(self) -> bool:
        """Whether questions are taken: the thread runs and nobody has closed it."""
        return self._thread.is_alive() and not self._closed

    def read(
        self,
        image: ImageSource,
        turn: Turn = ANYONE,
        place: Place = WHOLE_FILE,
        is_large: bool = False,
    ) -> Future[LoadedImage]:
        """A picture made ready by a thread; its errors are those of ``load_image``.

        ``place`` chooses a page or frame; what ``is_large_file`` is read apart. Clients and
        requests take turns. Raises ``RequestError`` (503) after ``close``.
        """
        try:
            readers = self._large_readers if is_large else self._readers
            return readers.submit(turn, lambda: self._read(image, place))
        except RuntimeError as error:
            raise RequestError(503, "the server is stopping", _RETRY_SECONDS) from error

    def ask(
        self,
        picture: LoadedImage,
        questions: Sequence[tuple[str | Task, TextInput | None]],
        settings: InferenceConfig,
    ) -> list[Future[Result]]:
        """A future for every question about one picture; all are taken, or none.

        Raises ``ValueError`` for a question that cannot be asked and ``RequestError`` (429) when
        there is no room in the queue, or (503) after ``close``.
        """
        processor = self.model.processor
        asked = [
            _Asked(prepare_request(processor, picture, task, text), settings, Future())
            for task, text in questions
        ]
        with self._changed:
            if self._closed:
                raise RequestError(503, "the server is stopping", _RETRY_SECONDS)
            if self._load and self._load + len(asked) > self.limits.queue:
                raise RequestError(
                    429, f"{self._load} answers wait or run, as many as may", _RETRY_SECONDS
                )
            self._load += len(asked)
            self._inbox.asked.extend(asked)
            self._changed.notify_all()
        for each in asked:
            each.future.add_done_callback(self._one_less)
        return [each.future for each in asked]

    def answers(
        self,
        picture: LoadedImage,
        questions: Sequence[tuple[str | Task, TextInput | None]],
        settings: InferenceConfig,
        seconds: float | None = None,
        started: Callable[[Sequence[Future[Result]]], None] | None = None,
    ) -> list[Result | Failure]:
        """The answers to questions about one picture, waited for: the ``Ask`` of a cascade.

        ``started`` is given the futures, to cancel them. A question that cannot be asked or
        answered gives a ``Failure``. Raises ``TimeoutError``, and ``RequestError`` as ``ask`` does.
        """
        until = None if seconds is None else time.monotonic() + seconds
        placed: list[Result | Failure | Future[Result]] = []
        for question in questions:
            try:
                futures = self.ask(picture, [question], settings)
                placed += futures
                if started is not None:
                    started(futures)
            except (ValueError, TypeError) as error:
                placed.append(Failure("", str(error)))
        answers: list[Result | Failure] = []
        for each in placed:
            if not isinstance(each, Future):
                answers.append(each)
                continue
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                answers.append(each.result(left))
            except (ValueError, RuntimeError) as error:
                answers.append(Failure("", str(error)))
        return answers

    def hold(self, picture: LoadedImage) -> None:
        """Keep a picture's encoding for the questions to come, until ``release``."""
        self._order(lambda: self._engine.pin(id(picture)))

    def release(self, picture: LoadedImage) -> None:
        """Nobody asks about a picture any more."""
        # The picture is kept alive until then, so that its key is nobody else's.
        self._order(lambda: self._engine.unpin(id(picture)))

    def close(self, finish: bool = True, seconds: float | None = None) -> None:
        """Take nothing more; wait until what was taken is answered, or give it up."""
        with self._changed:
            self._closed = True
            self._abandoned = self._abandoned or not finish
            self._changed.notify_all()
        self._thread.join(seconds)
        self._readers.close()
        self._large_readers.close()

    def _read(self, image: ImageSource, place: Place) -> LoadedImage:
        most = self.limits.pixels
        if isinstance(image, bytes):
            loaded = load_uploaded(image, place, most)
        else:
            loaded = load_image(image, max_pixels=most)
        return LoadedImage(image, loaded.size, self.model.processor.pixels(loaded))

    def _one_less(self, future: Future[Result]) -> None:
        with self._changed:
            self._load -= 1

    def _order(self, order: Callable[[], None]) -> None:
        with self._changed:
            self._inbox.orders.append(order)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._take():
                for number, outcome in self._engine.step().items():
                    self._finish(self._running.pop(number), outcome)
        except BaseException as error:
            with self._changed:
                self._closed = True
                asked, self._inbox.asked = list(self._inbox.asked), deque()
            self._give_up(f"the engine failed: {error}", asked)
            raise

    def _take(self) -> bool:
        """Move what others left into the engine, waiting for it if nothing runs; False: go home."""
        with self._changed:
            while not (self._inbox.asked or self._inbox.orders or len(self._engine)):
                if self._closed:
                    return False
                self._changed.wait()
            asked, self._inbox.asked = list(self._inbox.asked), deque()
            orders, self._inbox.orders = list(self._inbox.orders), deque()
            abandoned = self._abandoned
        if abandoned:
            self._give_up("the server stopped", asked)
            return False
        for order in orders:
            order()
        for number in [n for n, each in self._running.items() if each.future.cancelled()]:
            self._engine.cancel(number)
            del self._running[number]
        for each in asked:
            if not each.future.cancelled():
                try:
                    self._submit(each)
                # Whatever is wrong with one question, the others go on.
                except Exception as error:
                    self._finish(each, error)
        return True

    def _submit(self, asked: _Asked) -> None:
        picture, prompt = asked.prepared.picture, asked.prepared.prompt
        rule = get_constraint(self.model.processor, asked.prepared, asked.settings)
        options = asked.settings.decoding
        query = GenerationRequest(id(picture), picture.pixels, prompt.token_ids, options, rule)
        self._running[self._engine.submit(query)] = asked

    def _finish(self, asked: _Asked, outcome: Generated | Exception) -> None:
        # A future that was cancelled meanwhile takes no result.
        if not asked.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            asked.future.set_exception(outcome)
            return
        try:
            result = self.model.processor.read(
                outcome.token_ids,
                asked.prepared.prompt,
                asked.prepared.picture.size,
                token_logprobs=outcome.token_logprobs,
                truncated=outcome.truncated,
                options=asked.settings.answers,
            )
        except Exception as error:
            asked.future.set_exception(error)
        else:
            asked.future.set_result(result)

    def _give_up(self, why: str, asked: Sequence[_Asked]) -> None:
        """Fail what is asked and what runs; only the engine's thread may."""
        for each in [*asked, *self._running.values()]:
            if each.future.set_running_or_notify_cancel():
                each.future.set_exception(RuntimeError(why))
        self._running.clear()
