"""Keeping freed memory in the process while training on a CPU.

A step asks for the same large buffers every time. glibc gives each back to the system when it is
freed, and the system fills it with zeros, page by page, when it is asked for again: a quarter of a
step at the base size (``docs/log.md``). Told to keep it, it hands out what is already there.
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3), and the largest threshold it takes.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed; whether it could be told (elsewhere nothing is done)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
