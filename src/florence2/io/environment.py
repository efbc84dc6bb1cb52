"""What the machine tells about itself."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor as its maker calls it, or the architecture where the system does not say."""
    return processor_field("model name") or platform.processor() or platform.machine()


def processor_field(name: str) -> str:
    """The first value called ``name`` that Linux tells about the processor, or nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
