"""What ``florence2 export`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..io.options import check_options, option

TARGETS = ("onnx", "openvino")
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True, kw_only=True)
class GraphExportConfig:
    """A checkpoint and the graphs that are written of it."""

    model: str = option(..., argument=True, help="A Hub id, a directory, or nano.")
    out: Path = option(..., flags=("--out", "-o"), help="Directory for the graphs.")
    to: str = option("onnx", choices=TARGETS, help="onnx or openvino.")
    precision: tuple[str, ...] = option(
        ("fp32",),
        choices=PRECISIONS,
        help="onnx: fp32, fp16, int8, repeatable; openvino: fp32 or int8.",
    )
    check: bool = option(True, help="Compare the ONNX graphs' outputs with PyTorch.")
    images: tuple[Path, ...] = option((), help="Images to compare on. [default: the bundled one]")
    revision: str | None = option(None, help="Branch, tag or commit of a Hub model.")
    adapter: str | None = option(None, help="Directory of a PEFT LoRA adapter for the model.")

    def __post_init__(self) -> None:
        check_options(self)
        if self.to == "openvino" and len(self.precision) > 1:
            raise ValueError(
                f"OpenVINO files are of one --precision, got {', '.join(self.precision)}"
            )
