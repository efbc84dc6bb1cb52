"""What a precision means to OpenVINO: settings of its processor plugin, and smaller weights.

Released checkpoints hold half-precision numbers. Matrices of such numbers are kept as they are:
half the bytes on disk and in memory, and half to read for every token, with the same products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .graphs import DECODER, ENCODER, TOWER

if TYPE_CHECKING:
    import openvino

PRECISIONS = ("fp32", "bf16", "int8")

# Numbers that share a scale where the plugin quantises as it comes. With its own 32 the encoder
# takes a quarter longer and a token a twentieth.
_TOGETHER = "128"
# Weights of fewer numbers are not worth a scale of their own.
_FEWEST = 4096


def plugin_settings(
    core: openvino.Core, graph: str, precision: str, threads: int | None
) -> dict[str, Any]:
    """The plugin's settings for a graph, by its name. Raises ``ValueError`` for a precision that is
    not to be had here.

    With 8-bit weights in encoder and decoder the plugin quantises what they are multiplied with as
    it comes, ``_TOGETHER`` numbers at a time. What lies between the products is bf16 then too where
    the processor has that, but fp32 in the decoder, which is nearer so and hardly slower.
    """
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and not has_bf16:
        raise ValueError("this processor has no bfloat16 arithmetic: use precision fp32 or int8")
    halved = precision == "bf16" or (precision == "int8" and graph != DECODER and has_bf16)
    numbers = "bf16" if halved else "f32"
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": numbers,
        # The plugin's own default keeps keys and values in 8 bits, which is not what was asked for.
        "KV_CACHE_PRECISION": numbers,
    }
    if precision == "int8" and graph != TOWER:
        settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = _TOGETHER
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = str(threads)
    return settings


def shrink(graphs: Mapping[str, openvino.Model], precision: str) -> None:
    """Keep the matrices of the graphs in the fewest bytes that ``precision`` allows.

    The tower's in 8 bits are those of ``static_quantization``, and left as they are.
    """
    for name, graph in graphs.items():
        if precision == "int8":
            if name != TOWER:
                compress_weights(graph)
        else:
            keep_halves(graph, rounded=precision == "bf16" and name == DECODER)
    if precision == "bf16":
        pass_fp16_kv(graphs[ENCODER], graphs[DECODER])


def pass_fp16_kv(encoder: openvino.Model, decoder: openvino.Model) -> None:
    """Let keys and values go from encoder to decoder in bf16.

    A decoder that computes in bf16 would make halves of them at every step.
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
            halves = ops.convert(source, Type.bf16).output(0)
            source.get_tensor().set_names(set())
            halves.get_tensor().set_names({name})
            result.input(0).replace_source_output(halves)
    for graph in (encoder, decoder):
        graph.validate_nodes_and_infer_types()


def compress_weights(graph: openvino.Model) -> int:
    """Keep the matrices of a graph in 8 bits, with a scale for every output; how many there are.

    Where the processor has 8-bit products, the plugin quantises the other factor in groups of 32.
    """
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
    """A matrix as whole numbers of 8 bits times a scale for every output."""
    import openvino.opset13 as ops
    from openvino import Type

    scales_M1 = np.abs(weights_MN).max(axis=1, keepdims=True) / np.float32(127)
    scales_M1[scales_M1 == 0] = 1
    small = ops.constant(np.round(weights_MN / scales_M1).astype(np.int8))
    return ops.multiply(ops.convert(small, Type.f32), ops.constant(scales_M1))


def keep_halves(graph: openvino.Model, rounded: bool = False) -> int:
    """Keep matrices that half precision holds without loss in it; how many there are.

    With ``rounded`` those too that lose a little.
    """
    import openvino.opset13 as ops
    from openvino import Type

    count = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Constant" or not _is_matrix(node):
            continue
        weights_MN = node.data
        halves_MN = weights_MN.astype(np.float16)
        if not (rounded or np.array_equal(halves_MN.astype(np.float32), weights_MN)):
            continue
        restored = ops.convert(ops.constant(halves_MN), Type.f32)
        for user in list(node.output(0).get_target_inputs()):
            user.replace_source_output(restored.output(0))
        count += 1
    graph.validate_nodes_and_infer_types()
    return count


def mark_fp16_decompression(graph: openvino.Model) -> None:
    """Let the plugin multiply by matrices in half precision as they are, not by a copy in fp32.

    The mark is not kept in files, so it is set before every compilation.
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
        and shape[0] * shape[1] >= _FEWEST
        and node.get_output_element_type(0).get_type_name() == "f32"
    )
