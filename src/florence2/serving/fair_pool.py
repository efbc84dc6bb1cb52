"""Threads that alternate between clients, so that one client's jobs do not delay another's."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Value = TypeVar("Value")


class JobKey(NamedTuple):
    """The client and the request that a job belongs to: its IP address, and a number."""

    client: str = ""
    request: int = 0


ANONYMOUS = JobKey()


@dataclass(eq=False)
class _Job:
    """A waiting call and the future of its result.

    Both references are dropped when the job is done or canceled: an exception refers to the
    frames that raised it, and so to the whole body of a request.
    """

    future: Future[Any] | None
    call: Callable[[], Any] | None

    def run(self) -> None:
        future, self.future = self.future, None
        call, self.call = self.call, None
        if future is None or call is None or not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        # The caller that waits for the future gets every exception.
        except BaseException as error:
            future.set_exception(error)
        finally:
            del future, call, self

    def forget(self, future: Future[Any]) -> None:
        """Drop the references of a job that was canceled while it waited."""
        if future.cancelled():
            self.call = self.future = None


class FairPool:
    """A fixed number of threads; round-robin over clients, and over the requests of a client."""

    def __init__(self, threads: int, name: str) -> None:
        self._waiting: OrderedDict[str, OrderedDict[int, deque[_Job]]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run_jobs, name=f"{name}-{index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, key: JobKey, call: Callable[[], Value]) -> Future[Value]:
        """Submit a call; returns the future of its result. Raises ``RuntimeError`` after close."""
        future: Future[Value] = Future()
        job = _Job(future, call)
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            requests = self._waiting.setdefault(key.client, OrderedDict())
            requests.setdefault(key.request, deque()).append(job)
            self._changed.notify()
        future.add_done_callback(job.forget)
        return future

    def close(self) -> None:
        """Cancel the waiting jobs; running jobs finish."""
        with self._changed:
            self._closed = True
            waiting = [
                job
                for requests in self._waiting.values()
                for jobs in requests.values()
                for job in jobs
            ]
            self._waiting.clear()
            self._changed.notify_all()
        for job in waiting:
            if (future := job.future) is not None:
                future.cancel()

    def _run_jobs(self) -> None:
        while (job := self._next_job()) is not None:
            job.run()
            del job

    def _next_job(self) -> _Job | None:
        """Wait for the next job; None once the pool is closed."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            client, requests = self._waiting.popitem(last=False)
            number, jobs = requests.popitem(last=False)
            job = jobs.popleft()
            # The remaining jobs go to the end of the queue.
            if jobs:
                requests[number] = jobs
            if requests:
                self._waiting[client] = requests
            return job
