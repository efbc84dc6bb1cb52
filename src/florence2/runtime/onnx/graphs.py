"""The model as ONNX graphs, in the files and names of the onnx-community exports.

``vision_encoder`` (``pixel_values`` to ``image_features``), ``embed_tokens`` (``input_ids`` to
``inputs_embeds``), ``encoder_model`` and ``decoder_model_merged``, whose one graph serves the first
step, without a past, and all others: with ``use_cache_branch`` false it computes the keys and
values of the encoder's states, with true it takes them from ``past_key_values``.

Shapes: B prompts, N image tokens, S encoder positions, R rows of the decoder, T new tokens, P
tokens before, L layers, G heads, E channels per head, D width, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...io.atomic import atomic_write
from ...model import CrossAttentionCache, Florence2Model, SelfAttentionCache
from ..tracing import (
    TracedModule,
    TracedPast,
    TracedVisionEncoder,
    interleave,
    suppress_warnings,
)

GRAPHS = ("vision_encoder", "embed_tokens", "encoder_model", "decoder_model_merged")
OPSET = 17
_KINDS = ("key", "value")


def past_names(layers: int, side: str, prefix: str = "past_key_values") -> list[str]:
    """Names of keys and values of all layers in turn; ``side`` is ``decoder`` or ``encoder``."""
    return [f"{prefix}.{layer}.{side}.{kind}" for layer in range(layers) for kind in _KINDS]


@torch.no_grad()
def export_graphs(model: Florence2Model, pixels: tuple[int, int], folder: Path) -> list[Path]:
    """Write the four graphs in fp32 into ``folder``, for images of ``pixels`` (height, width).

    Files are written atomically.
    """
    model = model.eval().float()
    text = model.config.text
    image = torch.zeros(2, 3, *pixels)
    states = torch.zeros(2, 9, text.d_model)
    mask = torch.ones(2, 9, dtype=torch.int64)
    every = {0: "batch_size", 1: "sequence_length"}
    written = [
        _export(
            TracedVisionEncoder(model),
            (image,),
            folder / "vision_encoder.onnx",
            {"pixel_values": {0: "batch_size"}},
            {"image_features": {0: "batch_size"}},
        ),
        _export(
            _EmbedTokens(model),
            (torch.zeros(2, 3, dtype=torch.int64),),
            folder / "embed_tokens.onnx",
            {"input_ids": every},
            {"inputs_embeds": every},
        ),
        _export(
            _EncoderModel(model),
            (mask, states),
            folder / "encoder_model.onnx",
            {"attention_mask": every, "inputs_embeds": every},
            {"last_hidden_state": every},
        ),
    ]
    path = folder / "decoder_model_merged.onnx"
    step, cross = folder / ".step.onnx", folder / ".cross.onnx"
    try:
        _export_decoder(model, states, mask, step, cross)
        _merge(step, cross, path, text.decoder_layers)
    finally:
        step.unlink(missing_ok=True)
        cross.unlink(missing_ok=True)
    return [*written, path]


class _EmbedTokens(TracedModule):
    def forward(self, ids_BT: Tensor) -> Tensor:
        embedded: Tensor = self.model.embedding(ids_BT)
        return embedded


class _EncoderModel(TracedModule):
    def forward(self, attention_mask_BS: Tensor, embeddings_BSD: Tensor) -> Tensor:
        states: Tensor = self.model.encoder(embeddings_BSD, _additive(attention_mask_BS))
        return states


class _Cross(TracedModule):
    """Keys and values of the encoder's states for every layer of the decoder."""

    def forward(self, states_BSD: Tensor) -> Any:
        cross = self.model.cross_attention(states_BSD, None)
        return tuple(interleave(cross.keys, cross.values))


class _DecoderStep(TracedModule):
    """Logits of all new tokens; ``cross_and_past`` are keys and values of all layers in turn."""

    def forward(
        self,
        attention_mask_RS: Tensor,
        embeddings_RTD: Tensor,
        has_past_1: Tensor,
        *cross_and_past: Tensor,
    ) -> Any:
        half = len(cross_and_past) // 2
        cross, past = cross_and_past[:half], cross_and_past[half:]
        # In the first step the past is ignored.
        length = past[0].shape[2] * has_past_1[0].to(torch.int64)
        cache = _Past(tuple(each[:, :, :length] for each in past), length)
        cross_cache = CrossAttentionCache(cross[0::2], cross[1::2], _additive(attention_mask_RS))
        states_RTD = self.model.decoder(
            embeddings_RTD, cross_cache, cast(SelfAttentionCache, cache)
        )
        return self.model._logits(states_RTD), *cache.new


class _Past(TracedPast):
    """A past of ``length`` tokens in all rows."""

    def __init__(self, past: tuple[Tensor, ...], length: Tensor) -> None:
        super().__init__(past)
        self._before = length

    def positions(self, steps: int) -> Tensor:
        return (torch.arange(steps) + self._before)[None]

    def mask(self, steps: int) -> Tensor:
        """Additive ``float[1, 1, T, P + T]``: a token attends to itself and to earlier ones."""
        # The end is a tensor of the graph, not a Python number.
        columns = torch.arange(cast(int, self._before + steps))
        rows = torch.arange(steps)[:, None] + self._before
        return torch.where(columns[None] > rows, float("-inf"), 0.0)[None, None]


def _additive(attention_mask_BS: Tensor) -> Tensor:
    return torch.where(attention_mask_BS > 0, 0.0, torch.finfo(torch.float32).min)


def _export_decoder(
    model: Florence2Model, states: Tensor, mask: Tensor, step: Path, cross: Path
) -> None:
    text = model.config.text
    layers, heads = text.decoder_layers, text.decoder_attention_heads
    head = text.d_model // heads
    encoder = past_names(layers, "encoder", "cross")
    over_states = {0: "batch_size", 2: "encoder_sequence_length"}
    _export(
        _Cross(model),
        (states,),
        cross,
        {"encoder_hidden_states": {0: "batch_size", 1: "encoder_sequence_length"}},
        dict.fromkeys([f"made.{name}" for name in encoder], over_states),
    )
    arguments = (
        mask,
        torch.zeros(2, 2, text.d_model),
        torch.tensor([True]),
        *[torch.zeros(2, heads, 9, head)] * (2 * layers),
        *[torch.zeros(2, heads, 4, head)] * (2 * layers),
    )
    before = {0: "batch_size", 2: "past_decoder_sequence_length"}
    after = {0: "batch_size", 2: "total_length"}
    every = {0: "batch_size", 1: "decoder_sequence_length"}
    _export(
        _DecoderStep(model),
        arguments,
        step,
        {
            "encoder_attention_mask": {0: "batch_size", 1: "encoder_sequence_length"},
            "inputs_embeds": every,
            "use_cache_branch": {},
            **dict.fromkeys(encoder, over_states),
            **dict.fromkeys(past_names(layers, "decoder"), before),
        },
        {
            "logits": every,
            **dict.fromkeys(past_names(layers, "decoder", "present"), after),
        },
    )


def _merge(step: Path, cross: Path, path: Path, layers: int) -> None:
    """Merge both graphs: a branch takes the encoder's keys and values, or computes them."""
    import onnx
    from onnx import helper

    decoder, maker = onnx.load(step), onnx.load(cross)
    names = past_names(layers, "encoder", "cross")
    _prefix(maker.graph, "made/")
    passed = [
        helper.make_node("Identity", [name], [f"present.{name.removeprefix('cross.')}"])
        for name in names
    ]
    inputs, outputs = _signature(decoder.graph, maker.graph.input[0], layers)
    merged = helper.make_graph(
        [_branch(maker.graph, names, layers), *decoder.graph.node, *passed],
        "decoder_model_merged",
        inputs,
        outputs,
        [*decoder.graph.initializer, *maker.graph.initializer],
    )
    model = helper.make_model(
        merged,
        opset_imports=decoder.opset_import,
        ir_version=decoder.ir_version,
        producer_name="florence2",
    )
    with atomic_write(path) as temporary:
        onnx.save(model, str(temporary))
    onnx.checker.check_model(str(path))


def _branch(maker: Any, names: list[str], layers: int) -> Any:
    """The node that outputs ``names``: from the past, or by the nodes of ``maker``."""
    from onnx import helper

    taken = helper.make_graph(
        [
            helper.make_node("Identity", [old], [f"taken.{name}"])
            for name, old in zip(names, past_names(layers, "encoder"), strict=True)
        ],
        "taken",
        [],
        [helper.make_empty_tensor_value_info(f"taken.{name}") for name in names],
    )
    fresh = helper.make_graph(
        list(maker.node),
        "made",
        [],
        [helper.make_empty_tensor_value_info(f"made/made.{name}") for name in names],
    )
    return helper.make_node(
        "If",
        ["use_cache_branch"],
        names,
        "cross_keys_and_values",
        then_branch=taken,
        else_branch=fresh,
    )


def _signature(graph: Any, hidden: Any, layers: int) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of the merged graph, in the order of the onnx-community exports."""
    from onnx import TensorProto, helper

    inputs = {each.name: each for each in graph.input}
    outputs = {each.name: each for each in graph.output}
    dimensions = inputs["cross.0.encoder.key"].type.tensor_type.shape.dim
    heads, width = dimensions[1].dim_value, dimensions[3].dim_value

    def of_encoder(name: str, length: str) -> Any:
        shape = ["batch_size", heads, length, width]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    ordered_inputs = [inputs["encoder_attention_mask"], hidden, inputs["inputs_embeds"]]
    ordered_outputs = [outputs["logits"]]
    for layer in range(layers):
        own, others = (
            [f"{layer}.{side}.{kind}" for kind in _KINDS] for side in ("decoder", "encoder")
        )
        ordered_inputs += [inputs[f"past_key_values.{name}"] for name in own]
        ordered_inputs += [
            of_encoder(f"past_key_values.{name}", "past_encoder_sequence_length") for name in others
        ]
        ordered_outputs += [outputs[f"present.{name}"] for name in own]
        ordered_outputs += [
            of_encoder(f"present.{name}", "encoder_sequence_length") for name in others
        ]
    return [*ordered_inputs, inputs["use_cache_branch"]], ordered_outputs


def _prefix(graph: Any, prefix: str) -> None:
    """Prefix all names in a graph but those of its inputs."""
    kept = {each.name for each in graph.input} | {""}
    for node in graph.node:
        node.name = prefix + node.name
        for names in (node.input, node.output):
            names[:] = [name if name in kept else prefix + name for name in names]
    for each in (*graph.initializer, *graph.output):
        each.name = prefix + each.name


def _export(
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    path: Path,
    inputs: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
) -> Path:
    with suppress_warnings(), atomic_write(path) as temporary:
        torch.onnx.export(
            module.eval(),
            arguments,
            str(temporary),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=cast(Any, {**inputs, **outputs}),
        )
    return path
