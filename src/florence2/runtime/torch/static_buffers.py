"""Decoding in buffers of fixed size: every step has the same shapes.

Such a step can be captured once as a CUDA graph and replayed, which a small model on a fast device
needs: there launching kernels takes longer than running them. Each slot holds one prompt, its
beams and what they attend to; an empty slot is computed and ignored.

Shapes: B slots, K beams, R = B * K rows, L layers, G heads, E channels per head, S encoder
positions, C decoder positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from ...model import CrossAttentionCache, Florence2Model, SelfAttentionCache


class StaticBuffers:
    """What ``num_slots`` prompts of ``num_beams`` beams attend to, and a decoder step for them.

    There is space for ``source_len`` encoder positions and ``capacity`` tokens of a sequence;
    ``reserve`` makes more.
    """

    def __init__(
        self,
        model: Florence2Model,
        num_slots: int,
        num_beams: int,
        source_len: int,
        capacity: int,
    ) -> None:
        self._model, self.num_slots, self.num_beams = model, num_slots, num_beams
        text, like = model.config.text, model.embedding.weight
        heads, channels = text.decoder_attention_heads, text.d_model // text.decoder_attention_heads
        self._cross_LBGSE = [
            like.new_zeros((2, num_slots, heads, source_len, channels))
            for _ in range(text.decoder_layers)
        ]
        self._mask_BS = like.new_zeros((num_slots, source_len))
        self._cache = StaticKVCache(
            like.new_zeros(
                (2, text.decoder_layers, num_slots * num_beams, heads, capacity, channels)
            )
        )

    @property
    def source_len(self) -> int:
        """Encoder positions that there is space for."""
        return self._mask_BS.shape[1]

    @property
    def capacity(self) -> int:
        """Tokens of a sequence that there is space for."""
        return self._cache.past.shape[4]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of log-probabilities: at least fp32."""
        return torch.promote_types(self._mask_BS.dtype, torch.float32)

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that steps change."""
        return [self._cache.past]

    def reserve(self, source_len: int, capacity: int) -> None:
        """Make space, keeping the contents; captured steps are invalid afterwards."""
        more = source_len - self.source_len
        if more > 0:
            self._cross_LBGSE = [
                functional.pad(cross, (0, 0, 0, more)) for cross in self._cross_LBGSE
            ]
            self._mask_BS = functional.pad(self._mask_BS, (0, more), value=float("-inf"))
        if capacity > self.capacity:
            longer = (0, 0, 0, capacity - self.capacity)
            self._cache = StaticKVCache(functional.pad(self._cache.past, longer))

    def write(self, slots: Sequence[int], prompts: CrossAttentionCache) -> None:
        """Put prompts into slots, one each, replacing the earlier contents."""
        chosen = torch.tensor(slots, device=self._mask_BS.device)
        length = prompts.source_len
        for layer, (keys, values) in enumerate(zip(prompts.keys, prompts.values, strict=True)):
            held = self._cross_LBGSE[layer]
            held[0, chosen, :, :length], held[1, chosen, :, :length] = keys, values
        mask_BS = self._mask_BS.new_full((len(slots), self.source_len), float("-inf"))
        mask_BS[:, :length] = 0 if prompts.mask_BS is None else prompts.mask_BS
        self._mask_BS[chosen] = mask_BS

    def step(self, tokens_R1: Tensor, positions_R: Tensor) -> Tensor:
        """Log-probabilities ``float32[R, V]`` after ``tokens_R1`` at ``positions_R``.

        Neither shapes nor control flow depend on the values of the tensors.
        """
        self._cache.begin(positions_R)
        cross_cache = CrossAttentionCache(
            tuple(cross[0] for cross in self._cross_LBGSE),
            tuple(cross[1] for cross in self._cross_LBGSE),
            self._mask_BS,
        )
        cache = cast(SelfAttentionCache, self._cache)
        logits_R1V = self._model.decode(tokens_R1, cross_cache, cache, last_only=True)
        return logits_R1V[:, 0].log_softmax(dim=1)

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue what was row ``rows_R[i]``."""
        self._cache.past.copy_(self._cache.past.index_select(2, rows_R))


class StaticKVCache:
    """Keys and values ``past`` ``float[2, L, R, G, C, E]``; each row has its own position.

    It has the interface of ``SelfAttentionCache``, for one token per step.
    """

    has_padding = True
    length = 0

    def __init__(self, past: Tensor) -> None:
        self.past = past
        self._columns_C = torch.arange(past.shape[4], device=past.device)
        self._positions_R = past.new_zeros((past.shape[2],), dtype=torch.long)

    def begin(self, positions_R: Tensor) -> None:
        """Set the positions of the next tokens."""
        self._positions_R = positions_R

    def positions(self, steps: int) -> Tensor:
        return self._positions_R[:, None]

    def mask(self, steps: int) -> Tensor:
        hidden_RC = self._columns_C > self._positions_R[:, None]
        mask_RC = torch.zeros(hidden_RC.shape, dtype=self.past.dtype, device=self.past.device)
        return mask_RC.masked_fill(hidden_RC, float("-inf"))[:, None, None]

    def append(self, layer: int, keys_RG1E: Tensor, values_RG1E: Tensor) -> tuple[Tensor, Tensor]:
        index_RG1E = self._positions_R[:, None, None, None].expand_as(keys_RG1E)
        keys_RGCE, values_RGCE = self.past[0, layer], self.past[1, layer]
        keys_RGCE.scatter_(2, index_RG1E, keys_RG1E)
        values_RGCE.scatter_(2, index_RG1E, values_RG1E)
        return keys_RGCE, values_RGCE

    def advance(self, steps: int) -> None:
        """No-op: positions are per row, and the caller counts them."""


def capture_graph(step: Callable[[], None], tensors: Sequence[Tensor]) -> Callable[[], None]:
    """Capture ``step`` as a CUDA graph; returns its replay, or ``step`` itself without CUDA.

    ``tensors`` are all that it changes: capturing runs it a few times and restores them.
    """
    if not tensors[0].is_cuda:
        return step
    saved = [tensor.clone() for tensor in tensors]
    side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side_stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for tensor, value in zip(tensors, saved, strict=True):
        tensor.copy_(value)
    return graph.replay
