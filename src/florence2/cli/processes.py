"""Several processes of this command on this machine, each with one part of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from .errors import EXIT_PARTIAL
from .progress import progress_bar

COMMAND = (sys.executable, "-m", "florence2")
_POLL_SECONDS = 0.2


def run_parts(words: Sequence[str], count: int, out: Path, device: str | None) -> None:
    """Run the command ``words`` in ``count`` processes with ``--shard``, and wait for them all.

    Without ``device``, CUDA devices are assigned in turn. A bar on standard error follows the
    predictions in ``out``. Raises ``ValueError`` with the last line of a process that failed.
    """
    with _started(words, count, device) as parts:
        _follow([process for process, _ in parts], out, count)
        for number, (process, messages) in enumerate(parts):
            if process.returncode not in (0, EXIT_PARTIAL):
                messages.seek(0)
                last = (messages.read().strip().splitlines() or ["no error output"])[-1]
                raise ValueError(
                    f"part {number} of {count} ended with status {process.returncode}: "
                    f"{last.removeprefix('florence2: ')}; predictions so far are kept"
                )


@contextmanager
def _started(
    words: Sequence[str], count: int, device: str | None
) -> Iterator[list[tuple[subprocess.Popen[str], IO[str]]]]:
    """The processes with their standard error; those still running are ended with the block."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    devices = _devices(count, device)
    parts: list[tuple[subprocess.Popen[str], IO[str]]] = []
    try:
        for number in range(count):
            messages: IO[str] = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
            command = [*COMMAND, *words, *devices[number], f"--shard={number}/{count}"]
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=messages, text=True, env=environment
            )
            parts.append((process, messages))
        yield parts
    finally:
        for process, messages in parts:
            if process.poll() is None:
                process.terminate()
                process.wait()
            messages.close()


def _devices(count: int, device: str | None) -> list[list[str]]:
    """The device option of each process; empty without a choice."""
    if device is not None:
        return [[f"--device={device}"]] * count
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not available:
        return [[]] * count
    return [[f"--device=cuda:{number % available}"] for number in range(count)]


def _follow(processes: Sequence[subprocess.Popen[str]], out: Path, count: int) -> None:
    """Wait for the processes while a bar shows the number of predictions."""
    from ..evaluation.eval_settings import EVALUATION_RUN, read_settings
    from ..evaluation.prediction_log import log_path

    def running() -> bool:
        return any(process.poll() is None for process in processes)

    settings = out / EVALUATION_RUN.settings_file
    while running() and not settings.exists():
        time.sleep(_POLL_SECONDS)
    if not running():
        return
    total = int(read_settings(out)["examples"])
    files = [_GrowingFile(log_path(out, number, count)) for number in range(count)]
    with progress_bar(total, shown=True, noun="example") as advance:
        shown = 0
        while running():
            time.sleep(_POLL_SECONDS)
            now = sum(file.lines() for file in files)
            for _ in range(now - shown):
                advance()
            shown = max(now, shown)


class _GrowingFile:
    """Counts the lines of a file that another process appends to; reads only new content."""

    def __init__(self, path: Path) -> None:
        self._path, self._read, self._lines = path, 0, 0

    def lines(self) -> int:
        """The number of lines so far, 0 before the file exists."""
        try:
            with self._path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size < self._read:
                    self._read = self._lines = 0  # the process has removed lines
                stream.seek(self._read)
                new = stream.read()
        except FileNotFoundError:
            return 0
        self._read += len(new)
        self._lines += new.count(b"\n")
        return self._lines
