"""Muon: orthogonalized momentum (Jordan et al., 2024), with the scale of AdamW's updates.

The update of a matrix is the nearest matrix whose singular values are all about one, so that rare
directions learn as fast as common ones. PyTorch's own Muon computes in bfloat16, which takes twice
as long as float32 on some CPUs and half as long on others; here the run's precision decides.

Shapes: M rows and N columns of a matrix, S the smaller and L the larger of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Of the quintic iteration, chosen there for speed: singular values end between 0.7 and 1.2.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
# The usual root mean square of AdamW's updates (Liu et al., 2025).
_ADAMW_SCALE = 0.2


class Muon(torch.optim.Optimizer):
    """Updates matrices; other parameters raise ``ValueError``.

    ``dtype`` is the precision of the orthogonalization.
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise ValueError(
                        f"Muon updates matrices, got a parameter of shape {tuple(parameter.shape)}"
                    )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix_MN in group["params"]:
                if matrix_MN.grad is None:
                    continue
                state = self.state[matrix_MN]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix_MN)
                buffer_MN = state["momentum_buffer"].lerp_(matrix_MN.grad, 1 - momentum)
                ahead_MN = matrix_MN.grad.lerp(buffer_MN, momentum)
                matrix_MN.mul_(1 - rate * group["weight_decay"])
                scale = _ADAMW_SCALE * max(matrix_MN.shape) ** 0.5
                matrix_MN.add_(orthogonalize(ahead_MN, self.dtype), alpha=-rate * scale)


def orthogonalize(matrix_MN: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """About the nearest matrix with orthonormal rows or columns, by Newton-Schulz iteration.

    Computed in ``dtype``; on CUDA always in bfloat16.
    """
    wide_SL = matrix_MN if matrix_MN.shape[0] <= matrix_MN.shape[1] else matrix_MN.T
    wide_SL = wide_SL.to(torch.bfloat16 if wide_SL.is_cuda else dtype)
    wide_SL = wide_SL / wide_SL.norm().clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        square_SS = wide_SL @ wide_SL.T
        mixed_SS = torch.addmm(square_SS, square_SS, square_SS, beta=b, alpha=c)
        wide_SL = torch.addmm(wide_SL, mixed_SS, wide_SL, beta=a)
    result = wide_SL if matrix_MN.shape[0] <= matrix_MN.shape[1] else wide_SL.T
    return result.to(matrix_MN.dtype)
