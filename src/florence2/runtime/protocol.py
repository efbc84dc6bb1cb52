"""The interface of all runtimes of the model.

A runtime is generic in what it encodes prompts to (``PromptsT``) and in its decoder state
(``StateT``); image tokens are tensors in all runtimes.

Shapes: B images or prompts, N image tokens, R rows of the decoder (beams of all prompts), T steps,
D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import Florence2Config, Florence2Model


class EncodedPrompts(Protocol):
    """What the decoder attends to, one entry per prompt."""

    @property
    def source_len(self) -> int:
        """Encoder positions, image tokens and padding included."""
        ...

    def __len__(self) -> int: ...


class DecoderState(Protocol):
    """Prompts and the tokens decoded so far.

    Rows are grouped by prompt, equally many for each; rows may differ in length. Where
    ``supports_unprefilled_join``, a state that has taken no step yet can extend another at no cost,
    and its first tokens are read one by one in the steps of the others.
    """

    supports_unprefilled_join: bool

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue what was row ``rows_R[i]``; rows may be added or dropped."""
        ...

    def select(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are selected by ``reorder`` before."""
        ...

    def extend(self, other: Self) -> None:
        """Append the prompts and rows of another state."""
        ...


PromptsT = TypeVar("PromptsT", bound=EncodedPrompts)
StateT = TypeVar("StateT", bound=DecoderState)
_PromptsT_contra = TypeVar("_PromptsT_contra", bound=EncodedPrompts, contravariant=True)


class StaticDecoder(Protocol[_PromptsT_contra]):
    """A decoder over slots of fixed size, whose steps never change their shapes.

    A slot holds one prompt and its ``num_beams`` rows.
    """

    num_slots: int
    num_beams: int

    @property
    def source_len(self) -> int:
        """Encoder positions that there is space for."""
        ...

    @property
    def capacity(self) -> int:
        """Tokens of a sequence that there is space for."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of log-probabilities."""
        ...

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that steps change."""
        ...

    def reserve(self, source_len: int, capacity: int) -> None:
        """Make space, keeping the contents; captured steps are invalid afterwards."""
        ...

    def write(self, slots: Sequence[int], prompts: _PromptsT_contra) -> None:
        """Put prompts into slots, one each."""
        ...

    def step(self, tokens_R1: Tensor, positions_R: Tensor) -> Tensor:
        """Log-probabilities ``float32[R, V]`` after ``tokens_R1`` at ``positions_R``."""
        ...

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue what was row ``rows_R[i]``."""
        ...


class Runtime(Protocol[PromptsT, StateT]):
    """Executes a model on a device at a precision."""

    @property
    def config(self) -> Florence2Config:
        """The shape of the model."""
        ...

    @property
    def model(self) -> Florence2Model:
        """The model in PyTorch, to save or to inspect."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of all tensors."""
        ...

    def inference_context(self) -> AbstractContextManager[None]:
        """The context in which searches and steps run."""
        ...

    def make_static_buffers(
        self, num_slots: int, num_beams: int, source_len: int, capacity: int
    ) -> StaticDecoder[PromptsT] | None:
        """A decoder of fixed size, where that is faster."""
        ...

    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float[B, N, D]`` of normalized pixels."""
        ...

    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float[B, N, D]`` and feature maps ``float[B, H_i, W_i, C_i]``."""
        ...

    def encode_prompts(self, image_BND: Tensor, prompts: Sequence[Sequence[int]]) -> PromptsT:
        """What the decoder attends to, for one prompt per image; the argument of ``start``."""
        ...

    def start(self, prompts: PromptsT, limit: int) -> StateT:
        """The state of empty sequences of at most ``limit`` tokens, one row per prompt."""
        ...

    def step(self, state: StateT, ids_RT: Tensor, id_range: range | None = None) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``, which continue what
        the state holds.

        With ``id_range`` only these ids matter: all others may be at minus infinity.
        """
        ...


# For code that passes a runtime on without touching prompts or states.
AnyRuntime: TypeAlias = Runtime[Any, Any]
