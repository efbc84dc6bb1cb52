"""Rules on scores: what may come next, and how a draw is narrowed. Pure functions on tensors.

Shapes: R rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NEVER = float("-inf")


class Allowed(Protocol):
    """The tokens that may come next: ``mask`` ``bool[W]`` over the vocabulary.

    ``span`` are the ids that hold all of them, where these are far fewer than the vocabulary.
    """

    @property
    def mask(self) -> NDArray[np.bool_]: ...
    @property
    def span(self) -> range | None: ...


class Rule(Protocol):
    """A grammar that says what may follow the tokens of an answer."""

    def allowed(self, ids: Sequence[int], /) -> Allowed: ...


class LogitsProcessor:
    """The rules of the prompts of a search, by their numbers, looked up once a step."""

    def __init__(self, rules: Mapping[int, Rule | None]) -> None:
        self._rules = rules
        self._allowed: list[Allowed | None] = []

    @property
    def span(self) -> range | None:
        """The ids that the next tokens of all rows lie in, if they are few."""
        spans = {None if each is None else each.span for each in self._allowed}
        return spans.pop() if len(spans) == 1 else None

    def look(self, rows: Sequence[Sequence[int]], owners: Sequence[int]) -> None:
        """Look at the tokens so far; row ``r`` is one of the prompt ``owners[r]``."""
        self._allowed = []
        for ids, prompt in zip(rows, owners, strict=True):
            rule = self._rules[prompt]
            self._allowed.append(None if rule is None else rule.allowed(ids))

    def apply(self, logprobs_RV: Tensor) -> Tensor:
        """The log-probabilities among what is allowed; of all else they are minus infinity."""
        logprobs_RV = logprobs_RV.clone()
        for row, allowed in enumerate(self._allowed):
            if allowed is not None:
                mask_W = torch.from_numpy(allowed.mask).to(logprobs_RV.device)
                logprobs_RV[row, : len(mask_W)].masked_fill_(~mask_W, NEVER)
                # A head may have more rows than there are tokens.
                logprobs_RV[row, len(mask_W) :] = NEVER
                logprobs_RV[row] = logprobs_RV[row].log_softmax(dim=0)
        return logprobs_RV


def ban_repeated_ngrams(scores_RV: Tensor, ids_RT: Tensor, size: int) -> Tensor:
    """The scores with every token at minus infinity that would repeat an n-gram of its row.

    The start token and ``<s>`` count as tokens, as in the released decoding; with ``size`` 0
    nothing is banned.
    """
    length = ids_RT.shape[1]
    if size == 0 or length < size:
        return scores_RV
    windows_RWn = ids_RT.unfold(1, size, 1)
    recent_R1n = ids_RT[:, None, length - size + 1 :]
    repeated_RW = (windows_RWn[:, :, :-1] == recent_R1n).all(dim=2)
    rows, windows = repeated_RW.nonzero(as_tuple=True)
    if not len(rows):
        return scores_RV
    scores_RV = scores_RV.clone()
    scores_RV[rows, windows_RWn[rows, windows, -1]] = NEVER
    return scores_RV


def ban_token(scores_RV: Tensor, token: int) -> Tensor:
    """The scores with ``token`` at minus infinity."""
    scores_RV = scores_RV.clone()
    scores_RV[:, token] = NEVER
    return scores_RV


def force_token(scores_RV: Tensor, token: int) -> Tensor:
    """Scores that leave only ``token``, at log-probability 0."""
    forced_RV = torch.full_like(scores_RV, NEVER)
    forced_RV[:, token] = 0
    return forced_RV


def keep_top_k(scores_RV: Tensor, count: int) -> Tensor:
    """The scores with all but the ``count`` best of each row at minus infinity."""
    worst_R1 = scores_RV.topk(min(count, scores_RV.shape[1]), dim=1).values[:, -1:]
    return scores_RV.masked_fill(scores_RV < worst_R1, NEVER)


def keep_top_p(scores_RV: Tensor, mass: float) -> Tensor:
    """The scores with only the fewest best tokens whose probability reaches ``mass`` left.

    The best token of each row always stays.
    """
    sorted_RV, order_RV = scores_RV.sort(dim=1, descending=True)
    probability_RV = sorted_RV.softmax(dim=1)
    before_RV = probability_RV.cumsum(dim=1) - probability_RV
    dropped_RV = torch.zeros_like(before_RV, dtype=torch.bool)
    surplus_RV = before_RV >= mass
    surplus_RV[:, 0] = False
    dropped_RV.scatter_(1, order_RV, surplus_RV)
    return scores_RV.masked_fill(dropped_RV, NEVER)
