"""The worker with the bundled model: requests from many threads, pinning, canceling, closing."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import Any

import pytest

import florence2
from florence2.inference.prepared import InferenceConfig
from florence2.results.types import Failure, Result
from florence2.serving import RequestLimits, Worker
from florence2.serving.request_limits import RequestError

from .conftest import DEMO, FAST

SETTINGS = InferenceConfig.of(FAST)


def test_many_threads_get_the_results_of_one(model: florence2.Florence2, worker: Worker) -> None:
    tasks = ("caption", "od", "ocr", "region-proposal")
    alone = {task: model(DEMO, task, None, **FAST).token_ids for task in tasks}  # type: ignore[arg-type]
    found: list[tuple[str, Future[Result]]] = []

    def ask(task: str) -> None:
        image = worker.load_image(DEMO).result(20)
        found.append((task, worker.submit(image, [(task, None)], SETTINGS)[0]))

    threads = [threading.Thread(target=ask, args=(task,)) for task in tasks * 4]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 16
    for task, future in found:
        assert future.result(30).token_ids == alone[task]
    assert worker.load == 0


def test_a_pinned_image_is_encoded_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, model: florence2.Florence2
) -> None:
    encoded: list[int] = []
    encode = model.runtime.encode_images

    def counting(pixels: Any) -> Any:
        encoded.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(model.runtime, "encode_images", counting)
    image = worker.load_image(DEMO).result(20)
    for holding, count in ((True, 1), (False, 3)):
        encoded.clear()
        if holding:
            worker.pin(image)
        for _ in range(3):
            worker.submit(image, [("caption", None)], SETTINGS)[0].result(30)
        assert sum(encoded) == count
        worker.unpin(image)


def test_closing_completes_accepted_requests(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits())
    image = worker.load_image(DEMO).result(20)
    futures = worker.submit(image, [("caption", None)] * 20, SETTINGS)
    worker.close(seconds=60)
    assert all(each.done() and each.result().token_ids for each in futures)
    with pytest.raises(RequestError, match="stopping"):
        worker.submit(image, [("caption", None)], SETTINGS)


def test_closing_at_once_fails_accepted_requests(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits())
    image = worker.load_image(DEMO).result(20)
    futures = worker.submit(image, [("more-detailed-caption", None)] * 20, InferenceConfig.of({}))
    worker.close(finish=False, seconds=60)
    wait(futures, 10)
    assert all(each.done() for each in futures)
    assert any(isinstance(each.exception(), RuntimeError) for each in futures)


def test_canceled_requests_free_the_queue(model: florence2.Florence2) -> None:
    worker = Worker(model, RequestLimits(queue=8), max_num_seqs=1)
    image = worker.load_image(DEMO).result(20)
    futures = worker.submit(image, [("more-detailed-caption", None)] * 8, InferenceConfig.of({}))
    with pytest.raises(RequestError, match="the queue is full"):
        worker.submit(image, [("caption", None)], SETTINGS)
    for each in futures:
        each.cancel()
    assert worker.submit(image, [("caption", None)], SETTINGS)[0].result(30)
    worker.close(seconds=20)


def test_a_failing_engine_fails_its_requests_and_stops(
    model: florence2.Florence2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    worker = Worker(model, RequestLimits())

    def broken() -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(worker._engine, "step", broken)
    image = worker.load_image(DEMO).result(20)
    (future,) = worker.submit(image, [("caption", None)], SETTINGS)
    assert "no room" in str(future.exception(20))
    assert not worker.alive


def test_requests_of_a_cascade_fail_independently(worker: Worker) -> None:
    image = worker.load_image(DEMO).result(20)
    first, second = worker.predict(image, [("caption", None), ("nonsense", None)], SETTINGS, 30)
    assert isinstance(first, Result) and isinstance(second, Failure)
