"""What the decoder keeps between steps.

Shapes: L layers, R rows (beams of all images), B images, G heads, T decoder positions,
S encoder positions (source), E channels per head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


class SelfAttentionCache:
    """Keys and values of the tokens decoded so far, for every layer and row.

    The buffers double when they are full, up to ``limit`` positions, so a short sequence takes
    little memory. Rows that were added later are shorter: they are aligned at the right, and
    ``left_padding`` counts the empty positions before each row's first one.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        heads: int,
        head_dim: int,
        limit: int,
        device: torch.device,
        dtype: torch.dtype,
        capacity: int = 64,
    ) -> None:
        self.limit = limit
        self.length = 0
        self.left_padding = [0] * rows
        shape = (layers, rows, heads, min(capacity, limit), head_dim)
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

    @property
    def has_padding(self) -> bool:
        """Whether rows differ in length."""
        return any(self.left_padding)

    def positions(self, steps: int) -> Tensor:
        """The positions ``int[R, steps]`` of the next tokens, each in its own row."""
        device = self.keys_LRGTE.device
        lengths_R = self.length - torch.tensor(self.left_padding, device=device)
        return lengths_R[:, None] + torch.arange(steps, device=device)

    def mask(self, steps: int) -> Tensor:
        """Additive ``float[R, 1, 1, T]`` over the cache and ``steps`` more tokens, which hides
        the padding of every row."""
        buffer = self.keys_LRGTE
        columns_T = torch.arange(self.length + steps, device=buffer.device)
        padding_R1 = torch.tensor(self.left_padding, device=buffer.device)[:, None]
        mask_RT = torch.zeros(len(self.left_padding), len(columns_T)).to(buffer)
        return mask_RT.masked_fill(columns_T < padding_R1, float("-inf"))[:, None, None]

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; the number of rows may change.

        Positions that are padding in all remaining rows are dropped.
        """
        rows = rows_R.tolist()
        if rows == list(range(len(self.left_padding))):
            return
        first = min((self.left_padding[row] for row in rows), default=0)
        filled = slice(first, self.length)
        for name in ("keys_LRGTE", "values_LRGTE"):
            buffer = getattr(self, name)
            kept = buffer[:, :, :, filled].index_select(1, rows_R)
            if len(rows) == buffer.shape[1]:
                buffer[:, :, :, : self.length - first] = kept
            else:
                new = buffer.new_empty((*buffer.shape[:1], len(rows), *buffer.shape[2:]))
                new[:, :, :, : self.length - first] = kept
                setattr(self, name, new)
        self.length -= first
        self.left_padding = [self.left_padding[row] - first for row in rows]

    def extend(self, other: SelfAttentionCache) -> None:
        """Append the rows of ``other``; the last tokens of all rows are aligned."""
        length = max(self.length, other.length)
        capacity = max(self.keys_LRGTE.shape[3], other.keys_LRGTE.shape[3])
        for name in ("keys_LRGTE", "values_LRGTE"):
            mine, theirs = getattr(self, name), getattr(other, name)
            layers, rows, heads, _, width = mine.shape
            # Zeros: masked positions must hold finite numbers.
            both = mine.new_zeros((layers, rows + theirs.shape[1], heads, capacity, width))
            both[:, :rows, :, length - self.length : length] = mine[:, :, :, : self.length]
            both[:, rows:, :, length - other.length : length] = theirs[:, :, :, : other.length]
            setattr(self, name, both)
        before = [padding + length - self.length for padding in self.left_padding]
        after = [padding + length - other.length for padding in other.left_padding]
        self.left_padding, self.length = before + after, length
        self.limit = max(self.limit, other.limit)

    def _grow(self, needed: int) -> None:
        if needed > self.limit:
            raise ValueError(f"the decoder has {self.limit} positions; got position {needed}")
        for name in ("keys_LRGTE", "values_LRGTE"):
            old = getattr(self, name)
            layers, rows, heads, capacity, width = old.shape
            capacity = min(max(2 * capacity, needed), self.limit)
            new = old.new_empty((layers, rows, heads, capacity, width))
            new[:, :, :, : self.length] = old[:, :, :, : self.length]
            setattr(self, name, new)


@dataclass(frozen=True)
class CrossAttentionCache:
    """Keys and values of the encoder's output: one entry per prompt, shared by its beams.

    ``mask_BS`` is additive: 0 where attended, minus infinity at padding; ``None`` without padding.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    mask_BS: Tensor | None

    @property
    def source_len(self) -> int:
        """Encoder positions, padding included."""
        return self.keys[0].shape[2]

    def __len__(self) -> int:
        return len(self.keys[0])

    def extend(self, other: CrossAttentionCache) -> CrossAttentionCache:
        """These entries, then those of ``other``; shorter ones are padded and masked."""
        length = max(self.source_len, other.source_len)
        parts = [self._padded(length), other._padded(length)]
        masks = [each.mask_BS for each in parts if each.mask_BS is not None]
        if 0 < len(masks) < len(parts):
            masks = [each._whole_mask() for each in parts]
        return CrossAttentionCache(
            tuple(map(torch.cat, zip(*(each.keys for each in parts), strict=True))),
            tuple(map(torch.cat, zip(*(each.values for each in parts), strict=True))),
            torch.cat(masks) if masks else None,
        )

    def _padded(self, length: int) -> CrossAttentionCache:
        missing = length - self.source_len
        if missing == 0:
            return self
        pad = functional.pad
        return CrossAttentionCache(
            tuple(pad(keys_BGSE, (0, 0, 0, missing)) for keys_BGSE in self.keys),
            tuple(pad(values_BGSE, (0, 0, 0, missing)) for values_BGSE in self.values),
            pad(self._whole_mask(), (0, missing), value=float("-inf")),
        )

    def _whole_mask(self) -> Tensor:
        if self.mask_BS is not None:
            return self.mask_BS
        keys_BGSE = self.keys[0]
        return keys_BGSE.new_zeros(keys_BGSE.shape[0], keys_BGSE.shape[2])

    def select(self, images_B: Tensor) -> CrossAttentionCache:
        """The entries of the images ``images_B``, in that order."""
        return CrossAttentionCache(
            tuple(keys_BGSE.index_select(0, images_B) for keys_BGSE in self.keys),
            tuple(values_BGSE.index_select(0, images_B) for values_BGSE in self.values),
            None if self.mask_BS is None else self.mask_BS.index_select(0, images_B),
        )
