"""Ctrl-C and SIGTERM during training: the run saves its state, then ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(KeyboardInterrupt):
    """A signal stopped the run, which has saved its state.

    ``step`` of ``steps`` are done; ``checkpoint`` has the state.
    """

    def __init__(self, signal_number: int, step: int, steps: int, checkpoint: Path) -> None:
        self.signal_number, self.step, self.steps = signal_number, step, steps
        self.checkpoint = checkpoint
        super().__init__(
            f"stopped at step {step:,} of {steps:,}; the state is in {checkpoint}. "
            "Run the same command again to resume"
        )


class PhaseInterrupted(KeyboardInterrupt):
    """A signal stopped an evaluation; it runs again when the run resumes."""


class StopRequest:
    """Records SIGINT and SIGTERM during its block; a second one ends the process as usual.

    ``alone`` is for a single process. Of several processes each may get the signal, and more than
    once; they stop together at the end of a step. Outside the main thread signals are not
    handled.
    """

    def __init__(self, alone: bool) -> None:
        self.signal_number: int | None = None
        self._alone, self._in_phase = alone, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    @contextmanager
    def phase(self) -> Iterator[None]:
        """A block that changes no state and may take long: a signal ends it immediately.

        Raises ``PhaseInterrupted``.
        """
        if self.signal_number is not None and self._alone:
            raise PhaseInterrupted
        self._in_phase = self._alone
        try:
            yield
        finally:
            self._in_phase = False

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None and self._alone:
            self._restore()
            signal.raise_signal(number)
            return
        self.signal_number = number
        if self._in_phase:
            self._in_phase = False
            raise PhaseInterrupted

    def _restore(self) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}
