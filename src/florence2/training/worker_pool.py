"""Who reads pairs ahead of the steps: threads, or processes that each hold the source.

Reading a file waits for decoders that let other threads run; making a picture keeps the
interpreter busy, and in threads it would hold up the steps themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Protocol

from .examples import EncodedExample, ExampleSpec

if TYPE_CHECKING:
    from .streaming import IterablePairs


class WorkerPool(Protocol):
    """Takes jobs, gives what they will have read."""

    def submit(self, job: ExampleSpec) -> Future[list[EncodedExample]]: ...


@contextmanager
def thread_readers(workers: int = 2) -> Iterator[WorkerPool]:
    """Readers that are threads of this process."""
    with ThreadPoolExecutor(workers) as pool:
        yield _Threads(pool)


@contextmanager
def process_readers(source: IterablePairs, workers: int) -> Iterator[WorkerPool]:
    """Readers that are processes; each gets the source once. They end with this process."""
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_adopt,
        initargs=(source,),
    )
    try:
        yield _Processes(pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Threads:
    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def submit(self, job: ExampleSpec) -> Future[list[EncodedExample]]:
        return self._pool.submit(job.read)


class _Processes:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, job: ExampleSpec) -> Future[list[EncodedExample]]:
        return self._pool.submit(_read, job.number)


# The source of a process that reads for another one.
_adopted: IterablePairs | None = None


def _adopt(source: IterablePairs) -> None:
    """Take over the source in a new process, with one thread, and end when the parent does."""
    import cv2
    import torch

    global _adopted
    _adopted = source
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of a terminal; this one ends with its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _read(number: int) -> list[EncodedExample]:
    assert _adopted is not None
    return _adopted.read(number)
