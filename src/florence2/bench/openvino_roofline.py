"""Matrix products in OpenVINO: the rate of its CPU plugin."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.openvino.core import get_core
from .timing import time_repeats

if TYPE_CHECKING:
    import openvino


def measure_openvino_flops(repeats: int, side: int) -> dict[str, float]:
    """Operations per second in a product of square matrices, by the precisions of the CPU; empty
    without OpenVINO."""
    if find_spec("openvino") is None:
        return {}
    core = get_core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = {}
    for precision, capability in (("fp32", "FP32"), ("bf16", "BF16"), ("int8", "INT8")):
        if capability not in capabilities:
            continue
        dtype = "bf16" if precision == "bf16" else "f32"
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": dtype}
        graph = _make_product(side, quantize_int8=precision == "int8")
        request = core.compile_model(graph, "CPU", settings).create_infer_request()
        ones = np.ones((side, side), np.float32)
        infer = partial(request.infer, {0: ones}, share_inputs=True, share_outputs=True)
        taken = time_repeats(infer, repeats)
        found[precision] = 2 * side**3 / min(taken)
    return found


def _make_product(side: int, quantize_int8: bool) -> openvino.Model:
    """``x`` times a constant matrix; both int8 with ``quantize_int8``, as after calibration."""
    import openvino
    import openvino.opset13 as ops
    from openvino import Type

    factor = ops.parameter([side, side], Type.f32)
    random = np.random.default_rng(0).integers(-127, 128, (side, side))
    if not quantize_int8:
        weights = ops.constant(random.astype(np.float32))
        return openvino.Model([ops.matmul(factor, weights, False, True)], [factor])
    low, high = (ops.constant(np.float32(edge)) for edge in (-1.28, 1.27))
    rounded = ops.fake_quantize(factor, low, high, low, high, 256)
    scales = ops.constant(np.full((side, 1), 0.05, np.float32))
    weights = ops.multiply(ops.convert(ops.constant(random.astype(np.int8)), Type.f32), scales)
    return openvino.Model([ops.matmul(rounded, weights, False, True)], [factor])
