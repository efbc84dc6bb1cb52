"""A thread that runs the generation engine for many clients, which wait for futures."""

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
from ..io.deprecation import renamed_fields
from ..processing.image import ImageSource, load_image
from ..processing.processor import TextInput
from ..results.tasks import Task
from ..results.types import Failure, Result
from .fair_pool import ANONYMOUS, FairPool, JobKey
from .request_limits import RequestError, RequestLimits
from .uploaded_file import WHOLE_FILE, FilePosition, load_uploaded

# Seconds after which a client should try again.
_RETRY_SECONDS = 1.0


@dataclass(eq=False)
class _PendingRequest:
    """A request on its way through the engine, with the future of its result."""

    prepared: PreparedRequest
    settings: InferenceConfig
    future: Future[Result]


@dataclass
class _Inbox:
    """Requests and commands for the engine's thread."""

    requests: deque[_PendingRequest] = field(default_factory=deque)
    commands: deque[Callable[[], None]] = field(default_factory=deque)


@renamed_fields(
    ask="submit",
    answers="predict",
    read="load_image",
    hold="pin",
    release="unpin",
    most="max_num_seqs",
    readers="num_loaders",
)
class Worker:
    """Runs the requests of many clients through one engine, in a thread of its own.

    Args:
        model: the model.
        limits: limits of a request and of the queue.
        max_num_seqs: maximum number of requests that are decoded together.
        memory: maximum bytes of the decoder's key-value cache.
        num_loaders: number of threads that decode images.
    """

    def __init__(
        self,
        model: Florence2,
        limits: RequestLimits = RequestLimits(),  # noqa: B008 - frozen
        *,
        max_num_seqs: int = 16,
        memory: int | None = None,
        num_loaders: int = 2,
    ) -> None:
        self.model, self.limits = model, limits
        self._engine = Engine(model.runtime, max_num_seqs=max_num_seqs, memory=memory)
        self._inbox = _Inbox()
        self._running: dict[int, _PendingRequest] = {}
        self._load = 0
        self._closed = self._aborted = False
        self._changed = threading.Condition()
        self._loaders = FairPool(num_loaders, "florence2-images")
        # Large images have a thread of their own, so that others do not wait for them.
        self._large_loaders = FairPool(1, "florence2-large-images")
        self._thread = threading.Thread(target=self._run, name="florence2-engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """The number of waiting and running requests."""
        return self._load

    @property
    def alive(self) -> bool:
        """Whether requests are accepted: the thread runs and the worker is not closed."""
        return self._thread.is_alive() and not self._closed

    def load_image(
        self,
        image: ImageSource,
        key: JobKey = ANONYMOUS,
        position: FilePosition = WHOLE_FILE,
        is_large: bool = False,
    ) -> Future[LoadedImage]:
        """Decode and preprocess an image in a thread; clients and their requests take turns.

        Args:
            image: the image or the content of its file.
            key: client and request that the job belongs to.
            position: page or frame of the file.
            is_large: use the thread for large files, see ``is_large_file``.

        Raises:
            RequestError: 503 after ``close``. The future raises the errors of
                ``processing.image.load_image``.
        """
        loaders = self._large_loaders if is_large else self._loaders
        try:
            return loaders.submit(key, lambda: self._load_pixels(image, position))
        except RuntimeError as error:
            raise RequestError(503, "the server is stopping", _RETRY_SECONDS) from error

    def submit(
        self,
        image: LoadedImage,
        requests: Sequence[tuple[str | Task, TextInput | None]],
        settings: InferenceConfig,
    ) -> list[Future[Result]]:
        """Submit requests about one image, all or none; returns a future for each.

        Raises:
            ValueError: a request is not valid.
            RequestError: 429 when the queue is full, 503 after ``close``.
        """
        processor = self.model.processor
        pending = [
            _PendingRequest(prepare_request(processor, image, task, text), settings, Future())
            for task, text in requests
        ]
        with self._changed:
            if self._closed:
                raise RequestError(503, "the server is stopping", _RETRY_SECONDS)
            if self._load and self._load + len(pending) > self.limits.queue:
                raise RequestError(
                    429,
                    f"the queue is full: {self._load} requests are waiting or running",
                    _RETRY_SECONDS,
                )
            self._load += len(pending)
            self._inbox.requests.extend(pending)
            self._changed.notify_all()
        for request in pending:
            request.future.add_done_callback(self._on_done)
        return [request.future for request in pending]

    def predict(
        self,
        image: LoadedImage,
        requests: Sequence[tuple[str | Task, TextInput | None]],
        settings: InferenceConfig,
        seconds: float | None = None,
        on_submit: Callable[[Sequence[Future[Result]]], None] | None = None,
    ) -> list[Result | Failure]:
        """Submit requests about one image and wait for their results.

        Args:
            image: the image.
            requests: pairs of task and text input.
            settings: options of the requests.
            seconds: maximum time to wait.
            on_submit: gets the futures, to cancel them.

        Returns:
            A result for each request, a ``Failure`` for one that is not valid or fails.

        Raises:
            TimeoutError: the time is up.
            RequestError: as from ``submit``.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        submitted: list[Future[Result] | Failure] = []
        for request in requests:
            try:
                futures = self.submit(image, [request], settings)
            except (ValueError, TypeError) as error:
                submitted.append(Failure("", str(error)))
                continue
            submitted += futures
            if on_submit is not None:
                on_submit(futures)
        return [
            each if isinstance(each, Failure) else _wait_for_result(each, deadline)
            for each in submitted
        ]

    def pin(self, image: LoadedImage) -> None:
        """Keep the encoding of an image for later requests, until ``unpin``."""
        self._send_command(lambda: self._engine.pin(id(image)))

    def unpin(self, image: LoadedImage) -> None:
        """Release the encoding of an image."""
        # The command keeps the image alive until it runs, so the id() is not reused.
        self._send_command(lambda: self._engine.unpin(id(image)))

    def close(self, finish: bool = True, seconds: float | None = None) -> None:
        """Accept no more requests and wait for the accepted ones.

        Args:
            finish: complete the accepted requests; otherwise they fail.
            seconds: maximum time to wait.
        """
        with self._changed:
            self._closed = True
            self._aborted = self._aborted or not finish
            self._changed.notify_all()
        self._thread.join(seconds)
        self._loaders.close()
        self._large_loaders.close()

    def _load_pixels(self, image: ImageSource, position: FilePosition) -> LoadedImage:
        max_pixels = self.limits.pixels
        if isinstance(image, bytes):
            loaded = load_uploaded(image, position, max_pixels)
        else:
            loaded = load_image(image, max_pixels=max_pixels)
        return LoadedImage(image, loaded.size, self.model.processor.pixels(loaded))

    def _on_done(self, future: Future[Result]) -> None:
        with self._changed:
            self._load -= 1

    def _send_command(self, command: Callable[[], None]) -> None:
        with self._changed:
            self._inbox.commands.append(command)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._dequeue():
                for number, outcome in self._engine.step().items():
                    self._complete(self._running.pop(number), outcome)
        except BaseException as error:
            with self._changed:
                self._closed = True
                pending, self._inbox.requests = list(self._inbox.requests), deque()
            self._fail_all(f"the engine failed: {error}", pending)
            raise

    def _dequeue(self) -> bool:
        """Move requests and commands to the engine; waits for some if nothing is running.

        Returns False when the thread should end.
        """
        with self._changed:
            while not (self._inbox.requests or self._inbox.commands or len(self._engine)):
                if self._closed:
                    return False
                self._changed.wait()
            pending, self._inbox.requests = list(self._inbox.requests), deque()
            commands, self._inbox.commands = list(self._inbox.commands), deque()
            aborted = self._aborted
        if aborted:
            self._fail_all("the server stopped", pending)
            return False
        for command in commands:
            command()
        for number in [n for n, each in self._running.items() if each.future.cancelled()]:
            self._engine.cancel(number)
            del self._running[number]
        for request in pending:
            if not request.future.cancelled():
                try:
                    self._submit_to_engine(request)
                # An error in one request must not stop the others.
                except Exception as error:
                    self._complete(request, error)
        return True

    def _submit_to_engine(self, request: _PendingRequest) -> None:
        prepared, settings = request.prepared, request.settings
        image = prepared.image
        constraint = get_constraint(self.model.processor, prepared, settings)
        number = self._engine.submit(
            GenerationRequest(
                id(image), image.pixels, prepared.prompt.token_ids, settings.decoding, constraint
            )
        )
        self._running[number] = request

    def _complete(self, request: _PendingRequest, outcome: Generated | Exception) -> None:
        """Set the result or the exception of a request, unless it was canceled."""
        if not request.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            request.future.set_exception(outcome)
            return
        try:
            result = self.model.processor.read(
                outcome.token_ids,
                request.prepared.prompt,
                request.prepared.image.size,
                token_logprobs=outcome.token_logprobs,
                truncated=outcome.truncated,
                options=request.settings.answers,
            )
        except Exception as error:
            request.future.set_exception(error)
        else:
            request.future.set_result(result)

    def _fail_all(self, reason: str, pending: Sequence[_PendingRequest]) -> None:
        """Fail pending and running requests; called by the engine's thread only."""
        for request in [*pending, *self._running.values()]:
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(RuntimeError(reason))
        self._running.clear()


def _wait_for_result(future: Future[Result], deadline: float | None) -> Result | Failure:
    seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        return future.result(seconds)
    except (ValueError, RuntimeError) as error:
        return Failure("", str(error))
