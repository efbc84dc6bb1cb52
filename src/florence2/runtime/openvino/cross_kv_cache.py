"""What prompts attend to while they are decoded through OpenVINO, as prompts leave and join.

Keys and values of a prompt are some 20 MB in the released base shapes. Where answers are of many
lengths somebody leaves or joins every few steps, and copying what stays each time took as long as
the steps between. Here what stays is moved by as little as closes a gap, into memory that is there
already.

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
class Prompted:
    """What the decoder attends to, one entry a prompt: ``mask_BS`` is additive; ``cross`` are keys
    ``[B, G, E, S]`` and values ``[B, G, S, E]`` of all layers in turn, in float32 or as the bits of
    bfloat16 in uint16, as NumPy has no such numbers."""

    mask_BS: Array
    cross: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.mask_BS)

    def named(self) -> dict[str, Array]:
        """The arrays by their names in the graphs."""
        names = ["mask", *cross_names(len(self.cross) // 2)]
        return dict(zip(names, (self.mask_BS, *self.cross), strict=True))


def empty_prompted(text: TextConfig, count: int, seen: int, halved: bool) -> Prompted:
    """Arrays for ``count`` prompts of ``seen`` encoder positions, to be written to; keys and values
    in bfloat16 where they are ``halved``."""
    kind: type[np.generic] = np.uint16 if halved else np.float32
    heads, width = text.decoder_attention_heads, text.d_model // text.decoder_attention_heads
    keys, values = (count, heads, width, seen), (count, heads, seen, width)
    return Prompted(
        np.empty((count, seen), np.float32),
        tuple(np.empty(each, kind) for each in (keys, values) * text.decoder_layers),
    )


class CrossKVCache:
    """The arrays of prompts that are decoded together: the encoder's own until somebody leaves or
    joins, from then on arrays with room, whose first entries are in use."""

    def __init__(self, prompted: Prompted) -> None:
        self._arrays: list[Array] = [prompted.mask_BS, *prompted.cross]
        self._count = len(prompted)
        # Somebody else may start from the encoder's arrays too, so they are not written to.
        self._is_ours = False

    def __len__(self) -> int:
        return self._count

    @property
    def prompted(self) -> Prompted:
        """The prompts that there are, as the arrays lie now."""
        mask_BS, *cross = (each[: self._count] for each in self._arrays)
        return Prompted(mask_BS, tuple(cross))

    def keep(self, places: Sequence[int]) -> None:
        """Keep only the prompts at ``places``, in that order."""
        if self._is_ours and all(a < b for a, b in pairwise(places)):
            for array in self._arrays:
                for place, before in enumerate(places):
                    if place != before:
                        array[place] = array[before]
        else:
            self._arrays = [each[list(places)] for each in self._arrays]
            self._is_ours = True
        self._count = len(places)

    def join(self, other: CrossKVCache) -> None:
        """Take in the prompts of ``other`` after one's own; the shorter ones are masked."""
        for number, (mine, theirs) in enumerate(zip(self._arrays, other._arrays, strict=True)):
            # Array by array, so that there is never twice the memory of all of them.
            fill = -np.inf if number == 0 else 0.0
            self._arrays[number] = self._with(mine, theirs[: len(other)], fill)
        self._is_ours = True
        self._count += len(other)

    def _with(self, mine: Array, theirs: Array, fill: float) -> Array:
        """``theirs`` behind one's own entries, in the array ``mine`` if it has room for them."""
        total = self._count + len(theirs)
        entry = tuple(np.maximum(mine.shape[1:], theirs.shape[1:]))
        room = len(mine)
        if room < total:
            # Twice as much as before, so that a growing number moves seldom. What is not written to
            # takes no memory.
            room = max(total, 2 * room)
        if not self._is_ours or room > len(mine) or entry != mine.shape[1:]:
            whole = np.empty((room, *entry), mine.dtype)
            _write(whole[: self._count], mine[: self._count], fill)
            mine = whole
        _write(mine[self._count : total], theirs, fill)
        return mine


def _write(target: Array, entries: Array, fill: float) -> None:
    """Put entries into the beginning of larger ones, with ``fill`` behind."""
    if entries.shape != target.shape:
        target[...] = fill
    target[tuple(map(slice, entries.shape))] = entries
