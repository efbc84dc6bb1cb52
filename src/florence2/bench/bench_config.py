"""What ``florence2 bench`` measures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..io.options import check_options, option

_CPU_RUNTIMES = ("openvino:fp32", "openvino:bf16", "openvino:int8", "torch:fp32")
_GPU_RUNTIMES = ("torch:fp16", "torch:bf16")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """The model, the candidates that are timed, and how often."""

    model: str = option(
        "nano", argument=True, help="Hub id, directory, nano, or random:base, random:large."
    )
    runtime: tuple[str, ...] = option(
        (), help="RUNTIME:PRECISION, such as openvino:int8. Repeatable."
    )
    tokens: tuple[int, ...] = option(
        (30, 300), min=2, max=1_000_000, help="Exact lengths of outputs. Repeatable."
    )
    rounds: int = option(
        5, min=1, max=10_000, help="Rounds that count; one more is for warming up."
    )
    batch: int = option(
        64, min=0, max=65_536, help="Requests of mixed tasks in a batch; 0 for no batch."
    )
    device: str = option("cpu", help="cpu, or cuda for PyTorch and the baseline.")
    baseline: bool = option(
        True,
        old_flags=("--peer/--no-peer",),
        help="Time transformers too, where it is installed.",
    )
    out: Path = option(
        Path("benchmarks/results"),
        flags=("--out", "-o"),
        help="Directory for the result file.",
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes and precisions to time, the usual ones of the device by default."""
        return self.runtime or (_CPU_RUNTIMES if self.device == "cpu" else _GPU_RUNTIMES)
