"""Logits processors restrict the next token. Functions on tensors of fixed shapes.

Shapes: R rows, T tokens so far, V vocabulary, W positions where an n-gram begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..processing.constraint import AllowedTokens

NEG_INF = float("-inf")


class LogitsProcessor(Protocol):
    """Restricts the next token of a sequence, as ``processing.constraint.Constraint`` does."""

    def allowed(self, ids: Sequence[int], /) -> AllowedTokens:
        """The tokens that may follow ``ids``, which begin with the start token."""
        ...


class LogitsProcessors:
    """The logits processors of the requests of a search, by request id."""

    def __init__(self, processors: Mapping[int, LogitsProcessor | None]) -> None:
        self._processors = processors
        self._allowed: list[AllowedTokens | None] = []

    @property
    def id_range(self) -> range | None:
        """The range of ids of the next tokens of all rows, if it is small."""
        ranges = {None if allowed is None else allowed.id_range for allowed in self._allowed}
        return ranges.pop() if len(ranges) == 1 else None

    def update(self, rows: Sequence[Sequence[int]], owners: Sequence[int]) -> None:
        """Compute what may follow the token ids of every row; row ``r`` belongs to the request
        ``owners[r]``."""
        self._allowed = []
        for ids, request_id in zip(rows, owners, strict=True):
            processor = self._processors[request_id]
            self._allowed.append(None if processor is None else processor.allowed(ids))

    def apply(self, logprobs_RV: Tensor) -> Tensor:
        """Log-probabilities among the allowed tokens; all others are at minus infinity."""
        logprobs_RV = logprobs_RV.clone()
        for row, allowed in enumerate(self._allowed):
            if allowed is not None:
                mask = torch.from_numpy(allowed.mask).to(logprobs_RV.device)
                logprobs_RV[row, : len(mask)].masked_fill_(~mask, NEG_INF)
                # A head may have more rows than there are tokens.
                logprobs_RV[row, len(mask) :] = NEG_INF
                logprobs_RV[row] = logprobs_RV[row].log_softmax(dim=0)
        return logprobs_RV


def no_repeat_ngram(scores_RV: Tensor, ids_RT: Tensor, length_R1: Tensor, size: int) -> None:
    """Set, in place, every token to minus infinity that would repeat an n-gram of its row.

    Row ``r`` has ``length_R1[r]`` tokens in ``ids_RT``; the rest is ignored. The start token and
    ``<s>`` count, as in the released decoding; ``size`` 0 bans nothing.
    """
    if size == 0 or ids_RT.shape[1] < size:
        return
    windows_RWn = ids_RT.unfold(1, size, 1)
    recent_R = length_R1 - size + 1 + torch.arange(size - 1, device=ids_RT.device)
    recent_R1n = ids_RT.gather(1, recent_R.clamp(min=0))[:, None]
    inside_RW = torch.arange(windows_RWn.shape[1], device=ids_RT.device) + size <= length_R1
    repeated_RW = (windows_RWn[:, :, :-1] == recent_R1n).all(dim=2) & inside_RW
    banned_RW = torch.where(repeated_RW, NEG_INF, 0.0).to(scores_RV.dtype)
    scores_RV.scatter_add_(1, windows_RWn[:, :, -1], banned_RW)


def keep_top_k(scores_RV: Tensor, count: int) -> Tensor:
    """The scores with all but the ``count`` best of each row at minus infinity."""
    worst_R1 = scores_RV.topk(min(count, scores_RV.shape[1]), dim=1).values[:, -1:]
    return scores_RV.masked_fill(scores_RV < worst_R1, NEG_INF)


def keep_top_p(scores_RV: Tensor, mass: float) -> Tensor:
    """The scores with only the smallest set of best tokens left whose probability reaches ``mass``.

    The best token of each row always stays.
    """
    sorted_RV, order_RV = scores_RV.sort(dim=1, descending=True)
    probability_RV = sorted_RV.softmax(dim=1)
    before_RV = probability_RV.cumsum(dim=1) - probability_RV
    dropped_RV = torch.zeros_like(before_RV, dtype=torch.bool)
    surplus_RV = before_RV >= mass
    surplus_RV[:, 0] = False
    dropped_RV.scatter_(1, order_RV, surplus_RV)
    return scores_RV.masked_fill(dropped_RV, NEG_INF)
