"""The language-model loss, with one shift and masked padding.

The decoder's input is the start token and the target without its last token; its label is the
target. Shapes: B examples, T target tokens, M labels that count, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

IGNORE_INDEX = -100

# Logits ``float[M, V]`` and labels ``int[M]`` to a sum over tokens.
TokenLoss = Callable[[Tensor, Tensor], Tensor]


def pad_targets(targets: Sequence[Sequence[int]]) -> Tensor:
    """Labels ``int[B, T]`` of targets ``<s> ... </s>``, padded with ``IGNORE_INDEX``."""
    length = max(map(len, targets))
    rows = [[*target, *[IGNORE_INDEX] * (length - len(target))] for target in targets]
    return torch.tensor(rows)


def shift_right(labels_BT: Tensor, start: int, pad: int) -> Tensor:
    """Decoder inputs ``int[B, T]``: the start token, then every label but the last."""
    shifted_BT = labels_BT.roll(1, dims=1)
    shifted_BT[:, 0] = start
    return shifted_BT.masked_fill(shifted_BT == IGNORE_INDEX, pad)


def token_loss_sum(logits_MV: Tensor, labels_M: Tensor) -> Tensor:
    """The summed cross entropy, in float32.

    A sum, because a step's mean is over all its micro-batches and processes.
    """
    return functional.cross_entropy(logits_MV.float(), labels_M, reduction="sum")
