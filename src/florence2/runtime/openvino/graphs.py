"""The model as OpenVINO graphs, converted straight from its PyTorch modules.

Three of them: ``tower`` (the pixels of one picture to image tokens), ``encoder`` (image tokens and
a prompt to the keys and values that the decoder attends to) and ``decoder`` (one step). The modules
below only bring the real ones into the form of a graph: tensors in, tensors out, no Python in
between.

Shapes: B images or prompts, N image tokens, P prompt tokens, S encoder positions, R rows of the
decoder, T new tokens, C tokens with those before, L layers, G heads, E channels per head, V
vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ...model import CrossAttentionCache, Florence2Model, SelfAttentionCache
from ..tracing import Part, Tower, TracedPast, interleaved, suppress_warnings

if TYPE_CHECKING:
    import openvino

TOWER, ENCODER, DECODER = GRAPHS = ("tower", "encoder", "decoder")

# Raised whenever ``convert`` gives other graphs, so that those in the cache are made again.
FORM = 4


def convert(model: Florence2Model, pixels: tuple[int, int]) -> dict[str, openvino.Model]:
    """The graphs of a model in fp32, for pictures of ``pixels`` (height, width)."""
    import openvino

    model = model.eval()
    text = model.config.text
    width, head = text.d_model, text.d_model // text.decoder_attention_heads
    # A picture at a time: only where all sizes are known does the plugin see which moves of memory
    # change nothing, and a picture fills a processor anyhow.
    layers, image = text.decoder_layers, torch.zeros(1, 3, *pixels)
    with torch.no_grad(), suppress_warnings():
        tokens = model.encode_image(image).expand(2, -1, -1)
        prompt = torch.full((2, 3), text.eos_token_id)
        tower = openvino.convert_model(Tower(model), example_input=image)
        encoder = openvino.convert_model(
            _Encoder(model), example_input=(tokens, prompt, torch.zeros(2, 3, dtype=torch.bool))
        )
        past = [torch.zeros(4, text.decoder_attention_heads, 5, head)] * (2 * layers)
        values = torch.zeros(2, text.decoder_attention_heads, 7, head)
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
    _name(tower, ["pixels"], ["tokens"])
    _name(encoder, ["image", "prompt", "padding"], ["mask", *cross_names(layers)])
    _name(
        decoder,
        [
            "ids",
            "positions",
            # Graphs on disk have this name: another one needs another FORM.
            "own_mask",
            "mask",
            *cross_names(layers),
            *past_names(layers),
        ],
        ["logprobs", *(f"new_{name}" for name in past_names(layers))],
    )
    _reshape(tower, {"pixels": [1, 3, *pixels]})
    _reshape(encoder, {"image": [-1, -1, width], "prompt": [-1, -1], "padding": [-1, -1]})
    free, turned = (
        [-1, text.decoder_attention_heads, -1, head],
        [-1, text.decoder_attention_heads, head, -1],
    )
    _reshape(
        decoder,
        {
            "ids": [-1, -1],
            "positions": [-1, -1],
            "own_mask": [-1, 1, -1, -1],
            "mask": [-1, -1],
        }
        | dict.fromkeys([*cross_names(layers), *past_names(layers)], free)
        | dict.fromkeys(cross_names(layers)[0::2], turned),
    )
    _unfold_cross_attention(decoder)
    _keep_past_inside(decoder, layers)
    return {TOWER: tower, ENCODER: encoder, DECODER: decoder}


class _Encoder(Part):
    def forward(self, image_BND: Tensor, prompt_BP: Tensor, padding_BP: Tensor) -> Any:
        states_BSD = torch.cat([image_BND, self.model.embedding(prompt_BP)], dim=1)
        before_BN = torch.zeros_like(image_BND[:, :, 0], dtype=torch.bool)
        padding_BS = torch.cat([before_BN, padding_BP], dim=1)
        mask_BS = torch.where(padding_BS, float("-inf"), 0.0)
        cross = self.model.cross_attention(self.model.encoder(states_BSD, mask_BS), mask_BS)
        keys_BGES = [keys_BGSE.transpose(2, 3) for keys_BGSE in cross.keys]
        return mask_BS, *interleaved(keys_BGES, cross.values)


class _DecoderStep(Part):
    """``past`` are keys and values of all layers in turn, as ``cross`` are."""

    def forward(
        self,
        ids_RT: Tensor,
        positions_RT: Tensor,
        own_mask_R1TC: Tensor,
        mask_BS: Tensor,
        *cross_and_past: Tensor,
    ) -> Any:
        half = len(cross_and_past) // 2
        cross, past = cross_and_past[:half], cross_and_past[half:]
        cache = _Traced(past, positions_RT, own_mask_R1TC)
        # Keys come turned over, as products with queries want them: once an image, not every step.
        keys_BGSE = tuple(keys_BGES.transpose(2, 3) for keys_BGES in cross[0::2])
        attended = CrossAttentionCache(keys_BGSE, cross[1::2], mask_BS)
        logits_R1V = self.model.decode(
            ids_RT, attended, cast(SelfAttentionCache, cache), last_only=True
        )
        return _log_softmax(logits_R1V[:, 0]), *cache.new


def _log_softmax(logits_RV: Tensor) -> Tensor:
    """As ``log_softmax``, in operations that the plugin runs on all cores and in vectors."""
    lower_RV = logits_RV - logits_RV.amax(dim=1, keepdim=True)
    return lower_RV - lower_RV.exp().sum(dim=1, keepdim=True).log()


class _Traced(TracedPast):
    """With positions and mask that come from outside too."""

    def __init__(self, past: tuple[Tensor, ...], positions_RT: Tensor, mask_R1TC: Tensor) -> None:
        super().__init__(past)
        self._positions_RT, self._mask_R1TC = positions_RT, mask_R1TC

    def positions(self, steps: int) -> Tensor:
        return self._positions_RT

    def mask(self, steps: int) -> Tensor:
        return self._mask_R1TC


def _unfold_cross_attention(decoder: openvino.Model) -> None:
    """Write attention to the encoder's states as products, with the scale on the few queries.

    The plugin would multiply all keys by it at every step.
    """
    import numpy as np
    import openvino.opset13 as ops

    for node in decoder.get_ordered_ops():
        if node.get_type_name() != "ScaledDotProductAttention":
            continue
        queries, turned, values, mask = (each.get_source_output() for each in node.inputs()[:4])
        keys = turned.get_node().input_value(0)
        if not any(name.startswith("cross") for name in keys.get_names()):
            continue
        scale = np.float32(queries.get_partial_shape()[3].get_length() ** -0.5)
        scores = ops.matmul(ops.multiply(queries, ops.constant(scale)), keys, False, False)
        weights = ops.softmax(ops.add(scores, mask), -1)
        attended = ops.matmul(weights, values, False, False)
        for user in list(node.output(0).get_target_inputs()):
            user.replace_source_output(attended.output(0))
    decoder.validate_nodes_and_infer_types()


def _keep_past_inside(decoder: openvino.Model, layers: int) -> None:
    """Make the past a state of the graph, whose rows follow the input ``rows`` at every step.

    This is the form in which the processor's plugin keeps keys and values without copying them.
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
    # At the beginning there is no past: as many rows as are asked for, of no length.
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
