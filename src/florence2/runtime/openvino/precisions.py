"""OpenVINO precisions: settings of the CPU plugin, and compressed weights.

Released checkpoints hold fp16 values. Their matrices stay in fp16: half the bytes on disk, in
memory, and to read for every token, with the same results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .graphs import DECODER, ENCODER, VISION_ENCODER

if TYPE_CHECKING:
    import openvino

PRECISIONS = ("fp32", "bf16", "int8")

# Activations that share a scale in dynamic quantization. With the plugin's own 32 the encoder takes
# a quarter longer and a token a twentieth.
_GROUP_SIZE = "128"
# Smaller matrices are not worth compressing.
_MIN_WEIGHTS = 4096


def plugin_settings(
    core: openvino.Core, graph: str, precision: str, threads: int | None
) -> dict[str, Any]:
    """The plugin's settings for a graph, by its name.

    With int8 weights in encoder and decoder the plugin quantizes activations dynamically, in groups
    of ``_GROUP_SIZE``. Between matmuls the encoder computes in bf16 where the CPU supports it, the
    decoder in fp32, which is more accurate and hardly slower.

    Raises:
        ValueError: for a precision that this CPU does not support.
    """
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and not has_bf16:
        raise ValueError("this processor has no bfloat16 arithmetic: use precision fp32 or int8")
    is_bf16 = precision == "bf16" or (precision == "int8" and graph != DECODER and has_bf16)
    dtype = "bf16" if is_bf16 else "f32"
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": dtype,
        # The plugin's default quantizes keys and values to 8 bits.
        "KV_CACHE_PRECISION": dtype,
    }
    if precision == "int8" and graph != VISION_ENCODER:
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = _GROUP_SIZE
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    return settings


def compress_graphs(graphs: Mapping[str, openvino.Model], precision: str) -> None:
    """Compress the matrices of the graphs as far as ``precision`` allows.

    For int8 the vision encoder is quantized by ``static_quantization`` instead.
    """
    for name, graph in graphs.items():
        if precision == "int8":
            if name != VISION_ENCODER:
                compress_weights(graph)
        else:
            compress_to_fp16(graph, rounded=precision == "bf16" and name == DECODER)
    if precision == "bf16":
        pass_bf16_kv(graphs[ENCODER], graphs[DECODER])


def pass_bf16_kv(encoder: openvino.Model, decoder: openvino.Model) -> None:
    """Pass keys and values from encoder to decoder in bf16.

    A decoder that computes in bf16 would convert them at every step.
    """
    import openvino.opset13 as ops
    from openvino import Type

    for port in decoder.inputs:
        if port.get_any_name().startswith("cross"):
            users, parameter = list(port.get_target_inputs()), port.get_node()
            parameter.set_element_type(Type.bf16)
            for user in users:
                user.replace_source_output(ops.convert(parameter, Type.f32).output(0))
    for result in encoder.results:
        source = result.input_value(0)
        name = result.output(0).get_any_name()
        if name.startswith("cross"):
            as_bf16 = ops.convert(source, Type.bf16).output(0)
            source.get_tensor().set_names(set())
            as_bf16.get_tensor().set_names({name})
            result.input(0).replace_source_output(as_bf16)
    for graph in (encoder, decoder):
        graph.validate_nodes_and_infer_types()


def compress_weights(graph: openvino.Model) -> int:
    """Quantize the matrices of a graph to int8 with a scale per output; returns their number."""
    count = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Constant" or not _is_matrix(node):
            continue
        users = list(node.output(0).get_target_inputs())
        if not any(user.get_node().get_type_name() in ("MatMul", "Gather") for user in users):
            continue
        restored = quantize_int8(node.data)
        for user in users:
            user.replace_source_output(restored.output(0))
        count += 1
    graph.validate_nodes_and_infer_types()
    return count


def quantize_int8(weights_MN: NDArray[np.float32]) -> openvino.Node:
    """A matrix as int8 values times a scale per output."""
    import openvino.opset13 as ops
    from openvino import Type

    scales_M1 = np.abs(weights_MN).max(axis=1, keepdims=True) / np.float32(127)
    scales_M1[scales_M1 == 0] = 1
    small = ops.constant(np.round(weights_MN / scales_M1).astype(np.int8))
    return ops.multiply(ops.convert(small, Type.f32), ops.constant(scales_M1))


def compress_to_fp16(graph: openvino.Model, rounded: bool = False) -> int:
    """Store matrices in fp16 where that is lossless, or all with ``rounded``.

    Returns their number.
    """
    import openvino.opset13 as ops
    from openvino import Type

    count = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Constant" or not _is_matrix(node):
            continue
        weights_MN = node.data
        fp16_MN = weights_MN.astype(np.float16)
        if not (rounded or np.array_equal(fp16_MN.astype(np.float32), weights_MN)):
            continue
        restored = ops.convert(ops.constant(fp16_MN), Type.f32)
        for user in list(node.output(0).get_target_inputs()):
            user.replace_source_output(restored.output(0))
        count += 1
    graph.validate_nodes_and_infer_types()
    return count


def mark_fp16_decompression(graph: openvino.Model) -> None:
    """Let the plugin multiply by fp16 matrices directly, not by a copy in fp32.

    The mark is not stored in files, so it is set before every compilation.
    """
    for node in graph.get_ops():
        if node.get_type_name() == "Convert":
            source = node.input_value(0)
            constant = source.get_node().get_type_name() == "Constant"
            if constant and source.get_element_type().get_type_name() == "f16":
                node.get_rt_info()["decompression_0"] = True


def _is_matrix(node: Any) -> bool:
    shape = node.get_output_shape(0)
    return (
        len(shape) == 2
        and min(shape) > 1
        and shape[0] * shape[1] >= _MIN_WEIGHTS
        and node.get_output_element_type(0).get_type_name() == "f32"
    )
