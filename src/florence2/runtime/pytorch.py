"""The reference runtime: PyTorch eager on any device at any precision.

Another runtime offers the same calls over the same model. Shapes: B images or prompts,
N image tokens, P prompt tokens, R rows of the decoder (beams of all prompts), T steps,
D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model import CrossAttentionCache, Florence2Model, SelfAttentionCache


@dataclass
class Decoding:
    """A set of prompts in the middle of their answers; rows are grouped by prompt."""

    cross: CrossAttentionCache
    cache: SelfAttentionCache

    def reorder(self, rows_R: Tensor) -> None:
        """Let row ``i`` continue from what was row ``rows_R[i]``; rows may be added or dropped."""
        self.cache.reorder(rows_R)

    def keep(self, prompts_B: Tensor) -> None:
        """Keep only the prompts ``prompts_B``; their rows are chosen by ``reorder``."""
        self.cross = self.cross.select(prompts_B)


class TorchRuntime:
    """Runs a ``Florence2Model`` on its device, without gradients."""

    def __init__(self, model: Florence2Model) -> None:
        self.model = model.eval()
        self.positions = model.config.text.positions

    @property
    def device(self) -> torch.device:
        """Where tensors live."""
        return self.model.embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.model.embedding.weight.dtype

    @torch.inference_mode()
    def encode_images(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        """Image tokens ``float[B, N, D]`` of normalised pixels."""
        return self.model.encode_image(self._pixels(pixels_BCHW))

    @torch.inference_mode()
    def image_features(self, pixels_BCHW: NDArray[np.float32]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Image tokens ``float[B, N, D]`` and the tower's maps ``float[B, H_i, W_i, C_i]``."""
        return self.model.features(self._pixels(pixels_BCHW))

    @torch.inference_mode()
    def encode_prompts(
        self, image_BND: Tensor, prompts: Sequence[Sequence[int]]
    ) -> CrossAttentionCache:
        """What the decoder attends to, for one prompt per image; padding is masked."""
        pad = self.model.config.text.pad
        longest = max(map(len, prompts))
        ids = [[*prompt, *[pad] * (longest - len(prompt))] for prompt in prompts]
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        prompt_BP = torch.tensor(ids, device=self.device)
        padding_BP = torch.arange(longest, device=self.device) >= lengths_B[:, None]
        states, mask = self.model.encode(image_BND, prompt_BP, padding_BP)
        return self.model.cross_attention(states, mask)

    def start(self, cross: CrossAttentionCache, limit: int) -> Decoding:
        """Empty answers of at most ``limit`` tokens, one row for every prompt."""
        return Decoding(cross, self.model.new_cache(cross.keys[0].shape[0], limit))

    @torch.inference_mode()
    def step(self, decoding: Decoding, ids_RT: Tensor) -> Tensor:
        """Logits ``float32[R, V]`` of the token after ``ids_RT``, which go on from the cache."""
        logits_R1V = self.model.decode(ids_RT, decoding.cross, decoding.cache, last_only=True)
        return logits_R1V[:, 0]

    def _pixels(self, pixels_BCHW: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(pixels_BCHW).to(self.device, self.dtype)
