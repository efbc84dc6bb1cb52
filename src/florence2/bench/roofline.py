"""The peak rates of this machine: matrix products and memory reads."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch

from .openvino_roofline import measure_openvino_flops
from .timing import time_repeats

_SIDE = 1536
_READ_BYTES = 512 * 2**20
_REPEATS = 5
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Roofline:
    """Operations per second in matrix products, by precision, and bytes per second from memory.

    ``None`` where a precision cannot be measured here. On a CPU the better of PyTorch and OpenVINO
    counts: PyTorch's fp32 products reach less than half of OpenVINO's on some.
    """

    flops: dict[str, float | None]
    bytes_per_second: float


def measure_roofline(
    repeats: int = _REPEATS, side: int = _SIDE, num_bytes: int = _READ_BYTES, device: str = "cpu"
) -> Roofline:
    """The peak rates now, each the best of ``repeats`` measurements: disturbances only slow down.

    Args:
        repeats: number of measurements.
        side: rows and columns of the matrices.
        num_bytes: size of the memory that is read.
        device: ``cpu`` or ``cuda``.
    """
    if device != "cpu":
        # A GPU needs larger inputs to be busy.
        side, num_bytes = 4 * side, 8 * num_bytes
    flops = {
        name: _measure_flops(dtype, repeats, side, device)
        for name, dtype in _DTYPES.items()
        # fp16 on a CPU is too slow to be of use.
        if device != "cpu" or dtype != torch.float16
    }
    if device == "cpu":
        for name, rate in measure_openvino_flops(repeats, side).items():
            flops[name] = max(rate, flops.get(name) or 0.0)
    return Roofline(flops, _measure_reads(repeats, num_bytes, device))


def probe(side: int = 768, device: str = "cpu") -> float:
    """Operations per second in a short fp32 product: how much of the machine is free now."""
    a = torch.ones(side, side, device=device)
    return 2 * side**3 / median(time_repeats(lambda: a @ a, 3))


def _measure_flops(dtype: torch.dtype, repeats: int, side: int, device: str) -> float | None:
    try:
        a = torch.ones(side, side, dtype=dtype, device=device)
        return 2 * side**3 / min(time_repeats(lambda: a @ a, repeats))
    except RuntimeError:
        return None


def _measure_reads(repeats: int, num_bytes: int, device: str) -> float:
    values = torch.ones(num_bytes // 4, device=device)
    return num_bytes / min(time_repeats(values.sum, repeats))
