"""The model on a processor through OpenVINO: the same calls as ``TorchRuntime``.

Shapes: B images or prompts, N image tokens, P prompt tokens, S encoder positions, R rows of the
decoder (beams of all prompts), T new tokens, C tokens with those before, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...model import Florence2Config, Florence2Model
from ..tracing import padded_prompts
from .cross_kv_cache import Array, CrossKVCache, Prompted, empty_prompted
from .graph_cache import graph_cache_dir
from .graphs import cross_names
from .mapped_memory import drop_mapped_pages
from .threads import single_torch_thread

if TYPE_CHECKING:
    import openvino

# Positions that no row has used any more are dropped when there are this many of them: that copies
# the whole past, and they cost little.
_SURPLUS = 64
# One with a row a prompt, one with a row a beam: after these all matrices have been laid out.
_PASSES_THAT_READ = 2


class OpenVinoRuntime:
    """Runs graphs that ``graph_cache.load_graphs`` gives, compiled for this processor.

    ``load_model`` gives the PyTorch model, for what only that can do: saving, and the maps of the
    tower. It is called when that is asked for.
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
        self._tower_turn = Lock()
        for name, graph in graphs.items():
            mark_fp16_decompression(graph)
            settings = plugin_settings(core, name, precision, threads)
            self._compiled[name] = core.compile_model(graph, "CPU", settings)

    @cached_property
    def model(self) -> Florence2Model:
        """The model in PyTorch, in fp32."""
        return self._load_model().eval()

    @property
    def device(self) -> torch.device:
        """The processor."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """What goes in and comes out."""
        return torch.float32

    def inference_context(self) -> AbstractContextManager[None]:
        """With PyTorch on one thread: the others belong to this runtime's steps."""
        return single_torch_thread()

    def make_static_buffers(self, count: int, width: int, seen: int, capacity: int) -> None:
        """None: this runtime takes rows as they are."""

    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float32[B, N, D]`` of normalised pixels."""
        # One after the other: a picture fills the processor, and memory stays that of one.
        with self._tower_turn:
            request = self._compiled["tower"].create_infer_request()
            tokens = [
                request.infer({"pixels": each})["tokens"].copy() for each in _alone(pixels_BCHW)
            ]
            if self.precision == "fp32":
                # The maps of a picture are a quarter of a gigabyte in the released shapes, which
                # the decoder's matrices need next: without this there is more of both than
                # transformers has. Having them anew costs the tower a twentieth; half precision
                # has room for them.
                self._compiled["tower"].release_memory()
        self._passed("tower")
        return torch.from_numpy(np.concatenate(tokens))

    @torch.inference_mode()
    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float32[B, N, D]`` and the tower's maps, which PyTorch computes."""
        return self.model.features(torch.from_numpy(pixels_BCHW))

    def encode_prompts(self, image_BND: Tensor, prompts: Sequence[Sequence[int]]) -> Prompted:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        prompt_BP, given_BP = padded_prompts(prompts, image_BND, self.config.text)
        seen, text = image_BND.shape[1] + prompt_BP.shape[1], self.config.text
        encoder = self._compiled["encoder"]
        halved = encoder.output(cross_names(1)[0]).get_element_type().get_type_name() == "bf16"
        found = empty_prompted(text, len(prompts), seen, halved)
        request, image = encoder.create_infer_request(), image_BND.numpy()
        # One after the other, as pictures: it takes no longer, and memory stays that of one.
        for place in range(len(prompts)):
            one = slice(place, place + 1)
            _share(request, {name: each[one] for name, each in found.named().items()})
            request.infer(
                {"image": image[one], "prompt": prompt_BP[one], "padding": ~given_BP[one]},
                share_inputs=True,
                share_outputs=True,
            )
        self._passed("encoder")
        return found

    def start(self, prompted: Prompted, limit: int) -> OpenVinoDecoderState:
        """Empty answers of at most ``limit`` tokens, one row for every prompt."""
        return OpenVinoDecoderState(self._compiled["decoder"], prompted, limit)

    def step(
        self, decoding: OpenVinoDecoderState, ids_RT: Tensor, span: range | None = None
    ) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``, which go on from what
        was. They lie in the plugin's memory, which the next step takes."""
        logprobs_RV = decoding.step(ids_RT.numpy())
        self._passed("decoder")
        return logprobs_RV

    def _passed(self, name: str) -> None:
        """Give back the pages of the weights' files after a graph's first passes.

        These have copied the matrices into the shape that the processor wants them in, and the
        files, which the plugin keeps mapped, are not read again.
        """
        self._passes[name] += 1
        if self._passes[name] <= _PASSES_THAT_READ:
            with suppress(OSError):  # no place for a cache
                drop_mapped_pages(graph_cache_dir())


class OpenVinoDecoderState:
    """Prompts in the middle of their answers; keys and values of the past lie in the plugin.

    Rows are put in order by an input of the next step, which moves nothing. As in the cache of
    ``model``, rows that joined later stand at the right, and ``unused`` positions precede them.
    """

    supports_unprefilled_join = True

    def __init__(self, graph: openvino.CompiledModel, prompted: Prompted, limit: int) -> None:
        self._graph, self.limit = graph, limit
        self._attended = CrossKVCache(prompted)
        self._is_fed = False
        self._rows = np.arange(len(prompted), dtype=np.int32)
        self._unused = np.zeros(len(prompted), np.int64)
        self._length = 0

    @cached_property
    def _request(self) -> openvino.InferRequest:
        """What holds the past: made with the first step, as whoever joins before needs none."""
        return self._graph.create_infer_request()

    def step(self, ids_RT: Array) -> Tensor:
        """Log-probabilities ``float32[R, V]`` after the newest of the tokens ``int64[R, T]``.

        Raises ``ValueError`` for other rows than there are, which the plugin would not survive, and
        beyond the limit.
        """
        if len(ids_RT) != len(self._rows):
            raise ValueError(f"tokens of {len(ids_RT)} rows came for {len(self._rows)} rows")
        steps = ids_RT.shape[1]
        lengths_R1 = (self._length - self._unused)[:, None]
        if int(lengths_R1.max()) + steps > self.limit + 1:
            raise ValueError(f"answers of at most {self.limit} tokens have no position left")
        columns_C, newest_T1 = np.arange(self._length + steps), np.arange(steps)[:, None]
        hidden_RTC = (columns_C < self._unused[:, None, None]) | (
            columns_C > self._length + newest_T1
        )
        own_mask_R1TC = np.where(hidden_RTC, np.float32(-np.inf), np.float32(0))[:, None]
        positions_RT = lengths_R1 + newest_T1.T
        if not self._is_fed:
            self._feed_prompted()
        self._request.infer(
            {
                "ids": ids_RT,
                "positions": positions_RT,
                "own_mask": own_mask_R1TC,
                "rows": self._rows,
            },
            share_inputs=True,
            share_outputs=True,
        )
        self._length += steps
        self._rows = np.arange(len(ids_RT), dtype=np.int32)
        return torch.from_numpy(self._request.get_tensor("logprobs").data)

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; rows may be added or dropped."""
        rows = rows_R.numpy()
        self._rows, self._unused = self._rows[rows], self._unused[rows]
        if len(rows) and int(self._unused.min()) >= _SURPLUS:
            self._drop(int(self._unused.min()))

    def keep(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are chosen by ``reorder``."""
        self._attended.keep(prompts_B.tolist())
        self._is_fed = False

    def join(self, other: OpenVinoDecoderState) -> None:
        """Go on with the prompts and rows of ``other`` too, after one's own.

        For rows that have read nothing no past has to move: they go on from any row, and look at
        none of it.
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
                _put(state, _stacked(parts, length))
        self._unused = np.concatenate(
            [self._unused + length - self._length, other._unused + length - other._length]
        )
        self._rows, self._length, self.limit = rows, length, max(self.limit, other.limit)
        self._attended.join(other._attended)
        self._is_fed = False

    def _drop(self, first: int) -> None:
        """Forget the positions before ``first``."""
        for state in self._request.query_state():
            past_RGCE = state.state.data[:, :, first:]
            _put(state, _stacked([(past_RGCE, self._rows)], self._length - first))
        self._unused, self._length = self._unused - first, self._length - first
        self._rows = np.arange(len(self._unused), dtype=np.int32)

    def _feed_prompted(self) -> None:
        """Hand the plugin what is attended to: not at every step, and once when some leave and
        others join before the next."""
        # The tensors share the arrays' memory, so the arrays are kept.
        self._fed = self._attended.prompted
        _share(self._request, self._fed.named())
        self._is_fed = True


def _share(request: openvino.InferRequest, arrays: Mapping[str, Array]) -> None:
    """Let inputs and outputs lie where these arrays do, by name; uint16 holds bfloat16."""
    import openvino

    for name, array in arrays.items():
        is_bits = array.dtype == np.uint16
        kind = openvino.Type.bf16 if is_bits else openvino.Type(array.dtype)
        request.set_tensor(name, openvino.Tensor(array, openvino.Shape(array.shape), kind))


def _put(state: openvino.VariableState, past_RGCE: Array) -> None:
    """Let keys or values of the past be these, which the plugin copies."""
    import openvino

    state.state = openvino.Tensor(past_RGCE, shared_memory=True)


def _stacked(parts: Sequence[tuple[Array, Array]], length: int) -> Array:
    """Chosen rows of pasts ``float32[R, G, C, E]``, each given with their numbers, one after the
    other, at the right of ``length`` positions; zeros stand before them."""
    _, heads, _, width = parts[0][0].shape
    whole = np.empty((sum(len(rows) for _, rows in parts), heads, length, width), np.float32)
    place = 0
    for past_RGCE, rows in parts:
        begin = length - past_RGCE.shape[2]
        for row in rows:
            whole[place, :, :begin] = 0
            whole[place, :, begin:] = past_RGCE[row]
            place += 1
    return whole


def _alone(pixels_BCHW: Array) -> list[Array]:
    return [pixels_BCHW[row : row + 1] for row in range(len(pixels_BCHW))]
