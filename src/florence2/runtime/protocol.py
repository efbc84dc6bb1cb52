"""What every runtime offers over the one model definition.

Shapes: B images or prompts, N image tokens, R rows of the decoder (beams of all prompts), T steps,
D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import Florence2Config, Florence2Model
from .torch.static_buffers import StaticBuffers


class DecoderState(Protocol):
    """A set of prompts in the middle of their answers.

    Rows are grouped by prompt, as many for each; how far the answers are may differ. Where
    ``supports_unprefilled_join``, a decoding that has taken no step yet may ``join`` another for
    nothing, and reads its first tokens one by one in the steps of the others.
    """

    supports_unprefilled_join: bool

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; rows may be added or dropped."""
        ...

    def keep(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are chosen by ``reorder`` before."""
        ...

    def join(self, other: Any) -> None:
        """Go on with the prompts and rows of another decoding too, after one's own."""
        ...


class Runtime(Protocol):
    """Executes a model on a device at a precision."""

    @property
    def config(self) -> Florence2Config:
        """The shape of the model."""
        ...

    @property
    def model(self) -> Florence2Model:
        """The model in PyTorch, for what is not answering: to save it, or to look inside."""
        ...

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        ...

    def inference_context(self) -> AbstractContextManager[None]:
        """What a search and the steps it asks for run in."""
        ...

    def make_static_buffers(
        self, count: int, width: int, seen: int, capacity: int
    ) -> StaticBuffers | None:
        """Room of a fixed size for steps that never change their shapes, where that is faster."""
        ...

    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float[B, N, D]`` of normalised pixels."""
        ...

    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float[B, N, D]`` and the tower's maps ``float[B, H_i, W_i, C_i]``."""
        ...

    def encode_prompts(self, image_BND: Tensor, prompts: Sequence[Sequence[int]]) -> Any:
        """What the decoder attends to, for one prompt per image: handed to ``start``."""
        ...

    def start(self, prompted: Any, limit: int) -> Any:
        """The state of empty answers of at most ``limit`` tokens, a row for every prompt."""
        ...

    def step(self, decoding: Any, ids_RT: Tensor, span: range | None = None) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``, which go on from what
        was.

        With ``span`` only those ids matter: others may be minus infinity, and count for nothing.
        """
        ...
