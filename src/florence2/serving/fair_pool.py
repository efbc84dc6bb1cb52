"""Threads that take turns between clients, so that one client's work does not delay another's."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

Value = TypeVar("Value")


class Turn(NamedTuple):
    """Whose work a job is: the client's address, and the number of the request."""

    client: str = ""
    request: int = 0


ANYONE = Turn()


@dataclass(eq=False)
class _Job:
    """A call that waits, and the future of what it returns.

    Both are let go of as soon as they are done or cancelled: an error knows the frames it came
    through, and with them the whole body of a request.
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
        # Whatever a job raises belongs to the one who waits for it.
        except BaseException as error:
            future.set_exception(error)
        finally:
            del future, call, self

    def forget(self, future: Future[Any]) -> None:
        """Drop the arguments of a job that was cancelled while it waited."""
        if future.cancelled():
            self.call = self.future = None


class FairPool:
    """A fixed number of threads. Clients take turns, and so do the requests of one client."""

    def __init__(self, threads: int, name: str) -> None:
        self._waiting: OrderedDict[str, OrderedDict[int, deque[_Job]]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, turn: Turn, call: Callable[[], Value]) -> Future[Value]:
        """A future of what ``call`` returns. Raises ``RuntimeError`` after ``close``."""
        future: Future[Value] = Future()
        job = _Job(future, call)
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool is closed")
            requests = self._waiting.setdefault(turn.client, OrderedDict())
            requests.setdefault(turn.request, deque()).append(job)
            self._changed.notify()
        future.add_done_callback(job.forget)
        return future

    def close(self) -> None:
        """Cancel what waits; running jobs finish by themselves."""
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

    def _work(self) -> None:
        while (job := self._take()) is not None:
            job.run()
            del job

    def _take(self) -> _Job | None:
        """The next job in turn, waited for; nothing once the pool is closed."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            client, requests = self._waiting.popitem(last=False)
            number, jobs = requests.popitem(last=False)
            job = jobs.popleft()
            # What is left goes to the end of the line.
            if jobs:
                requests[number] = jobs
            if requests:
                self._waiting[client] = requests
            return job
