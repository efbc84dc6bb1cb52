"""Workers that read examples ahead of the steps: threads, or processes with the source in each.

Image decoders release the interpreter lock, so threads suffice for files. Making a synthetic image
holds that lock, and in threads it would delay the steps.
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
    from .streaming import EndlessSource


class WorkerPool(Protocol):
    """Reads examples in the background."""

    def submit(self, spec: ExampleSpec) -> Future[list[EncodedExample]]: ...


@contextmanager
def thread_workers(workers: int = 2) -> Iterator[WorkerPool]:
    """Workers that are threads of this process."""
    with ThreadPoolExecutor(workers) as pool:
        yield _Threads(pool)


@contextmanager
def process_workers(source: EndlessSource, workers: int) -> Iterator[WorkerPool]:
    """Workers that are processes; each gets a copy of the source. They end with this process."""
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_init_worker,
        initargs=(source,),
    )
    try:
        yield _Processes(pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Threads:
    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def submit(self, spec: ExampleSpec) -> Future[list[EncodedExample]]:
        return self._pool.submit(spec.read)


class _Processes:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, spec: ExampleSpec) -> Future[list[EncodedExample]]:
        return self._pool.submit(_read, spec.number)


# The source of a worker process.
_source: EndlessSource | None = None


def _init_worker(source: EndlessSource) -> None:
    """Set the source of a worker process; use one thread; end when the parent process does."""
    import cv2
    import torch

    global _source
    _source = source
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of a terminal; a worker ends with its parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()


def _exit_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _read(number: int) -> list[EncodedExample]:
    assert _source is not None
    return _source.read(number)
