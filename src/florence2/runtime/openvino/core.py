"""The one OpenVINO core of a process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino


@cache
def get_core() -> openvino.Core:
    """The core that compiles all graphs of this process; it is never released.

    The CPU plugin installs a signal stack in the thread that loads it. If its last user is
    released in another thread, the stack is unmapped but stays installed, and the next signal
    (Ctrl-C) ends the process with a segmentation fault. Observed with OpenVINO 2026.
    """
    import openvino

    return openvino.Core()
