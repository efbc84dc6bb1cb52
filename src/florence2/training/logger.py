"""The log of a run: JSON lines, TensorBoard if it is installed, and a progress bar."""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..io.atomic import atomic_replace

LOG_FILE = "log.jsonl"
# Further notes are only in the log.
_PRINTED_NOTES = 10


class TrainingLogger:
    """Writes to ``directory/log.jsonl`` and ``directory/tensorboard``, and shows a progress bar.

    A run that resumes at ``step`` first drops the lines of later steps, which it will write again.
    The main process alone has a logger.
    """

    def __init__(self, directory: Path, steps: int, step: int, quiet: bool = False) -> None:
        self.path = directory / LOG_FILE
        _drop_lines_after(self.path, step)
        self._file = self.path.open("a", encoding="utf-8")
        self._board = _tensorboard(directory / "tensorboard", step)
        self._rate = _Rate()
        self._num_notes, self._quiet = 0, quiet
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[details]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._task = self._progress.add_task(
            "training", total=steps, completed=step, details="", start=True
        )
        self._progress.start()

    def step(self, step: int, loss: float, examples: int) -> None:
        """Update the progress bar; ``step`` steps are done."""
        rate = self._rate.add(examples)
        details = f"loss {loss:.4f}  {rate:.1f} samples/s"
        self._progress.update(self._task, completed=step, details=details)

    @contextmanager
    def busy(self, activity: str) -> Iterator[None]:
        """A block during which a second line shows ``activity``."""
        task = self._progress.add_task(activity, total=None, details="")
        try:
            yield
        finally:
            self._progress.remove_task(task)
            self._rate.restart()

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line of ``kind`` (``step``, ``evaluation``, ``note``) to the logs.

        The metrics of an evaluation are printed too. Values that are not finite are ``null``.
        """
        if kind == "step":
            values = {**values, "samples_per_second": round(self._rate.value, 3)}
        line = {"kind": kind, "step": step, **{k: _finite(v) for k, v in values.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if kind == "evaluation":
            metrics = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            self._print(f"step {step:,}: {metrics}")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def note(self, step: int, text: str) -> None:
        """Log a sentence; the first few are printed too."""
        self.write("note", step, {"text": text})
        self._num_notes += 1
        if self._num_notes <= _PRINTED_NOTES:
            self._print(text)
        if self._num_notes == _PRINTED_NOTES:
            self._print(f"further notes are only in {self.path}")

    def _print(self, text: str) -> None:
        if not self._quiet:
            self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Flush the log to disk and remove the progress bar."""
        self._progress.stop()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._board is not None:
            self._board.close()


class _Rate:
    """Examples per second over the last steps."""

    def __init__(self, window: int = 20) -> None:
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=window)
        self.value = 0.0

    def restart(self) -> None:
        """Exclude the time since the last step, which was spent on something else."""
        self._marks.clear()
        self._marks.append((time.monotonic(), 0))

    def add(self, samples: int) -> float:
        self._marks.append((time.monotonic(), samples))
        elapsed = self._marks[-1][0] - self._marks[0][0]
        counted = sum(count for _, count in list(self._marks)[1:])
        self.value = counted / elapsed if elapsed > 0 else 0.0
        return self.value


def _finite(value: Any) -> Any:
    """``value``, or None for a number that JSON cannot represent."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drop_lines_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue  # a line that a kill cut short; its step runs again
    atomic_replace(path, "".join(line + "\n" for line in kept))


def _tensorboard(directory: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(directory), purge_step=step)
