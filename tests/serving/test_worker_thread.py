"""The thread of the worker with a stand-in engine: no model, no HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from florence2.generation import Generated, GenerationRequest
from florence2.inference.prepared import InferenceConfig, LoadedImage
from florence2.results.types import Failure
from florence2.serving import RequestLimits, Worker, engine_worker
from florence2.serving.request_limits import RequestError

CONFIG = InferenceConfig.of({})
IMAGE = LoadedImage(b"", (4, 4), np.zeros((3, 4, 4), np.float32))


class StandInEngine:
    """Completes one request per step, in order; "broken" fails; waits while it is paused."""

    def __init__(self, runtime: Any, *, max_num_seqs: int, memory: int | None) -> None:
        self.max_num_seqs = max_num_seqs
        self.waiting: dict[int, GenerationRequest] = {}
        self.cancelled: list[int] = []
        self.pinned: list[tuple[str, object]] = []
        self.submitted = 0
        self.running = threading.Event()
        self.running.set()
        self.thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self.waiting)

    def submit(self, request: GenerationRequest) -> int:
        if request.prompt == ["invalid"]:
            raise ValueError("the engine rejects this request")
        self.submitted += 1
        self.waiting[self.submitted] = request
        return self.submitted

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        del self.waiting[number]

    def pin(self, key: object) -> None:
        self.pinned.append(("pin", key))

    def unpin(self, key: object) -> None:
        self.pinned.append(("unpin", key))

    def step(self) -> dict[int, Generated | Exception]:
        self.thread = threading.current_thread()
        # A paused engine makes steps without a result, so that the worker sees cancellations.
        if not self.running.wait(0.01) or not self.waiting:
            return {}
        number = next(iter(self.waiting))
        prompt = self.waiting.pop(number).prompt
        if prompt == ["broken"]:
            return {number: RuntimeError("this sequence failed")}
        if prompt == ["fatal"]:
            raise MemoryError("out of memory")
        return {number: Generated((number,), (0.0,), 0.0, False)}


class StandInProcessor:
    """Reads the ids as a text that names the prompt."""

    def read(self, token_ids: Any, prompt: Any, size: Any, **_: Any) -> str:
        if prompt.token_ids == ["unreadable"]:
            raise ValueError("the output cannot be read")
        return f"{prompt.token_ids[0]} {token_ids[0]}"


def prepare(processor: Any, image: LoadedImage, task: str, text: Any) -> Any:
    if task == "unknown":
        raise ValueError("unknown task 'unknown'")
    prompt = SimpleNamespace(token_ids=[task])
    return SimpleNamespace(image=image, prompt=prompt)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    monkeypatch.setattr(engine_worker, "Engine", StandInEngine)
    monkeypatch.setattr(engine_worker, "prepare_request", prepare)
    monkeypatch.setattr(engine_worker, "get_constraint", lambda *_: None)
    model: Any = SimpleNamespace(runtime=None, processor=StandInProcessor())
    worker = Worker(model, RequestLimits(queue=4), max_num_seqs=2)
    yield worker
    worker.close(finish=False, seconds=10)


def engine_of(worker: Worker) -> StandInEngine:
    engine: Any = worker._engine
    return engine  # type: ignore[no-any-return]


def submit(worker: Worker, *tasks: str) -> list[Any]:
    return worker.submit(IMAGE, [(task, None) for task in tasks], CONFIG)


def test_each_future_gets_the_result_of_its_request(worker: Worker) -> None:
    first, second = submit(worker, "caption", "od")
    assert (first.result(10), second.result(10)) == ("caption 1", "od 2")
    assert engine_of(worker).max_num_seqs == 2


def test_the_engine_runs_in_its_own_thread_only(worker: Worker) -> None:
    submit(worker, "caption")[0].result(10)
    thread = engine_of(worker).thread
    assert thread is not None and thread.name == "florence2-engine"
    assert thread is not threading.current_thread()


def test_results_are_available_before_the_others_are_done(worker: Worker) -> None:
    finished: list[str] = []
    for future in submit(worker, "a", "b", "c"):
        future.add_done_callback(lambda done: finished.append(done.result()))
    deadline = time.monotonic() + 10
    while len(finished) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert finished == ["a 1", "b 2", "c 3"]


def test_a_failing_request_fails_alone(worker: Worker) -> None:
    before, broken, unreadable, after = submit(worker, "a", "broken", "unreadable", "b")
    assert before.result(10) == "a 1" and after.result(10) == "b 4"
    assert "this sequence failed" in str(broken.exception(10))
    assert "cannot be read" in str(unreadable.exception(10))
    assert "rejects" in str(submit(worker, "invalid")[0].exception(10))
    assert worker.alive and submit(worker, "c")[0].result(10) == "c 5"


def test_an_invalid_request_is_not_submitted(worker: Worker) -> None:
    with pytest.raises(ValueError, match="unknown task"):
        submit(worker, "caption", "unknown")
    assert worker.load == 0 and engine_of(worker).submitted == 0


def test_a_cancelled_request_leaves_the_engine_and_the_queue(worker: Worker) -> None:
    engine_of(worker).running.clear()
    futures = submit(worker, "a", "b", "c", "d")
    with pytest.raises(RequestError, match="the queue is full: 4 requests") as error:
        submit(worker, "e")
    assert error.value.status == 429 and error.value.retry_after
    deadline = time.monotonic() + 10
    while len(engine_of(worker)) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert futures[1].cancel()
    assert worker.load == 3
    while not engine_of(worker).cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine_of(worker).cancelled == [2]
    engine_of(worker).running.set()
    assert [futures[at].result(10) for at in (0, 2, 3)] == ["a 1", "c 3", "d 4"]
    assert submit(worker, "e")[0].result(10) == "e 5"


def test_close_completes_the_accepted_requests(worker: Worker) -> None:
    futures = submit(worker, "a", "b", "c")
    worker.close(seconds=10)
    assert [future.result(0) for future in futures] == ["a 1", "b 2", "c 3"]
    assert not worker.alive
    with pytest.raises(RequestError, match="stopping"):
        submit(worker, "d")
    with pytest.raises(RequestError, match="stopping"):
        worker.load_image(b"")


def test_close_without_finish_fails_the_accepted_requests(worker: Worker) -> None:
    engine_of(worker).running.clear()
    futures = submit(worker, "a", "b")
    worker.close(finish=False, seconds=10)
    assert all("the server stopped" in str(future.exception(0)) for future in futures)
    assert worker.load == 0


def test_an_error_of_the_engine_fails_all_requests_and_ends_the_worker(worker: Worker) -> None:
    engine_of(worker).running.clear()
    futures = submit(worker, "fatal", "a")
    engine_of(worker).running.set()
    assert all("out of memory" in str(future.exception(10)) for future in futures)
    assert not worker.alive


def test_predict_waits_for_results_and_returns_failures(worker: Worker) -> None:
    submitted: list[int] = []
    results = worker.predict(
        IMAGE,
        [("a", None), ("unknown", None), ("broken", None)],
        CONFIG,
        seconds=10,
        on_submit=lambda futures: submitted.append(len(futures)),
    )
    assert results[0] == "a 1"
    assert [each.error for each in results[1:] if isinstance(each, Failure)] == [
        "unknown task 'unknown'",
        "this sequence failed",
    ]
    assert submitted == [1, 1]
    engine_of(worker).running.clear()
    with pytest.raises(TimeoutError):
        worker.predict(IMAGE, [("b", None)], CONFIG, seconds=0.05)


def test_commands_reach_the_engine_in_order(worker: Worker) -> None:
    worker.pin(IMAGE)
    worker.unpin(IMAGE)
    submit(worker, "a")[0].result(10)
    assert engine_of(worker).pinned == [("pin", id(IMAGE)), ("unpin", id(IMAGE))]


def test_names_of_release_0_1_work_with_a_warning(worker: Worker) -> None:
    with pytest.warns(DeprecationWarning, match=r"Worker.ask is now submit"):
        old: Any = worker.ask  # type: ignore[attr-defined]
    assert old(IMAGE, [("caption", None)], CONFIG)[0].result(10) == "caption 1"
