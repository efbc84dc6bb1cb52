"""The model as OpenVINO graphs, converted from its PyTorch modules.

There are three: ``vision_encoder`` (the pixels of one image to image tokens), ``encoder`` (image
tokens and a prompt to the keys and values that the decoder attends to) and ``decoder`` (one step).
The modules below only adapt the signatures of the model's own ones: tensors in, tensors out.

Shapes: B images or prompts, N image tokens, P prompt tokens, S encoder positions, R rows of the
decoder, T new tokens, C tokens with those before, L layers, G heads, E channels per head, V
vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ...model import CrossAttentionCache, Florence2Model, SelfAttentionCache, TextConfig
from ..tracing import (
    TracedModule,
    TracedPast,
    TracedVisionEncoder,
    interleave,
    suppress_warnings,
)

if TYPE_CHECKING:
    import openvino

VISION_ENCODER, ENCODER, DECODER = GRAPHS = ("vision_encoder", "encoder", "decoder")

# Increased when ``convert`` gives other graphs, so that cached graphs are converted again.
GRAPH_VERSION = 5


def convert(model: Florence2Model, pixels: tuple[int, int]) -> dict[str, openvino.Model]:
    """The graphs of a model in fp32, for images of ``pixels`` (height, width)."""
    import openvino

    model = model.eval()
    text = model.config.text
    layers, heads = text.decoder_layers, text.decoder_attention_heads
    # One image at a time: the plugin removes needless copies only if all sizes are known,
    # and one image keeps all cores busy.
    image = torch.zeros(1, 3, *pixels)
    with torch.no_grad(), suppress_warnings():
        tokens = model.encode_image(image).expand(2, -1, -1)
        prompt = torch.full((2, 3), text.eos_token_id)
        vision_encoder = openvino.convert_model(TracedVisionEncoder(model), example_input=image)
        encoder = openvino.convert_model(
            _Encoder(model), example_input=(tokens, prompt, torch.zeros(2, 3, dtype=torch.bool))
        )
        past = [torch.zeros(4, heads, 5, text.d_model // heads)] * (2 * layers)
        values = torch.zeros(2, heads, 7, text.d_model // heads)
        cross = [values.transpose(2, 3), values] * layers
        decoder = openvino.convert_model(
            _DecoderStep(model),
            example_input=(
                torch.full((4, 1), text.bos_token_id),
                torch.full((4, 1), 5),
                torch.zeros(4, 1, 1, 6),
                torch.zeros(2, 7),
                *cross,
                *past,
            ),
        )
    _name(vision_encoder, ["pixels"], ["tokens"])
    _reshape(vision_encoder, {"pixels": [1, 3, *pixels]})
    _name(encoder, ["image", "prompt", "padding"], ["mask", *cross_names(layers)])
    _reshape(encoder, {"image": [-1, -1, text.d_model], "prompt": [-1, -1], "padding": [-1, -1]})
    _set_decoder_signature(decoder, text)
    _decompose_sdpa(decoder)
    _make_stateful(decoder, layers)
    return {VISION_ENCODER: vision_encoder, ENCODER: encoder, DECODER: decoder}


def _set_decoder_signature(decoder: openvino.Model, text: TextConfig) -> None:
    """Name inputs and outputs of the decoder, and leave batch and lengths dynamic."""
    cross, past = cross_names(text.decoder_layers), past_names(text.decoder_layers)
    heads = text.decoder_attention_heads
    head_dim = text.d_model // heads
    shapes = {
        "ids": [-1, -1],
        "positions": [-1, -1],
        "self_attention_mask": [-1, 1, -1, -1],
        "mask": [-1, -1],
        **{name: [-1, heads, -1, head_dim] for name in (*cross, *past)},
        **{name: [-1, heads, head_dim, -1] for name in cross[0::2]},
    }
    inputs = ["ids", "positions", "self_attention_mask", "mask", *cross, *past]
    _name(decoder, inputs, ["logprobs", *(f"new_{name}" for name in past)])
    _reshape(decoder, shapes)


class _Encoder(TracedModule):
    def forward(self, image_BND: Tensor, prompt_BP: Tensor, padding_BP: Tensor) -> Any:
        states_BSD = torch.cat([image_BND, self.model.embedding(prompt_BP)], dim=1)
        before_BN = torch.zeros_like(image_BND[:, :, 0], dtype=torch.bool)
        padding_BS = torch.cat([before_BN, padding_BP], dim=1)
        mask_BS = torch.where(padding_BS, float("-inf"), 0.0)
        cross = self.model.cross_attention(self.model.encoder(states_BSD, mask_BS), mask_BS)
        keys_BGES = [keys_BGSE.transpose(2, 3) for keys_BGSE in cross.keys]
        return mask_BS, *interleave(keys_BGES, cross.values)


class _DecoderStep(TracedModule):
    """``past`` are keys and values of all layers in turn, as ``cross`` are."""

    def forward(
        self,
        ids_RT: Tensor,
        positions_RT: Tensor,
        self_attention_mask_R1TC: Tensor,
        mask_BS: Tensor,
        *cross_and_past: Tensor,
    ) -> Any:
        half = len(cross_and_past) // 2
        cross, past = cross_and_past[:half], cross_and_past[half:]
        cache = _Traced(past, positions_RT, self_attention_mask_R1TC)
        # Keys come transposed, as the matmul with queries needs them: once per image, not per step.
        keys_BGSE = tuple(keys_BGES.transpose(2, 3) for keys_BGES in cross[0::2])
        cross_cache = CrossAttentionCache(keys_BGSE, cross[1::2], mask_BS)
        logits_R1V = self.model.decode(
            ids_RT, cross_cache, cast(SelfAttentionCache, cache), last_only=True
        )
        return _log_softmax(logits_R1V[:, 0]), *cache.new


def _log_softmax(logits_RV: Tensor) -> Tensor:
    """``log_softmax`` in operations that the plugin runs vectorized and on all cores."""
    lower_RV = logits_RV - logits_RV.amax(dim=1, keepdim=True)
    return lower_RV - lower_RV.exp().sum(dim=1, keepdim=True).log()


class _Traced(TracedPast):
    """A past with positions and mask as inputs."""

    def __init__(self, past: tuple[Tensor, ...], positions_RT: Tensor, mask_R1TC: Tensor) -> None:
        super().__init__(past)
        self._positions_RT, self._mask_R1TC = positions_RT, mask_R1TC

    def positions(self, steps: int) -> Tensor:
        return self._positions_RT

    def mask(self, steps: int) -> Tensor:
        return self._mask_R1TC


def _decompose_sdpa(decoder: openvino.Model) -> None:
    """Write cross-attention as matmuls, with the scale applied to the few queries.

    The plugin would multiply all keys by it at every step.
    """
    import numpy as np
    import openvino.opset13 as ops

    for node in decoder.get_ordered_ops():
        if node.get_type_name() != "ScaledDotProductAttention":
            continue
        queries, transposed, values, mask = (each.get_source_output() for each in node.inputs()[:4])
        keys = transposed.get_node().input_value(0)
        if not any(name.startswith("cross") for name in keys.get_names()):
            continue
        scale = np.float32(queries.get_partial_shape()[3].get_length() ** -0.5)
        scores = ops.matmul(ops.multiply(queries, ops.constant(scale)), keys, False, False)
        weights = ops.softmax(ops.add(scores, mask), -1)
        outputs = ops.matmul(weights, values, False, False)
        for user in list(node.output(0).get_target_inputs()):
            user.replace_source_output(outputs.output(0))
    decoder.validate_nodes_and_infer_types()


def _make_stateful(decoder: openvino.Model, layers: int) -> None:
    """Make the past a state of the graph, whose rows are selected by the input ``rows``.

    In this form the CPU plugin keeps keys and values without copying them.
    """
    import numpy as np
    import openvino.opset13 as ops
    from openvino import Type
    from openvino._offline_transformations import apply_make_stateful_transformation

    rows = ops.parameter([-1], Type.i32, name="rows")
    rows.output(0).get_tensor().set_names({"rows"})
    decoder.add_parameters([rows])
    names = past_names(layers)
    for name in names:
        past = decoder.input(name)
        users = list(past.get_target_inputs())
        gathered = ops.gather(past, rows, ops.constant(np.int64(0)))
        for user in users:
            user.replace_source_output(gathered.output(0))
    decoder.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(decoder, {name: f"new_{name}" for name in names})
    # The initial past has as many rows as ``rows`` and length 0.
    count = ops.shape_of(rows, output_type="i64")
    for state in decoder.get_ops():
        if state.get_type_name() == "ReadValue":
            _, heads, _, width = state.get_output_partial_shape(0)
            shape = ops.concat(
                [count, ops.constant(np.array([heads.get_length(), 0, width.get_length()]))], 0
            )
            state.set_arguments([ops.broadcast(ops.constant(np.float32(0)), shape)])
    decoder.validate_nodes_and_infer_types()


def cross_names(layers: int) -> list[str]:
    return [f"cross_{kind}_{layer}" for layer in range(layers) for kind in ("keys", "values")]


def past_names(layers: int) -> list[str]:
    return [f"past_{kind}_{layer}" for layer in range(layers) for kind in ("keys", "values")]


def _name(graph: openvino.Model, inputs: list[str], outputs: list[str]) -> None:
    for port, name in zip(graph.inputs, inputs, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(graph.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})


def _reshape(graph: openvino.Model, shapes: dict[str, list[int]]) -> None:
    import openvino

    graph.reshape({name: openvino.PartialShape(shape) for name, shape in shapes.items()})
