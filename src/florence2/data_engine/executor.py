"""Where chunks are processed: in this process, or on the workers of a Ray cluster.

Ray places workers on processors and accelerators, restarts workers that die, and gives their
chunks to others. Only chunk numbers and ``ChunkResult`` pass through it; results are files.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .chunk_workers import ChunkResult

# More blocks cost more overhead than the better balance is worth.
_MAX_BLOCKS = 2000


class ChunkWorker(Protocol):
    """Processes a chunk that has no file yet; ``is_stuck``: it cannot process another one."""

    is_stuck: bool

    def __call__(self, chunk: int) -> ChunkResult: ...


@dataclass(frozen=True)
class Resources:
    """Number of workers, and the CPUs and GPUs of each."""

    workers: int = 1
    cpus: float = 1
    gpus: float = 0


class Executor(Protocol):
    """Runs workers over chunks; yields results in any order."""

    def run(
        self, make: Callable[[], ChunkWorker], chunks: Sequence[int], resources: Resources
    ) -> Iterator[ChunkResult]: ...


class LocalExecutor:
    """Processes one chunk after another in this process: for small sets and for debugging."""

    def run(
        self, make: Callable[[], ChunkWorker], chunks: Sequence[int], resources: Resources
    ) -> Iterator[ChunkResult]:
        worker = make()
        for chunk in chunks:
            yield worker(chunk)


class RayExecutor:
    """Processes chunks on Ray Data's actor pools: on this machine, or on the cluster ``address``.

    A worker that dies is replaced and its chunk processed again. An error that is not the
    annotator's, such as a full disk, ends the run with that error. Ray's own log is printed only
    with ``verbose``.
    """

    def __init__(self, address: str | None = None, *, verbose: bool = False) -> None:
        self.address, self.verbose = address, verbose

    def run(
        self, make: Callable[[], ChunkWorker], chunks: Sequence[int], resources: Resources
    ) -> Iterator[ChunkResult]:
        if not chunks:
            return
        ray = _start_ray(self.address, self.verbose)
        blocks = min(len(chunks), _MAX_BLOCKS)
        rows = ray.data.from_items(
            [{"chunk": chunk} for chunk in chunks], override_num_blocks=blocks
        )
        workers = min(resources.workers, len(chunks))
        results = rows.map(
            _Actor,
            fn_constructor_args=(make,),
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
        )
        for row in results.iter_rows():
            yield ChunkResult(**row)


class _Actor:
    """A worker in one of Ray's processes."""

    def __init__(self, make: Callable[[], ChunkWorker]) -> None:
        self._worker = make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        result = self._worker(row["chunk"])
        if self._worker.is_stuck:
            # A call that never returns keeps its processor and memory. The chunk is on the disk,
            # where the process that replaces this one finds it.
            os._exit(1)
        return asdict(result)


@contextmanager
def _suppress_native_logs() -> Iterator[None]:
    """Drop what native code writes to standard error while the block runs.

    Ray logs its log level there at the start, at every level. Its errors are exceptions.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _start_ray(address: str | None, verbose: bool) -> Any:
    """Connect Ray to a cluster, or start it on this machine, reachable from it alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            f'the engine needs Ray ({error}): pip install "florence2[engine]", or use workers=0'
        ) from error

    if not ray.is_initialized():
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        with nullcontext() if verbose else _suppress_native_logs():
            ray.init(address=address, ignore_reinit_error=True, **options)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.WARNING if verbose else logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return ray
