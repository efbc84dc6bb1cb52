"""Room of a fixed size for prompts that come and go: every step has the same shapes.

A step that never changes its shapes can be recorded once and replayed, which is what a small model
on a fast device needs: there the launches of its kernels take longer than their work. Each slot
holds one prompt, its beams and what they attend to; an empty slot computes and is not looked at.

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
    """What ``count`` prompts of ``width`` beams attend to, and one decoder step for all of them.

    There is room for ``seen`` encoder positions and ``capacity`` tokens of an answer; ``grow``
    makes more.
    """

    def __init__(
        self, model: Florence2Model, count: int, width: int, seen: int, capacity: int
    ) -> None:
        self._model, self.count, self.width = model, count, width
        text, like = model.config.text, model.embedding.weight
        heads, channels = text.decoder_attention_heads, text.d_model // text.decoder_attention_heads
        self._cross_LBGSE = [
            like.new_zeros((2, count, heads, seen, channels)) for _ in range(text.decoder_layers)
        ]
        self._mask_BS = like.new_zeros((count, seen))
        self._cache = SlotCache(
            like.new_zeros((2, text.decoder_layers, count * width, heads, capacity, channels))
        )

    @property
    def seen(self) -> int:
        """The encoder positions there is room for."""
        return self._mask_BS.shape[1]

    @property
    def capacity(self) -> int:
        """The tokens of an answer there is room for."""
        return self._cache.past.shape[4]

    @property
    def dtype(self) -> torch.dtype:
        """What log-probabilities come in: at least fp32."""
        return torch.promote_types(self._mask_BS.dtype, torch.float32)

    @property
    def tensors(self) -> list[Tensor]:
        """All that steps change."""
        return [self._cache.past]

    def grow(self, seen: int, capacity: int) -> None:
        """Make room; what is there stays. Recorded steps are of no use afterwards."""
        more = seen - self.seen
        if more > 0:
            self._cross_LBGSE = [
                functional.pad(each, (0, 0, 0, more)) for each in self._cross_LBGSE
            ]
            self._mask_BS = functional.pad(self._mask_BS, (0, more), value=float("-inf"))
        if capacity > self.capacity:
            longer = (0, 0, 0, capacity - self.capacity)
            self._cache = SlotCache(functional.pad(self._cache.past, longer))

    def put(self, slots: Sequence[int], prompted: CrossAttentionCache) -> None:
        """Let prompts take slots, one each, whose earlier contents are forgotten."""
        chosen = torch.tensor(slots, device=self._mask_BS.device)
        length = prompted.keys[0].shape[2]
        for layer, (keys, values) in enumerate(zip(prompted.keys, prompted.values, strict=True)):
            held = self._cross_LBGSE[layer]
            held[0, chosen, :, :length], held[1, chosen, :, :length] = keys, values
        mask_BS = self._mask_BS.new_full((len(slots), self.seen), float("-inf"))
        mask_BS[:, :length] = 0 if prompted.mask_BS is None else prompted.mask_BS
        self._mask_BS[chosen] = mask_BS

    def step(self, newest_R1: Tensor, positions_R: Tensor) -> Tensor:
        """Log-probabilities ``float32[R, V]`` after the tokens ``newest_R1``, which stand at
        ``positions_R``.

        No shape and no choice in it depends on what the tensors hold.
        """
        self._cache.begin(positions_R)
        cross = CrossAttentionCache(
            tuple(each[0] for each in self._cross_LBGSE),
            tuple(each[1] for each in self._cross_LBGSE),
            self._mask_BS,
        )
        cache = cast(SelfAttentionCache, self._cache)
        logits_R1V = self._model.decode(newest_R1, cross, cache, last_only=True)
        return logits_R1V[:, 0].log_softmax(dim=1)

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``."""
        self._cache.past.copy_(self._cache.past.index_select(2, rows_R))


class SlotCache:
    """Keys and values ``past`` ``float[2, L, R, G, C, E]``; each row writes at a place of its own.

    Answers the decoder's questions as ``SelfAttentionCache`` does, for one token a step.
    """

    has_padding = True
    length = 0

    def __init__(self, past: Tensor) -> None:
        self.past = past
        self._columns_C = torch.arange(past.shape[4], device=past.device)
        self._positions_R = past.new_zeros((past.shape[2],), dtype=torch.long)

    def begin(self, positions_R: Tensor) -> None:
        """The next tokens stand at ``positions_R``."""
        self._positions_R = positions_R

    def positions(self, steps: int) -> Tensor:
        return self._positions_R[:, None]

    def mask(self, steps: int) -> Tensor:
        hidden_RC = self._columns_C > self._positions_R[:, None]
        mask_RC = torch.zeros(hidden_RC.shape, dtype=self.past.dtype, device=self.past.device)
        return mask_RC.masked_fill(hidden_RC, float("-inf"))[:, None, None]

    def append(self, layer: int, keys_RG1E: Tensor, values_RG1E: Tensor) -> tuple[Tensor, Tensor]:
        place_RG1E = self._positions_R[:, None, None, None].expand_as(keys_RG1E)
        keys_RGCE, values_RGCE = self.past[0, layer], self.past[1, layer]
        keys_RGCE.scatter_(2, place_RG1E, keys_RG1E)
        values_RGCE.scatter_(2, place_RG1E, values_RG1E)
        return keys_RGCE, values_RGCE

    def advance(self, steps: int) -> None:
        """Whoever decodes counts: rows differ."""


def recorded(step: Callable[[], None], tensors: Sequence[Tensor]) -> Callable[[], None]:
    """``step`` as a CUDA graph that is replayed, or itself where there is no CUDA.

    ``tensors`` are all that it changes: recording runs it a few times and puts them back.
    """
    if not tensors[0].is_cuda:
        return step
    before = [each.clone() for each in tensors]
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    for each, was in zip(tensors, before, strict=True):
        each.copy_(was)
    return graph.replay
