"""Who does the parts: this process, or the workers of a Ray cluster.

Ray is the engine room from one machine to many: it places workers on processors and accelerators,
restarts those that die and gives their parts to others. All that it is told are part numbers; what
was done lies in files.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .part_workers import PartDone

# More blocks than this cost more than the evenness they give.
_MOST_BLOCKS = 2000


class PartRunner(Protocol):
    """Does a part that has no file yet; ``stuck`` says that it is not fit for another."""

    stuck: bool

    def __call__(self, part: int) -> PartDone: ...


@dataclass(frozen=True)
class Resources:
    """What a kind of work takes: how many workers, and what each of them occupies."""

    workers: int = 1
    cpus: float = 1
    gpus: float = 0


class Executor(Protocol):
    """Runs workers over parts; yields what is done, in any order."""

    def run(
        self, make: Callable[[], PartRunner], parts: Sequence[int], needs: Resources
    ) -> Iterator[PartDone]: ...


class LocalExecutor:
    """One part after another in this process: for small sets, and to step through."""

    def run(
        self, make: Callable[[], PartRunner], parts: Sequence[int], needs: Resources
    ) -> Iterator[PartDone]:
        worker = make()
        for part in parts:
            yield worker(part)


class RayExecutor:
    """The workers of Ray Data's actor pools: on this machine, or on the cluster at ``address``.

    A worker that dies is replaced and its part done again; an error of the work itself, such as a
    full disk, ends the run with that error. What Ray logs of its own workings is printed with
    ``verbose`` only.
    """

    def __init__(self, address: str | None = None, *, verbose: bool = False) -> None:
        self.address, self.verbose = address, verbose

    def run(
        self, make: Callable[[], PartRunner], parts: Sequence[int], needs: Resources
    ) -> Iterator[PartDone]:
        if not parts:
            return
        ray = _started(self.address, self.verbose)
        blocks = min(len(parts), _MOST_BLOCKS)
        rows = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=blocks)
        workers = min(needs.workers, len(parts))
        done = rows.map(
            _Actor,
            fn_constructor_args=(make,),
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
        )
        for row in done.iter_rows():
            yield PartDone(**row)


class _Actor:
    """A worker in a process of Ray's."""

    def __init__(self, make: Callable[[], PartRunner]) -> None:
        self._worker = make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        done = self._worker(row["part"])
        if self._worker.stuck:
            # A call that never ends keeps its processor and its memory. The part is on the disk:
            # whoever takes this process's place finds it there.
            os._exit(1)
        return asdict(done)


@contextmanager
def _without_native_logs() -> Iterator[None]:
    """A block in which what native code writes to standard error is dropped.

    Ray's start logs the level of its log there, whatever the level. Errors are exceptions.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _started(address: str | None, verbose: bool) -> Any:
    """Ray, connected to a cluster, or started on this machine and reachable from it alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(
            f'the engine needs Ray ({error}): pip install "florence2[engine]", or choose workers=0'
        ) from error

    if not ray.is_initialized():
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address is None:
            quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        with nullcontext() if verbose else _without_native_logs():
            ray.init(address=address, ignore_reinit_error=True, **quiet)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.WARNING if verbose else logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return ray
