"""What this machine can do at best: products of matrices, and reading memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

_SIDE = 1536
_READ_BYTES = 512 * 2**20
_REPEATS = 5


@dataclass(frozen=True)
class Limits:
    """Operations a second in products, by precision, and bytes a second read from memory.

    What cannot be measured here is ``None``.
    """

    products: dict[str, float | None]
    reads: float


def measure_limits(
    repeats: int = _REPEATS, side: int = _SIDE, bytes_: int = _READ_BYTES, device: str = "cpu"
) -> Limits:
    """The limits now, each the best of a few tries: what disturbs only ever slows."""
    if device != "cpu":
        # What fills a processor for a while is over before a GPU has begun.
        side, bytes_ = 4 * side, 8 * bytes_
    return Limits(
        {
            name: _products(dtype, repeats, side, device)
            for name, dtype in _DTYPES.items()
            # What a processor has for fp16 is slower than anybody would use.
            if device != "cpu" or dtype != torch.float16
        },
        _reads(repeats, bytes_, device),
    )


def probe(side: int = 768, device: str = "cpu") -> float:
    """Operations a second in a short product in fp32: how much of the machine is ours now."""
    a = torch.ones(side, side, device=device)
    return 2 * side**3 / median(_times(lambda: a @ a, 3))


def finish() -> None:
    """Wait until a GPU has done what it was given; without one there is nothing to wait for."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _products(dtype: torch.dtype, repeats: int, side: int, device: str) -> float | None:
    try:
        a = torch.ones(side, side, dtype=dtype, device=device)
        return 2 * side**3 / min(_times(lambda: a @ a, repeats))
    except RuntimeError:
        return None


def _reads(repeats: int, bytes_: int, device: str) -> float:
    numbers = torch.ones(bytes_ // 4, device=device)
    return bytes_ / min(_times(numbers.sum, repeats))


def _times(call: Callable[[], object], repeats: int) -> list[float]:
    call()
    times = []
    for _ in range(repeats):
        finish()
        start = time.perf_counter()
        call()
        finish()
        times.append(time.perf_counter() - start)
    return times
