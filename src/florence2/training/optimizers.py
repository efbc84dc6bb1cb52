"""The optimizers of a run and their parameter groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .muon import Muon
from .recipe import Optimizer, Precision

# The ratio of a group's learning rate to the run's; 1 for groups without it.
RATE_FACTOR = "rate_factor"


class Optimizers:
    """One or two optimizers over disjoint parameters, stepped together."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = tuple(parts)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers."""
        return [group for part in self.parts for group in part.param_groups]

    def set_rate(self, rate: float) -> None:
        """Set the run's learning rate; each group gets its multiple of it."""
        for group in self.param_groups:
            group["lr"] = rate * group.get(RATE_FACTOR, 1.0)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Update all parameters."""
        for part in self.parts:
            part.step()


def make_optimizers(
    model: nn.Module, settings: Optimizer, precision: Precision = "fp32"
) -> Optimizers:
    """The optimizers of the trainable parameters.

    Muon updates the matrices inside the model; AdamW updates embeddings (and a tied head),
    convolutions, biases and norms.
    """
    groups = parameter_groups(model, settings)
    if settings.kind == "adamw":
        return Optimizers([_adamw(groups, settings)])
    embeddings = {id(each.weight) for each in model.modules() if isinstance(each, nn.Embedding)}
    matrices: list[nn.Parameter] = []
    others: list[dict[str, Any]] = []
    for group in groups:
        rest: list[nn.Parameter] = []
        for parameter in group["params"]:
            is_matrix = parameter.ndim == 2 and id(parameter) not in embeddings
            (matrices if is_matrix else rest).append(parameter)
        others.append({**group, "params": rest})
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        parts.append(
            Muon(
                [{"params": matrices, RATE_FACTOR: settings.muon_factor}],
                lr=settings.learning_rate * settings.muon_factor,
                weight_decay=settings.weight_decay,
                dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            )
        )
    others = [group for group in others if group["params"]]
    if others:
        parts.append(_adamw(others, settings))
    return Optimizers(parts)


def _adamw(groups: list[dict[str, Any]], settings: Optimizer) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=settings.betas, eps=settings.epsilon, fused=True
    )


def parameter_groups(model: nn.Module, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Two groups for AdamW: matrices with weight decay; biases and norms without."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("nothing is left to train: every parameter is frozen")
    decayed = [parameter for parameter in trained if parameter.ndim > 1]
    plain = [parameter for parameter in trained if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": optimizer.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
