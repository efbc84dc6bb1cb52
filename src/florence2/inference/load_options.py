"""Which checkpoint a command or a workflow loads, and where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..io.options import check_options, option

# The names in runtime.factory and runtime.precisions, which import torch.
RUNTIMES = ("openvino", "torch", "onnx")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """A checkpoint and the arguments of ``florence2.load``; ``None`` takes its default."""

    model: str = option(
        "nano", flags=("--model", "-m"), help="A Hub id, a directory, or nano (bundled)."
    )
    revision: str | None = option(None, help="Branch, tag or commit of a Hub model.")
    adapter: str | None = option(None, help="Directory of a PEFT LoRA adapter for the model.")
    device: str | None = option(None, help="cpu, cuda, cuda:1 ... [default: the best available]")
    precision: str | None = option(
        None,
        choices=PRECISIONS,
        help="fp32, bf16, fp16, or with openvino int8. [default: fp32 on a CPU, else fp16]",
    )
    runtime: str | None = option(
        None,
        choices=RUNTIMES,
        help="openvino, torch, or onnx. [default: openvino on a CPU, else torch]",
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def load_arguments(self) -> dict[str, Any]:
        """The keyword arguments of ``florence2.load`` that are set."""
        names = ("revision", "adapter", "device", "precision", "runtime")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
