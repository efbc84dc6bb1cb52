"""What a figure was measured with: versions and the machine, in words."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..io.environment import cpu_name

_PACKAGES = ("florence2", "torch", "numpy", "pillow", "tokenizers", "faster-coco-eval", "shapely")


def versions() -> dict[str, str]:
    """Python's version and those of the installed packages that shape a figure."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment_info(model: object) -> str:
    """Where and at which precision ``model`` runs, as far as it tells, and the processor."""
    runtime: Any = getattr(model, "runtime", None)
    device, dtype = getattr(runtime, "device", None), getattr(runtime, "dtype", None)
    parts = [cpu_name(), f"{os.cpu_count()} processors"]
    if device is not None:
        parts.insert(0, _accelerator(device) if device.type == "cuda" else str(device))
    if dtype is not None:
        parts.insert(1, str(dtype).removeprefix("torch."))
    return ", ".join(parts)


def _accelerator(device: Any) -> str:
    import torch

    return torch.cuda.get_device_name(device)
