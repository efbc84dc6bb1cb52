"""Predictions for a stream of requests, in order: images are prefetched, the engine kept full."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from ..generation import Engine, Generated, GenerationRequest
from ..processing.constraint import Constraint
from ..processing.processor import Processor, TextInput, check_region
from ..processing.tokenizer import Tokenizer
from ..results.tasks import AnswerKind, Task
from ..results.types import Failure
from ..runtime import AnyRuntime
from .prepared import (
    InferenceConfig,
    LoadedImage,
    PreparedRequest,
    Request,
    image_key,
    read_image,
    source_name,
)

NUM_WORKERS = 2
# Requests in flight per request that can run at once.
PREFETCH = 3

RequestOutput = tuple[PreparedRequest, Generated]

_MALFORMED = "a request is a tuple of (image, task) or (image, task, text), got {}"


def predict_stream(
    runtime: AnyRuntime,
    processor: Processor,
    requests: Iterable[Request],
    config: InferenceConfig,
) -> Iterator[RequestOutput | Failure]:
    """The output of every request, in order, each as soon as it and those before it are done.

    Threads read images ahead of their turn; nearby requests about one image share its encoding. A
    request that fails gives a ``Failure``.
    """
    with ThreadPoolExecutor(NUM_WORKERS) as pool:
        stream = _PrefetchStream(runtime, processor, iter(requests), config, pool)
        try:
            yield from stream.run()
        finally:
            stream.cancel()


@dataclass(frozen=True)
class _DecodeJob:
    """A request whose image is being read; ``index`` is its position in the stream."""

    index: int
    request: Request
    image: Future[LoadedImage]


class _PrefetchStream:
    def __init__(
        self,
        runtime: AnyRuntime,
        processor: Processor,
        requests: Iterator[Request],
        config: InferenceConfig,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._processor, self._requests = processor, requests
        self._config, self._pool = config, pool
        self._engine: Engine[Any, Any] = Engine(
            runtime, max_num_seqs=config.batch_size, memory=config.memory
        )
        self._reading: deque[_DecodeJob] = deque()
        self._running: dict[int, tuple[int, PreparedRequest]] = {}
        self._done: dict[int, RequestOutput | Failure] = {}
        self._num_taken = self._num_yielded = 0
        self._exhausted = False

    def run(self) -> Iterator[RequestOutput | Failure]:
        """The outputs, in order."""
        while True:
            self._prefetch()
            self._submit()
            for request_id, outcome in self._engine.step().items():
                index, prepared = self._running.pop(request_id)
                self._done[index] = (
                    (prepared, outcome)
                    if isinstance(outcome, Generated)
                    else _failure(prepared.image.source, outcome)
                )
            while self._num_yielded in self._done:
                yield self._done.pop(self._num_yielded)
                self._num_yielded += 1
            # Nothing may be in flight although requests are left: the limit may have been reached.
            if self._exhausted and not (self._reading or self._running):
                return

    def cancel(self) -> None:
        """Stop reading images."""
        for job in self._reading:
            job.image.cancel()

    def _prefetch(self) -> None:
        """Read the next images, up to the limit of requests in flight."""
        free = PREFETCH * self._config.batch_size - (self._num_taken - self._num_yielded)
        images = {image_key(job.request[0]): job.image for job in self._reading}
        images |= {
            image_key(prepared.image.source): _completed(prepared.image)
            for _, prepared in self._running.values()
        }
        requests = list(islice(self._requests, max(0, free)))
        self._exhausted = len(requests) < free
        for request in requests:
            if not isinstance(request, tuple | list) or not 2 <= len(request) <= 3:
                self._done[self._num_taken] = Failure("", _MALFORMED.format(type(request).__name__))
                self._num_taken += 1
                continue
            key = image_key(request[0])
            if key not in images:
                images[key] = self._pool.submit(
                    read_image, request[0], self._processor, self._config
                )
            self._reading.append(_DecodeJob(self._num_taken, request, images[key]))
            self._num_taken += 1

    def _submit(self) -> None:
        """Submit requests in order whose images are read; wait for one if nothing runs."""
        max_submitted = 2 * self._config.batch_size
        while self._reading and len(self._engine) < max_submitted:
            if len(self._engine) and not self._reading[0].image.done():
                return
            job = self._reading.popleft()
            prepared = self._prepare(job)
            if isinstance(prepared, Failure):
                self._done[job.index] = prepared
                continue
            request = GenerationRequest(
                id(prepared.image),
                prepared.image.pixels,
                prepared.prompt.token_ids,
                self._config.decoding,
                get_constraint(self._processor, prepared, self._config),
            )
            self._running[self._engine.submit(request)] = (job.index, prepared)

    def _prepare(self, job: _DecodeJob) -> PreparedRequest | Failure:
        source, task, *text = job.request
        try:
            image = job.image.result()
            return prepare_request(self._processor, image, task, text[0] if text else None)
        # A request that fails for any reason must not stop the others.
        except Exception as error:
            return _failure(source, error)


def prepare_request(
    processor: Processor, image: LoadedImage, task: str | Task, text: TextInput | None
) -> PreparedRequest:
    """The request of ``task`` about an image. Raises ``ValueError`` when they do not fit."""
    prompt = processor.prompt(task, text, image.size)
    if prompt.task.input == "region":
        check_region(prompt.text if text is None else text, image.size)
    return PreparedRequest(image, prompt)


def get_constraint(
    processor: Processor, request: PreparedRequest, config: InferenceConfig
) -> Constraint | None:
    """The grammar that the output of a request must follow, if decoding is constrained."""
    if not config.decoding.constrained:
        return None
    return shared_constraint(request.prompt.task.answer, processor.tokenizer)


@lru_cache(maxsize=32)
def shared_constraint(kind: AnswerKind, tokenizer: Tokenizer) -> Constraint:
    """The constraint of a kind of answer, whose masks all requests share."""
    return Constraint(kind, tokenizer)


def _completed(image: LoadedImage) -> Future[LoadedImage]:
    future: Future[LoadedImage] = Future()
    future.set_result(image)
    return future


def _failure(source: object, error: Exception) -> Failure:
    return Failure(source_name(source), str(error) or type(error).__name__)
