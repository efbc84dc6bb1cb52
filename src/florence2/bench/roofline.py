"""What this machine can do at best: products of matrices, and reading memory."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch

from .openvino_roofline import plugin_products
from .timing import times

_SIDE = 1536
_READ_BYTES = 512 * 2**20
_REPEATS = 5


@dataclass(frozen=True)
class Limits:
    """Operations a second in products, by precision, and bytes a second read from memory.

    What cannot be measured here is ``None``. On a processor products are the best of those that
    PyTorch and OpenVINO have, as a library may be far below what the processor can do: its fp32
    products are at less than half of OpenVINO's on some.
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
    products = {
        name: _products(dtype, repeats, side, device)
        for name, dtype in _DTYPES.items()
        # What a processor has for fp16 is slower than anybody would use.
        if device != "cpu" or dtype != torch.float16
    }
    if device == "cpu":
        for name, rate in plugin_products(repeats, side).items():
            products[name] = max(rate, products.get(name) or 0.0)
    return Limits(products, _reads(repeats, bytes_, device))


def probe(side: int = 768, device: str = "cpu") -> float:
    """Operations a second in a short product in fp32: how much of the machine is ours now."""
    a = torch.ones(side, side, device=device)
    return 2 * side**3 / median(times(lambda: a @ a, 3))


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _products(dtype: torch.dtype, repeats: int, side: int, device: str) -> float | None:
    try:
        a = torch.ones(side, side, dtype=dtype, device=device)
        return 2 * side**3 / min(times(lambda: a @ a, repeats))
    except RuntimeError:
        return None


def _reads(repeats: int, bytes_: int, device: str) -> float:
    numbers = torch.ones(bytes_ // 4, device=device)
    return bytes_ / min(times(numbers.sum, repeats))
