"""Modules for graph export, shared by all formats: tensors in, tensors out.

Shapes: B prompts, N image tokens, P prompt tokens, R rows of the decoder, T new tokens, G heads, E
channels per head.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..model import Florence2Model
from ..model.config import TextConfig


class TracedModule(nn.Module):
    """A part of a model that becomes a graph."""

    def __init__(self, model: Florence2Model) -> None:
        super().__init__()
        self.model = model


class TracedVisionEncoder(TracedModule):
    """Pixels to image tokens."""

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        return self.model.encode_image(pixels_BCHW)


class TracedPast:
    """The interface of ``SelfAttentionCache`` over tensors that are inputs of the graph.

    ``past`` are keys and values of all layers in turn, and so is ``new``, which has the new ones
    appended. Subclasses define ``positions`` and ``mask``.
    """

    has_padding = True
    length = 0

    def __init__(self, past: tuple[Tensor, ...]) -> None:
        self._past = past
        self.new: list[Tensor] = []

    def append(self, layer: int, keys_RGTE: Tensor, values_RGTE: Tensor) -> tuple[Tensor, Tensor]:
        keys = torch.cat([self._past[2 * layer], keys_RGTE], dim=2)
        values = torch.cat([self._past[2 * layer + 1], values_RGTE], dim=2)
        self.new += [keys, values]
        return keys, values

    def advance(self, steps: int) -> None:
        pass


def interleave(keys: Iterable[Tensor], values: Iterable[Tensor]) -> Iterator[Tensor]:
    """Keys and values of all layers in turn."""
    for pair in zip(keys, values, strict=True):
        yield from pair


def pad_prompts(
    prompts: Sequence[Sequence[int]], image_BND: Tensor, text: TextConfig
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The ids of prompts ``int64[B, P]``, padded, and a mask of the tokens ``bool[B, P]``.

    Raises ``ValueError`` for prompts that exceed the positions of the model.
    """
    max_length = max(map(len, prompts))
    if image_BND.shape[1] + max_length > text.max_position_embeddings:
        raise ValueError(
            f"{image_BND.shape[1]} image tokens and {max_length} prompt tokens exceed the "
            f"{text.max_position_embeddings} positions of this model: shorten the prompt"
        )
    ids_BP = np.full((len(prompts), max_length), text.pad_token_id, np.int64)
    mask_BP = np.zeros((len(prompts), max_length), np.bool_)
    for row, prompt in enumerate(prompts):
        ids_BP[row, : len(prompt)], mask_BP[row, : len(prompt)] = prompt, True
    return ids_BP, mask_BP


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Suppress the tracer's warnings about shapes that are the same for all inputs here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
