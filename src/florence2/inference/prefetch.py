"""From requests to answers in order: pictures are read ahead, and the engine is kept full."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

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
# Requests that are read, run or wait for an earlier one's answer, to each that can run at once.
PREFETCH = 3

Answered = tuple[PreparedRequest, Generated]

_UNFIT = "a request is a tuple of (image, task) or (image, task, text), got {}"


def predict_stream(
    runtime: AnyRuntime,
    processor: Processor,
    requests: Iterable[Request],
    settings: InferenceConfig,
) -> Iterator[Answered | Failure]:
    """One answer a request, in the order of the requests, each as soon as those before it are.

    Pictures are read by threads, some ahead of their turn; requests about the same picture that
    are not far apart share its encoding. A request that cannot be answered gives a ``Failure``.
    """
    with ThreadPoolExecutor(NUM_WORKERS) as pool:
        schedule = _Schedule(runtime, processor, iter(requests), settings, pool)
        try:
            yield from schedule.run()
        finally:
            schedule.cancel()


@dataclass(frozen=True)
class _Reading:
    """A request whose picture is being read; ``place`` is its own in the order."""

    place: int
    request: Request
    picture: Future[LoadedImage]


class _Schedule:
    def __init__(
        self,
        runtime: AnyRuntime,
        processor: Processor,
        requests: Iterator[Request],
        settings: InferenceConfig,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._processor, self._requests = processor, requests
        self._settings, self._pool = settings, pool
        self._engine = Engine(runtime, max_num_seqs=settings.batch_size, memory=settings.memory)
        self._reading: deque[_Reading] = deque()
        self._running: dict[int, tuple[int, PreparedRequest]] = {}
        self._done: dict[int, Answered | Failure] = {}
        self._taken = self._given = 0
        self._all_taken = False

    def run(self) -> Iterator[Answered | Failure]:
        """The answers, in order."""
        while True:
            self._read_ahead()
            self._submit()
            for number, outcome in self._engine.step().items():
                place, prepared = self._running.pop(number)
                self._done[place] = (
                    (prepared, outcome)
                    if isinstance(outcome, Generated)
                    else Failure(
                        source_name(prepared.picture.source), str(outcome) or type(outcome).__name__
                    )
                )
            while self._given in self._done:
                yield self._done.pop(self._given)
                self._given += 1
            # With no room to read ahead, nothing may be under way and more requests still come.
            if self._all_taken and not (self._reading or self._running):
                return

    def cancel(self) -> None:
        """Read nothing more."""
        for reading in self._reading:
            reading.picture.cancel()

    def _read_ahead(self) -> None:
        """Have the next pictures read, as long as not too many answers are under way."""
        room = PREFETCH * self._settings.batch_size - (self._taken - self._given)
        known = {image_key(each.request[0]): each.picture for each in self._reading}
        known |= {
            image_key(prepared.picture.source): _already(prepared.picture)
            for _, prepared in self._running.values()
        }
        requests = list(islice(self._requests, max(0, room)))
        self._all_taken = len(requests) < room
        for request in requests:
            if not isinstance(request, tuple | list) or not 2 <= len(request) <= 3:
                self._done[self._taken] = Failure("", _UNFIT.format(type(request).__name__))
                self._taken += 1
                continue
            key = image_key(request[0])
            if key not in known:
                known[key] = self._pool.submit(
                    read_image, request[0], self._processor, self._settings
                )
            self._reading.append(_Reading(self._taken, request, known[key]))
            self._taken += 1

    def _submit(self) -> None:
        """Hand over requests in order whose pictures are there; wait for one if nothing runs."""
        most = 2 * self._settings.batch_size
        while self._reading and len(self._engine) < most:
            if len(self._engine) and not self._reading[0].picture.done():
                return
            reading = self._reading.popleft()
            prepared = self._prepare(reading)
            if isinstance(prepared, Failure):
                self._done[reading.place] = prepared
                continue
            picture, prompt = prepared.picture, prepared.prompt.token_ids
            rule = get_constraint(self._processor, prepared, self._settings)
            query = GenerationRequest(
                id(picture), picture.pixels, prompt, self._settings.decoding, rule
            )
            self._running[self._engine.submit(query)] = (reading.place, prepared)

    def _prepare(self, reading: _Reading) -> PreparedRequest | Failure:
        image, task, *words = reading.request
        try:
            picture = reading.picture.result()
            return prepare_request(self._processor, picture, task, words[0] if words else None)
        # Whatever is wrong with one request, the others go on.
        except Exception as error:
            return Failure(source_name(image), str(error) or type(error).__name__)


def prepare_request(
    processor: Processor, picture: LoadedImage, task: str | Task, text: TextInput | None
) -> PreparedRequest:
    """The request of ``task`` about a picture. Raises ``ValueError`` when they do not fit."""
    prompt = processor.prompt(task, text, picture.size)
    if prompt.task.input == "region":
        check_region(prompt.text if text is None else text, picture.size)
    return PreparedRequest(picture, prompt)


def get_constraint(
    processor: Processor, request: PreparedRequest, settings: InferenceConfig
) -> Constraint | None:
    """The grammar that the answer to a request must follow, if the settings ask for that."""
    if not settings.decoding.constrained:
        return None
    return shared_constraint(request.prompt.task.answer, processor.tokenizer)


@lru_cache(maxsize=32)
def shared_constraint(kind: AnswerKind, tokenizer: Tokenizer) -> Constraint:
    """The one constraint of a kind of answer, whose masks all requests share."""
    return Constraint(kind, tokenizer)


def _already(picture: LoadedImage) -> Future[LoadedImage]:
    future: Future[LoadedImage] = Future()
    future.set_result(picture)
    return future
