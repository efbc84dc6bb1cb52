"""What the decoder keeps between steps.

Shapes: L layers, R rows (beams of all images), B images, G heads, T decoder positions,
S encoder positions, E channels per head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class SelfAttentionCache:
    """Keys and values of the tokens decoded so far, for every layer and row.

    The buffers double when they are full, up to ``limit`` positions, so a short answer never
    pays for a long one.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        heads: int,
        head_width: int,
        limit: int,
        device: torch.device,
        dtype: torch.dtype,
        capacity: int = 64,
    ) -> None:
        self.limit = limit
        self.length = 0
        shape = (layers, rows, heads, min(capacity, limit), head_width)
        self.keys_LRGTE = torch.empty(shape, device=device, dtype=dtype)
        self.values_LRGTE = torch.empty(shape, device=device, dtype=dtype)

    def append(self, layer: int, keys_RGTE: Tensor, values_RGTE: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of ``layer`` up to and with the new ones, as views."""
        end = self.length + keys_RGTE.shape[2]
        if end > self.keys_LRGTE.shape[3]:
            self._grow(end)
        self.keys_LRGTE[layer, :, :, self.length : end] = keys_RGTE
        self.values_LRGTE[layer, :, :, self.length : end] = values_RGTE
        return self.keys_LRGTE[layer, :, :, :end], self.values_LRGTE[layer, :, :, :end]

    def advance(self, steps: int) -> None:
        """Count ``steps`` new positions, once all layers have appended theirs."""
        self.length += steps

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; the number of rows may change."""
        if rows_R.shape[0] == self.keys_LRGTE.shape[1] and bool(
            torch.equal(rows_R, torch.arange(rows_R.shape[0], device=rows_R.device))
        ):
            return
        filled = slice(0, self.length)
        for name in ("keys_LRGTE", "values_LRGTE"):
            buffer = getattr(self, name)
            if rows_R.shape[0] == buffer.shape[1]:
                buffer[:, :, :, filled] = buffer[:, :, :, filled].index_select(1, rows_R)
            else:
                setattr(self, name, buffer.index_select(1, rows_R))

    def _grow(self, needed: int) -> None:
        if needed > self.limit:
            raise ValueError(f"the decoder has {self.limit} positions; position {needed} was asked")
        for name in ("keys_LRGTE", "values_LRGTE"):
            old = getattr(self, name)
            layers, rows, heads, capacity, width = old.shape
            capacity = min(max(2 * capacity, needed), self.limit)
            new = old.new_empty((layers, rows, heads, capacity, width))
            new[:, :, :, : self.length] = old[:, :, :, : self.length]
            setattr(self, name, new)


@dataclass(frozen=True)
class CrossAttentionCache:
    """Keys and values of the encoder's output: one entry an image, shared by all its beams.

    ``mask_BS`` is additive: 0 where attended, minus infinity at padding; ``None`` without padding.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask_BS: Tensor | None

    def select(self, images_B: Tensor) -> CrossAttentionCache:
        """The entries of the images ``images_B``, in that order."""
        return CrossAttentionCache(
            tuple(keys_BGSE.index_select(0, images_B) for keys_BGSE in self.keys),
            tuple(values_BGSE.index_select(0, images_B) for values_BGSE in self.values),
            None if self.mask_BS is None else self.mask_BS.index_select(0, images_B),
        )
