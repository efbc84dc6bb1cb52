"""The model on a CPU through OpenVINO, with the interface of ``TorchRuntime``.

Shapes: B images or prompts, N image tokens, P prompt tokens, S encoder positions, R rows of the
decoder (beams of all prompts), T new tokens, C tokens with those before, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...model import Florence2Config, Florence2Model
from ..cpu import CpuRuntime
from ..tracing import pad_prompts
from .cross_kv_cache import Array, CrossKVCache, OpenVinoPrompts, empty_prompts
from .graph_cache import graph_cache_dir
from .graphs import VISION_ENCODER, cross_names
from .mapped_memory import drop_mapped_pages

if TYPE_CHECKING:
    import openvino

# Positions that are padding in all rows are dropped when there are this many of them: that copies
# the whole past, and they cost little.
_CAPACITY_SLACK = 64
# After two passes the plugin has repacked all matrices.
_WARMUP_PASSES = 2


class OpenVinoRuntime(CpuRuntime):
    """Runs the graphs of ``graph_cache.load_graphs``, compiled for this CPU.

    ``load_model`` loads the PyTorch model when it is needed: to save it, or for feature maps.
    """

    def __init__(
        self,
        config: Florence2Config,
        graphs: Mapping[str, openvino.Model],
        precision: str,
        load_model: Callable[[], Florence2Model],
        threads: int | None = None,
    ) -> None:
        from .core import get_core
        from .precisions import mark_fp16_decompression, plugin_settings

        self.config, self.precision, self._load_model = config, precision, load_model
        core = get_core()
        self._compiled = {}
        self._passes: Counter[str] = Counter()
        self._vision_lock = Lock()
        for name, graph in graphs.items():
            mark_fp16_decompression(graph)
            settings = plugin_settings(core, name, precision, threads)
            self._compiled[name] = core.compile_model(graph, "CPU", settings)

    @cached_property
    def model(self) -> Florence2Model:
        """The model in PyTorch, in fp32."""
        return self._load_model().eval()

    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float32[B, N, D]`` of normalized pixels."""
        # One by one: an image keeps all cores busy, and the peak memory is that of one.
        with self._vision_lock:
            request = self._compiled[VISION_ENCODER].create_infer_request()
            tokens = [
                request.infer({"pixels": image_1CHW})["tokens"].copy()
                for image_1CHW in _unbatched(pixels_BCHW)
            ]
            if self.precision == "fp32":
                # Feature maps take a quarter of a gigabyte in the released models. Freed here, they
                # make space for the decoder's matrices, and the peak stays below that of
                # transformers; allocating them again costs 5% of the vision encoder's time.
                self._compiled[VISION_ENCODER].release_memory()
        self._count_pass(VISION_ENCODER)
        return torch.from_numpy(np.concatenate(tokens))

    @torch.inference_mode()
    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float32[B, N, D]`` and feature maps, computed by PyTorch."""
        return self.model.features(torch.from_numpy(pixels_BCHW))

    def encode_prompts(
        self, image_BND: Tensor, prompts: Sequence[Sequence[int]]
    ) -> OpenVinoPrompts:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        prompt_BP, mask_BP = pad_prompts(prompts, image_BND, self.config.text)
        source_len, text = image_BND.shape[1] + prompt_BP.shape[1], self.config.text
        encoder = self._compiled["encoder"]
        is_bf16 = encoder.output(cross_names(1)[0]).get_element_type().get_type_name() == "bf16"
        encoded = empty_prompts(text, len(prompts), source_len, is_bf16)
        request, image = encoder.create_infer_request(), image_BND.numpy()
        # One by one, as images: it takes no longer, and the peak memory is that of one.
        for index in range(len(prompts)):
            one = slice(index, index + 1)
            _bind(request, {name: array[one] for name, array in encoded.named().items()})
            request.infer(
                {"image": image[one], "prompt": prompt_BP[one], "padding": ~mask_BP[one]},
                share_inputs=True,
                share_outputs=True,
            )
        self._count_pass("encoder")
        return encoded

    def start(self, prompts: OpenVinoPrompts, limit: int) -> OpenVinoDecoderState:
        """Empty sequences of at most ``limit`` tokens, one row per prompt."""
        return OpenVinoDecoderState(self._compiled["decoder"], prompts, limit)

    def step(
        self, state: OpenVinoDecoderState, ids_RT: Tensor, id_range: range | None = None
    ) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``.

        They are a view of the plugin's memory, which the next step overwrites.
        """
        logprobs_RV = state.step(ids_RT.numpy())
        self._count_pass("decoder")
        return logprobs_RV

    def _count_pass(self, name: str) -> None:
        """Free the mapped pages of the weight files after a graph's first passes.

        By then the plugin has repacked the matrices, and does not read the files again.
        """
        self._passes[name] += 1
        if self._passes[name] <= _WARMUP_PASSES:
            with suppress(OSError):  # no cache directory
                drop_mapped_pages(graph_cache_dir())


class OpenVinoDecoderState:
    """Prompts and the tokens decoded so far; past keys and values are a state of the plugin.

    Rows are reordered by an input of the next step, without a copy. As in ``SelfAttentionCache``,
    rows that were added later are aligned at the right, after ``left_padding`` positions.
    """

    supports_unprefilled_join = True

    def __init__(self, graph: openvino.CompiledModel, prompts: OpenVinoPrompts, limit: int) -> None:
        self._graph, self.limit = graph, limit
        self._cross = CrossKVCache(prompts)
        self._inputs_bound = False
        self._rows = np.arange(len(prompts), dtype=np.int32)
        self._left_padding = np.zeros(len(prompts), np.int64)
        self._length = 0

    @cached_property
    def _request(self) -> openvino.InferRequest:
        """The request that holds the past, created with the first step because a state that
        extends another before it needs none."""
        return self._graph.create_infer_request()

    def step(self, ids_RT: Array) -> Tensor:
        """Log-probabilities ``float32[R, V]`` after the last of the tokens ``int64[R, T]``.

        Raises ``ValueError`` for another number of rows, with which the plugin would crash, and
        beyond the limit.
        """
        if len(ids_RT) != len(self._rows):
            raise ValueError(f"expected tokens of {len(self._rows)} rows, got {len(ids_RT)}")
        steps = ids_RT.shape[1]
        lengths_R1 = (self._length - self._left_padding)[:, None]
        if int(lengths_R1.max()) + steps > self.limit + 1:
            raise ValueError(f"max_new_tokens {self.limit} is exceeded: no position is left")
        columns_C, steps_T1 = np.arange(self._length + steps), np.arange(steps)[:, None]
        hidden_RTC = (columns_C < self._left_padding[:, None, None]) | (
            columns_C > self._length + steps_T1
        )
        self_attention_mask_R1TC = np.where(hidden_RTC, np.float32(-np.inf), np.float32(0))[:, None]
        positions_RT = lengths_R1 + steps_T1.T
        if not self._inputs_bound:
            self._bind_inputs()
        self._request.infer(
            {
                "ids": ids_RT,
                "positions": positions_RT,
                "self_attention_mask": self_attention_mask_R1TC,
                "rows": self._rows,
            },
            share_inputs=True,
            share_outputs=True,
        )
        self._length += steps
        self._rows = np.arange(len(ids_RT), dtype=np.int32)
        return torch.from_numpy(self._request.get_tensor("logprobs").data)

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue what was row ``rows_R[i]``; rows may be added or dropped."""
        rows = rows_R.numpy()
        self._rows, self._left_padding = self._rows[rows], self._left_padding[rows]
        if len(rows) and int(self._left_padding.min()) >= _CAPACITY_SLACK:
            self._drop(int(self._left_padding.min()))

    def select(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are selected by ``reorder``."""
        self._cross.select(prompts_B.tolist())
        self._inputs_bound = False

    def extend(self, other: OpenVinoDecoderState) -> None:
        """Append the prompts and rows of ``other``.

        Rows without a past need no copy: they take any row of the state and mask all of it.
        """
        length = max(self._length, other._length)
        rows = np.concatenate([self._rows, np.zeros_like(other._rows)])
        if other._length:
            rows = np.arange(len(rows), dtype=np.int32)
            theirs = {state.name: state for state in other._request.query_state()}
            for state in self._request.query_state():
                parts = [
                    (state.state.data, self._rows),
                    (theirs[state.name].state.data, other._rows),
                ]
                _set_state(state, _stack_rows(parts, length))
        self._left_padding = np.concatenate(
            [
                self._left_padding + length - self._length,
                other._left_padding + length - other._length,
            ]
        )
        self._rows, self._length, self.limit = rows, length, max(self.limit, other.limit)
        self._cross.extend(other._cross)
        self._inputs_bound = False

    def _drop(self, first: int) -> None:
        """Drop the positions before ``first``."""
        for state in self._request.query_state():
            past_RGCE = state.state.data[:, :, first:]
            _set_state(state, _stack_rows([(past_RGCE, self._rows)], self._length - first))
        self._left_padding, self._length = self._left_padding - first, self._length - first
        self._rows = np.arange(len(self._left_padding), dtype=np.int32)

    def _bind_inputs(self) -> None:
        """Bind the cross-attention arrays to the request; needed only when prompts changed."""
        # The tensors share the arrays' memory, so a reference is kept.
        self._bound = self._cross.prompts
        _bind(self._request, self._bound.named())
        self._inputs_bound = True


def _bind(request: openvino.InferRequest, arrays: Mapping[str, Array]) -> None:
    """Let inputs and outputs share the memory of arrays, by name; uint16 holds bfloat16."""
    import openvino

    for name, array in arrays.items():
        is_bits = array.dtype == np.uint16
        kind = openvino.Type.bf16 if is_bits else openvino.Type(array.dtype)
        request.set_tensor(name, openvino.Tensor(array, openvino.Shape(array.shape), kind))


def _set_state(state: openvino.VariableState, past_RGCE: Array) -> None:
    """Set past keys or values, which the plugin copies."""
    import openvino

    state.state = openvino.Tensor(past_RGCE, shared_memory=True)


def _stack_rows(parts: Sequence[tuple[Array, Array]], length: int) -> Array:
    """Rows of pasts ``float32[R, G, C, E]``, given with their indices, as one array of ``length``
    positions: rows are aligned at the right, after zeros."""
    _, heads, _, width = parts[0][0].shape
    whole = np.empty((sum(len(rows) for _, rows in parts), heads, length, width), np.float32)
    index = 0
    for past_RGCE, rows in parts:
        begin = length - past_RGCE.shape[2]
        for row in rows:
            whole[index, :, :begin] = 0
            whole[index, :, begin:] = past_RGCE[row]
            index += 1
    return whole


def _unbatched(pixels_BCHW: Array) -> list[Array]:
    return [pixels_BCHW[row : row + 1] for row in range(len(pixels_BCHW))]
