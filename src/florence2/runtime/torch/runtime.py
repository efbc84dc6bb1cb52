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

from ...model import CrossAttentionCache, Florence2Config, Florence2Model, SelfAttentionCache
from .static_buffers import StaticBuffers


@dataclass
class TorchDecoderState:
    """A set of prompts in the middle of their answers; rows are grouped by prompt."""

    supports_unprefilled_join: ClassVar[bool] = False

    cross: CrossAttentionCache
    cache: SelfAttentionCache

    @torch.inference_mode()
    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; rows may be added or dropped."""
        self.cache.reorder(rows_R)

    @torch.inference_mode()
    def keep(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are chosen by ``reorder``."""
        self.cross = self.cross.select(prompts_B)

    @torch.inference_mode()
    def join(self, other: TorchDecoderState) -> None:
        """Go on with the prompts and rows of ``other`` too, after one's own.

        Both have as many rows a prompt; how far their answers are may differ.
        """
        self.cross = self.cross.join(other.cross)
        self.cache.join(other.cache)


class TorchRuntime:
    """Runs a ``Florence2Model`` on its device, without gradients.

    With ``slots``, the default on CUDA, answers are decoded in steps that never change their shapes
    and are recorded as CUDA graphs. With ``compiled`` the tower is compiled by ``torch.compile`` at
    its first picture, which takes a minute and pays for many pictures.
    """

    def __init__(
        self, model: Florence2Model, *, slots: bool | None = None, compiled: bool = False
    ) -> None:
        self.model = model.eval()
        self._has_slots = self.device.type == "cuda" if slots is None else slots
        self._see = torch.compile(model.encode_image) if compiled else model.encode_image

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
        """Nothing special: steps and searches use the same threads."""
        return nullcontext()

    def make_static_buffers(
        self, count: int, width: int, seen: int, capacity: int
    ) -> StaticBuffers | None:
        """Room for ``count`` prompts of ``width`` beams, or nothing where slots are off."""
        return StaticBuffers(self.model, count, width, seen, capacity) if self._has_slots else None

    @torch.inference_mode()
    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float[B, N, D]`` of normalised pixels."""
        return self._see(self._pixels(pixels_BCHW))

    @torch.inference_mode()
    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float[B, N, D]`` and the tower's maps ``float[B, H_i, W_i, C_i]``."""
        return self.model.features(self._pixels(pixels_BCHW))

    @torch.inference_mode()
    def encode_prompts(
        self, image_BND: Tensor, prompts: Sequence[Sequence[int]]
    ) -> CrossAttentionCache:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        pad = self.model.config.text.pad_token_id
        longest = max(map(len, prompts))
        ids = [[*prompt, *[pad] * (longest - len(prompt))] for prompt in prompts]
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        prompt_BP = torch.tensor(ids, device=self.device)
        padding_BP = torch.arange(longest, device=self.device) >= lengths_B[:, None]
        states, mask = self.model.encode(image_BND, prompt_BP, padding_BP)
        return self.model.cross_attention(states, mask)

    def start(self, cross: CrossAttentionCache, limit: int) -> TorchDecoderState:
        """Empty answers of at most ``limit`` tokens, one row for every prompt."""
        return TorchDecoderState(cross, self.model.new_cache(cross.keys[0].shape[0], limit))

    @torch.inference_mode()
    def step(
        self, decoding: TorchDecoderState, ids_RT: Tensor, span: range | None = None
    ) -> Tensor:
        """Log-probabilities ``float32[R, V]`` of the token after ``ids_RT``, which go on from the
        cache.

        With ``span`` the head computes only those of its ids; others are minus infinity.
        """
        found_R1S = self.model.decode(
            ids_RT, decoding.cross, decoding.cache, last_only=True, span=span
        )
        found_RS = found_R1S[:, 0].log_softmax(dim=1)
        if span is None:
            return found_RS
        logprobs_RV = found_RS.new_full((len(ids_RT), len(self.model.logits_bias_V)), float("-inf"))
        logprobs_RV[:, span.start : span.stop] = found_RS
        return logprobs_RV

    def _pixels(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(pixels_BCHW).to(self.device, self.dtype)
