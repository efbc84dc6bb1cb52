"""Converts ONNX graphs to fp16 weights or to dynamic int8 quantization."""

from __future__ import annotations

from pathlib import Path

from ...io.atomic import atomic_write

PRECISIONS = ("fp32", "fp16", "int8")
# The file names of the onnx-community exports.
SUFFIXES = {"fp32": "", "fp16": "_fp16", "int8": "_int8"}


def onnx_path(folder: Path, graph: str, precision: str) -> Path:
    """The file of a graph at a precision. Raises ``ValueError`` for an unknown one."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    return folder / f"{graph}{SUFFIXES[precision]}.onnx"


def convert_graph(folder: Path, graph: str, precision: str) -> Path:
    """Write a copy of an fp32 graph at ``precision`` next to it; inputs and outputs stay fp32.

    int8 stores matrices with a scale per output, and quantizes activations dynamically.
    """
    source, path = onnx_path(folder, graph, "fp32"), onnx_path(folder, graph, precision)
    if precision == "fp16":
        _to_fp16(source, path)
    elif precision == "int8":
        _to_int8(source, path)
    return path


def _to_fp16(source: Path, path: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(
        onnx.load(source), keep_io_types=True, disable_shape_infer=True
    )
    with atomic_write(path) as temporary:
        onnx.save(model, str(temporary))


def _to_int8(source: Path, path: Path) -> None:
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Its warning about preprocessing concerns graphs without inferred shapes.
    logging.getLogger("root").setLevel(logging.ERROR)
    with atomic_write(path) as temporary:
        quantize_dynamic(
            str(source),
            str(temporary),
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
        )
