"""Cross-attention keys and values for OpenVINO, as prompts are added and removed.

Keys and values of a prompt take some 20 MB in the released base model. With outputs of many lengths
a prompt is added or removed every few steps, and copying everything took as long as decoding; here
only entries after a gap move, into memory that is already allocated.

Shapes: B prompts, S encoder positions, G heads, E channels per head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model import TextConfig
from .graphs import cross_names

Array = NDArray[Any]


@dataclass(frozen=True)
class OpenVinoPrompts:
    """What the decoder attends to, one entry per prompt.

    ``mask_BS`` is additive; ``cross`` are keys ``[B, G, E, S]`` and values ``[B, G, S, E]`` of all
    layers in turn, in float32 or as the bits of bfloat16 in uint16, a dtype that NumPy lacks.
    """

    mask_BS: Array
    cross: tuple[Array, ...]

    @property
    def source_len(self) -> int:
        """Encoder positions, padding included."""
        return int(self.mask_BS.shape[1])

    def __len__(self) -> int:
        return len(self.mask_BS)

    def named(self) -> dict[str, Array]:
        """The arrays by their names in the graphs."""
        names = ["mask", *cross_names(len(self.cross) // 2)]
        return dict(zip(names, (self.mask_BS, *self.cross), strict=True))


def empty_prompts(text: TextConfig, count: int, source_len: int, is_bf16: bool) -> OpenVinoPrompts:
    """Uninitialized arrays for ``count`` prompts of ``source_len`` encoder positions.

    With ``is_bf16`` keys and values are bfloat16.
    """
    kind: type[np.generic] = np.uint16 if is_bf16 else np.float32
    heads, width = text.decoder_attention_heads, text.d_model // text.decoder_attention_heads
    keys, values = (count, heads, width, source_len), (count, heads, source_len, width)
    return OpenVinoPrompts(
        np.empty((count, source_len), np.float32),
        tuple(np.empty(each, kind) for each in (keys, values) * text.decoder_layers),
    )


class CrossKVCache:
    """The arrays of prompts that are decoded together.

    They are the encoder's own until a prompt is added or removed, then arrays with spare capacity,
    whose first entries are in use.
    """

    def __init__(self, prompts: OpenVinoPrompts) -> None:
        self._arrays: list[Array] = [prompts.mask_BS, *prompts.cross]
        self._count = len(prompts)
        # The encoder's arrays may be shared with another batch, so they are not written to.
        self._owned = False

    def __len__(self) -> int:
        return self._count

    @property
    def prompts(self) -> OpenVinoPrompts:
        """The current prompts, as views of the arrays."""
        mask_BS, *cross = (each[: self._count] for each in self._arrays)
        return OpenVinoPrompts(mask_BS, tuple(cross))

    def select(self, indices: Sequence[int]) -> None:
        """Keep only the prompts at ``indices``, in that order."""
        if self._owned and all(a < b for a, b in pairwise(indices)):
            for array in self._arrays:
                for index, old_index in enumerate(indices):
                    if index != old_index:
                        array[index] = array[old_index]
        else:
            self._arrays = [each[list(indices)] for each in self._arrays]
            self._owned = True
        self._count = len(indices)

    def extend(self, other: CrossKVCache) -> None:
        """Append the prompts of ``other``; shorter ones are masked."""
        for index, (mine, theirs) in enumerate(zip(self._arrays, other._arrays, strict=True)):
            # Array by array, so that the peak memory is not twice that of all arrays.
            fill = -np.inf if index == 0 else 0.0
            self._arrays[index] = self._append(mine, theirs[: len(other)], fill)
        self._owned = True
        self._count += len(other)

    def _append(self, mine: Array, theirs: Array, fill: float) -> Array:
        """Append ``theirs`` to the entries of ``mine``, in place if there is capacity."""
        total = self._count + len(theirs)
        entry = tuple(np.maximum(mine.shape[1:], theirs.shape[1:]))
        capacity = len(mine)
        if capacity < total:
            # Doubled, so that arrays are seldom moved. Pages that are not written take no memory.
            capacity = max(total, 2 * capacity)
        if not self._owned or capacity > len(mine) or entry != mine.shape[1:]:
            whole = np.empty((capacity, *entry), mine.dtype)
            _write(whole[: self._count], mine[: self._count], fill)
            mine = whole
        _write(mine[self._count : total], theirs, fill)
        return mine


def _write(target: Array, entries: Array, fill: float) -> None:
    """Write entries into the beginning of larger ones and ``fill`` after them."""
    if entries.shape != target.shape:
        target[...] = fill
    target[tuple(map(slice, entries.shape))] = entries
