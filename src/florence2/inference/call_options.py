"""Which checkpoint a command or a workflow loads, and with what options it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..io.options import check_options, option

# The names in runtime.factory and runtime.precisions, which import torch.
RUNTIMES = ("openvino", "torch", "onnx")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
# The largest seed that torch, NumPy and Python all take.
MAX_SEED = 2**63 - 1


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
        return drop_none(self, ("revision", "adapter", "device", "precision", "runtime"))


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """The options of a prediction; ``None`` takes the default of the model."""

    min_score: float | None = option(None, min=0, max=1, help="Drop regions with a lower score.")
    nms_iou: float | None = option(
        None, min=0, max=1, help="IoU threshold of non-maximum suppression within a label."
    )
    fix_inverted_boxes: bool = option(
        False, old_flags=("--order-corners",), help="Swap the corners of inverted boxes."
    )
    clip: bool = option(False, help="Clip coordinates to the image.")
    ascii_labels: bool = option(
        False, help="Drop non-ASCII characters from labels, as the released code does."
    )
    beams: int | None = option(None, min=1, max=100, help="Number of beams. [default: 3]")
    max_new_tokens: int | None = option(
        None, min=1, max=1_000_000, help="Maximum number of new tokens. [default: 1024]"
    )
    temperature: float | None = option(
        None, min=0, max=100, help="Sample at this temperature instead of beam search."
    )
    top_k: int | None = option(
        None, min=1, max=1_000_000, help="Top-k sampling: from the k most likely tokens."
    )
    top_p: float | None = option(
        None, min=0, max=1, help="Nucleus (top-p) sampling: from this probability mass."
    )
    constrained: bool = option(False, help="Constrain decoding to the task's output grammar.")
    seed: int | None = option(None, min=0, max=MAX_SEED, help="Random seed of sampling.")
    batch_size: int | None = option(
        None, min=1, max=65_536, help="Maximum number of sequences decoded together."
    )
    max_kv_memory: float | None = option(
        None,
        min=0.01,
        max=100_000,
        old_flags=("--memory",),
        help="KV-cache memory limit in GiB. [default: 4]",
    )

    @property
    def output_arguments(self) -> dict[str, Any]:
        """The keyword arguments of a prediction that are set and that change its output."""
        regions = ("min_score", "nms_iou", "fix_inverted_boxes", "clip", "ascii_labels")
        decoding = ("beams", "max_new_tokens", "temperature", "top_k", "top_p", "seed")
        return drop_none(self, (*regions, *decoding, "constrained"))

    @property
    def predict_arguments(self) -> dict[str, Any]:
        """All keyword arguments of ``Florence2.stream`` that are set; memory in bytes."""
        arguments = self.output_arguments | drop_none(self, ("batch_size",))
        if self.max_kv_memory is not None:
            arguments["memory"] = int(self.max_kv_memory * 2**30)
        return arguments


def drop_none(options: object, names: tuple[str, ...]) -> dict[str, Any]:
    """The attributes called ``names`` that are neither ``None`` nor ``False``."""
    values = {name: getattr(options, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != "" and value is not False
    }
