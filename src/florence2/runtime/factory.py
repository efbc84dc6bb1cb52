"""Creates the runtime of a model, by name, device and precision."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..model import Florence2Config, Florence2Model
from ..model.checkpoint.directories import ONNX_FOLDER
from .onnx.precisions import PRECISIONS as ONNX_PRECISIONS
from .openvino.precisions import PRECISIONS
from .protocol import AnyRuntime
from .torch.runtime import TorchRuntime

RUNTIMES = ("torch", "openvino", "onnx")
TORCH_PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

# Environment variable with the runtime of calls without ``runtime``.
ENV_VAR = "FLORENCE2_RUNTIME"


class CalibrationData(Protocol):
    """Images on which activation ranges are measured."""

    def pixels(self) -> NDArray[np.float32]:
        """Normalized pixels ``float32[B, 3, H, W]``."""
        ...

    def key(self) -> str:
        """A hash that identifies the images."""
        ...


def choose_exported_runtime(directory: Path, graphs: str | None, runtime: str | None) -> str | None:
    """The runtime for a directory with exported ``graphs`` and no weights, or ``None``.

    Raises ``ValueError`` for a runtime that needs weights or other graphs.
    """
    if graphs is None or runtime is None:
        return graphs or runtime
    if runtime in RUNTIMES and runtime != graphs:
        raise ValueError(
            f"{directory} has exported graphs for the {graphs} runtime and no weights: leave "
            f"runtime out, or pass {graphs!r} instead of {runtime!r}"
        )
    return runtime


def default_runtime(device: torch.device, precision: str | None) -> str:
    """OpenVINO on a CPU at a precision that it supports, PyTorch otherwise."""
    if device.type != "cpu":
        return "torch"
    if precision == "fp16":
        warnings.warn(
            "precision fp16 on a CPU runs in PyTorch, which is slow: fp32, bf16 and int8 run in "
            "OpenVINO",
            stacklevel=3,
        )
        return "torch"
    return os.environ.get(ENV_VAR) or "openvino"


def check_runtime(runtime: str, device: torch.device, precision: str | None) -> None:
    """Raise ``ValueError`` for an unknown runtime, or an unsupported device or precision."""
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
    if runtime != "torch" and device.type != "cpu":
        raise ValueError(
            f"the {runtime} runtime works on the cpu, not on {device}: leave out device or runtime"
        )
    precisions = {
        "torch": tuple(TORCH_PRECISIONS),
        "openvino": PRECISIONS,
        "onnx": ONNX_PRECISIONS,
    }[runtime]
    if precision is not None and precision not in precisions:
        raise ValueError(
            f"precision of the {runtime} runtime must be one of {', '.join(precisions)}, got "
            f"{precision!r}"
        )


def torch_runtime(model: Florence2Model, device: torch.device, precision: str | None) -> AnyRuntime:
    """PyTorch on a device, by default in fp32 on a CPU and in fp16 elsewhere."""
    precision = precision or ("fp32" if device.type == "cpu" else "fp16")
    return TorchRuntime(model.to(device, TORCH_PRECISIONS[precision]))


def openvino_runtime(
    config: Florence2Config,
    load_model: Callable[[], Florence2Model],
    files: list[Path],
    pixels: tuple[int, int],
    precision: str | None,
    calibration: CalibrationData,
    **more: Any,
) -> AnyRuntime:
    """OpenVINO on this machine's CPU, by default in fp32.

    ``files`` are those that the weights depend on: graphs converted from the same files are read
    from the cache, without loading the model. ``pixels`` are the height and width of images; int8
    measures its ranges on ``calibration``.
    """
    from .openvino.graph_cache import cache_key, load_graphs
    from .openvino.graphs import GRAPH_VERSION, VISION_ENCODER, convert
    from .openvino.precisions import compress_graphs
    from .openvino.runtime import OpenVinoRuntime
    from .openvino.static_quantization import quantize, smoothquant

    precision = precision or "fp32"
    key_parts: tuple[object, ...] = (GRAPH_VERSION, precision, pixels)
    if precision == "int8":
        key_parts += (calibration.key(),)

    def make() -> dict[str, Any]:
        model = load_model()
        if precision != "int8":
            graphs = convert(model, pixels)
        else:
            model, bounds = smoothquant(model, calibration.pixels())
            graphs = convert(model, pixels)
            quantize(graphs[VISION_ENCODER], bounds)
        compress_graphs(graphs, precision)
        return graphs

    graphs = load_graphs(cache_key(files, *key_parts), make)
    return OpenVinoRuntime(config, graphs, precision, load_model, **more)


def exported_openvino_runtime(
    config: Florence2Config, directory: Path, pixels: tuple[int, int], precision: str | None
) -> AnyRuntime:
    """The graphs that ``florence2 export --to openvino`` wrote into ``directory``.

    Raises ``ValueError`` for another precision or size of images than that of the graphs.
    """
    from .openvino.exported import load_exported_graphs
    from .openvino.runtime import OpenVinoRuntime

    def refuse() -> Florence2Model:
        raise ValueError("exported graphs have no model to save or inspect: load the checkpoint")

    graphs, found = load_exported_graphs(directory, config, pixels)
    if precision is not None and precision != found:
        raise ValueError(f"the graphs in {directory} are {found}, not {precision}: export them so")
    return OpenVinoRuntime(config, graphs, found, refuse)


def onnx_runtime(config: Florence2Config, directory: Path, precision: str | None) -> AnyRuntime:
    """The graphs that ``florence2 export --to onnx`` wrote into ``directory``, in ONNX Runtime."""
    from .onnx.runtime import OnnxRuntime

    return OnnxRuntime(config, directory / ONNX_FOLDER, precision or "fp32")


def describe_runtime(runtime: AnyRuntime) -> str:
    """Device, precision and name of a runtime, for the ``repr`` of a model."""
    kind = type(runtime).__name__
    names = {"TorchRuntime": "torch", "OpenVinoRuntime": "openvino", "OnnxRuntime": "onnx"}
    precision = getattr(runtime, "precision", None)
    if precision is None:
        dtype = getattr(runtime, "dtype", None)
        known = {value: name for name, value in TORCH_PRECISIONS.items()}
        precision = known.get(dtype, str(dtype)) if isinstance(dtype, torch.dtype) else str(dtype)
    return (
        f"device={str(runtime.device)!r}, precision={precision!r}, "
        f"runtime={names.get(kind, kind)!r}"
    )
