"""Layers that the vision encoder and the encoder-decoder share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class DropPath(nn.Module):
    """Drops a whole residual branch per sample while training; identity otherwise."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        keep = 1 - self.rate
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        return branch * branch.new_empty(shape).bernoulli_(keep).div_(keep)


class FeedForward(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, width: int, hidden: int, activation_dropout: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.activation_dropout = activation_dropout

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = functional.gelu(self.up(tokens))
        if self.training and self.activation_dropout:
            hidden = functional.dropout(hidden, self.activation_dropout)
        return self.down(hidden)


def run_layer(
    layer: Callable[..., Tensor],
    *inputs: Tensor | tuple[int, ...] | None,
    gradient_checkpointing: bool,
) -> Tensor:
    """``layer(*inputs)``; checkpointing recomputes its activations in the backward pass."""
    if gradient_checkpointing and torch.is_grad_enabled():
        output: Tensor = checkpoint(layer, *inputs, use_reentrant=False)
        return output
    return layer(*inputs)
