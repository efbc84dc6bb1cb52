"""The one core of a process outlives every model."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

# Loads a model here and releases it in another thread, then gets a signal.
SIGNALED = """
import gc, os, signal, threading
import florence2

models = [florence2.load("nano", runtime="openvino")]
def release():
    models.clear()
    gc.collect()
thread = threading.Thread(target=release)
thread.start()
thread.join()
received = []
signal.signal(signal.SIGINT, lambda *_: received.append(True))
os.kill(os.getpid(), signal.SIGINT)
print("received", received)
"""


def test_a_signal_is_handled_after_a_model_was_released_in_another_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALED], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("received [True]\n")


def test_there_is_one_core() -> None:
    from florence2.runtime.openvino.core import get_core

    assert get_core() is get_core()
