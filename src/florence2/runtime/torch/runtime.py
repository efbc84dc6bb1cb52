"""The reference runtime: PyTorch eager on any device at any precision.

Another runtime offers the same calls over the same model. Shapes: B images or prompts,
N image tokens, P prompt tokens, R rows of the decoder (beams of all prompts), T steps,
D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...io.deprecation import renamed_arguments
from ...model import CrossAttentionCache, Florence2Config, Florence2Model, SelfAttentionCache
from .static_buffers import StaticBuffers


@dataclass
class TorchDecoderState:
    """Prompts and the tokens decoded so far; rows are grouped by prompt."""

    supports_unprefilled_join: ClassVar[bool] = False

    cross: CrossAttentionCache
    cache: SelfAttentionCache

    @torch.inference_mode()
    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue what was row ``rows_R[i]``; rows may be added or dropped."""
        self.cache.reorder(rows_R)

    @torch.inference_mode()
    def select(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are selected by ``reorder``."""
        self.cross = self.cross.select(prompts_B)

    @torch.inference_mode()
    def extend(self, other: TorchDecoderState) -> None:
        """Append the prompts and rows of ``other``, which has as many rows per prompt."""
        self.cross = self.cross.extend(other.cross)
        self.cache.extend(other.cache)


class TorchRuntime:
    """Runs a ``Florence2Model`` on its device, without gradients.

    With ``static_buffers``, the default on CUDA, decode steps never change their shapes and are
    captured as CUDA graphs. With ``compiled`` the vision encoder is compiled by ``torch.compile``
    with its first image, which takes a minute and pays off for many images.
    """

    @renamed_arguments(slots="static_buffers")
    def __init__(
        self, model: Florence2Model, *, static_buffers: bool | None = None, compiled: bool = False
    ) -> None:
        self.model = model.eval()
        self._has_static_buffers = (
            self.device.type == "cuda" if static_buffers is None else static_buffers
        )
        self._encode_image = torch.compile(model.encode_image) if compiled else model.encode_image

    @property
    def config(self) -> Florence2Config:
        """The shape of the model."""
        return self.model.config

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        return self.model.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.model.embedding.weight.dtype

    def inference_context(self) -> AbstractContextManager[None]:
        """No special context: steps and searches use the same threads."""
        return nullcontext()

    def make_static_buffers(
        self, num_slots: int, num_beams: int, source_len: int, capacity: int
    ) -> StaticBuffers | None:
        """Buffers for ``num_slots`` prompts, or ``None`` where static buffers are off."""
        if not self._has_static_buffers:
            return None
        return StaticBuffers(self.model, num_slots, num_beams, source_len, capacity)

    @torch.inference_mode()
    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float[B, N, D]`` of normalized pixels."""
        return self._encode_image(self._pixels(pixels_BCHW))

    @torch.inference_mode()
    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float[B, N, D]`` and feature maps ``float[B, H_i, W_i, C_i]``."""
        return self.model.features(self._pixels(pixels_BCHW))

    @torch.inference_mode()
    def encode_prompts(
        self, image_BND: Tensor, prompts: Sequence[Sequence[int]]
    ) -> CrossAttentionCache:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        pad = self.model.config.text.pad_token_id
        max_length = max(map(len, prompts))
        ids = [[*prompt, *[pad] * (max_length - len(prompt))] for prompt in prompts]
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        prompt_BP = torch.tensor(ids, device=self.device)
        padding_BP = torch.arange(max_length, device=self.device) >= lengths_B[:, None]
        states, mask = self.model.encode(image_BND, prompt_BP, padding_BP)
        return self.model.cross_attention(states, mask)

    def start(self, prompts: CrossAttentionCache, limit: int) -> TorchDecoderState:
        """Empty sequences of at most ``limit`` tokens, one row per prompt."""
        return TorchDecoderState(prompts, self.model.new_cache(len(prompts), limit))

    @torch.inference_mode()
    def step(
        self, state: TorchDecoderState, ids_RT: Tensor, id_range: range | None = None
    ) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``, which continue the
        cache.

        With ``id_range`` the head computes only these ids; all others are at minus infinity.
        """
        logits_R1S = self.model.decode(
            ids_RT, state.cross, state.cache, last_only=True, id_range=id_range
        )
        logprobs_RS = logits_R1S[:, 0].log_softmax(dim=1)
        if id_range is None:
            return logprobs_RS
        logprobs_RV = logprobs_RS.new_full(
            (len(ids_RT), len(self.model.logits_bias_V)), float("-inf")
        )
        logprobs_RV[:, id_range.start : id_range.stop] = logprobs_RS
        return logprobs_RV

    def _pixels(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(pixels_BCHW).to(self.device, self.dtype)
