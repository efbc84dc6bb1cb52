"""Beam search in slots: the search of ``beam.py`` with shapes that never change.

Nothing here asks a tensor what it holds, so that a step needs no answer from the device: sequences
lie in buffers of their longest length, each prompt counts its own, and what would leave is frozen.
One beam is greedy decoding.

Shapes: B slots, K beams, C = 2 K candidates, R = B * K rows, T the longest sequence, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from ..model import TextConfig
from .beam import IMPOSSIBLE
from .options import DecodingOptions, Generated
from .rules import NEVER


@dataclass
class SlotState:
    """All that a search knows, changed in place; ``length_B`` counts the start token too."""

    ids_BKT: Tensor
    logprobs_BKT: Tensor
    scores_BK: Tensor
    finished_ids_BKT: Tensor
    finished_logprobs_BKT: Tensor
    finished_scores_BK: Tensor
    is_finished_BK: Tensor
    improvable_B: Tensor
    length_B: Tensor
    limit_B: Tensor
    active_B: Tensor

    @classmethod
    def empty(
        cls, count: int, width: int, longest: int, device: torch.device, dtype: torch.dtype
    ) -> SlotState:
        """Slots with nobody in them; scores are of ``dtype``, as logits are."""
        ids = torch.zeros((count, width, longest), dtype=torch.long, device=device)
        logprobs = torch.zeros((count, width, longest), device=device, dtype=dtype)
        scores = torch.zeros((count, width), device=device, dtype=dtype)
        no_B = torch.zeros(count, dtype=torch.bool, device=device)
        ones_B = torch.ones(count, dtype=torch.long, device=device)
        return cls(
            ids, logprobs, scores, ids.clone(), logprobs.clone(), scores.clone(),
            scores.bool(), no_B, ones_B, ones_B.clone(), no_B.clone(),
        )  # fmt: skip

    @property
    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [getattr(self, field.name) for field in fields(self)]

    def longer(self, longest: int) -> SlotState:
        """The same with room for sequences of ``longest`` tokens."""
        more = (0, longest - self.ids_BKT.shape[2])
        return SlotState(*(
            functional.pad(each, more) if field.name.endswith("BKT") else each
            for field, each in zip(fields(self), self.tensors, strict=True)
        ))  # fmt: skip

    def begin(self, slots: list[int], limit: int, start: int) -> None:
        """Let new answers of at most ``limit`` tokens begin in some slots."""
        self.ids_BKT[slots] = start
        self.logprobs_BKT[slots] = 0
        self.finished_ids_BKT[slots], self.finished_logprobs_BKT[slots] = start, 0
        self.finished_scores_BK[slots], self.is_finished_BK[slots] = IMPOSSIBLE, False
        # Only the first beam counts at first: the others would be copies of it.
        self.scores_BK[slots] = IMPOSSIBLE
        self.scores_BK[slots, 0] = 0
        self.improvable_B[slots] = self.active_B[slots] = True
        self.length_B[slots], self.limit_B[slots] = 1, limit

    def newest(self) -> tuple[Tensor, Tensor]:
        """The last tokens ``int[R, 1]`` and their positions ``int[R]``."""
        width = self.ids_BKT.shape[1]
        place_B = self.length_B - 1
        newest_BK1 = self.ids_BKT.gather(2, place_B[:, None, None].expand(-1, width, 1))
        return newest_BK1.flatten(0, 1), place_B.repeat_interleave(width)

    def answer(self, slot: int, eos: int) -> Generated:
        """What a slot that is done has found."""
        ids = self.finished_ids_BKT[slot, 0].tolist()
        end = ids.index(eos, 1)
        logprobs = self.finished_logprobs_BKT[slot, 0, :end].tolist()
        truncated = end == int(self.limit_B[slot])
        score = float(self.finished_scores_BK[slot, 0])
        return Generated(tuple(ids[1 : end + 1]), tuple(logprobs), score, truncated)


def advance(
    state: SlotState, logits_RV: Tensor, options: DecodingOptions, text: TextConfig
) -> Tensor:
    """One token more in every active slot; the rows ``int[R]`` that the new ones continue."""
    count, width, _ = state.ids_BKT.shape
    length_B1 = state.length_B[:, None]
    scores_BC, origins_BC, tokens_BC, logprobs_BC = _candidates(state, logits_RV, options, text)
    ids_BCT = _with_token(_taken(state.ids_BKT, origins_BC), length_B1, tokens_BC)
    written_BCT = _with_token(_taken(state.logprobs_BKT, origins_BC), length_B1 - 1, logprobs_BC)
    ends_BC = tokens_BC == text.eos

    full_B = state.is_finished_BK.all(dim=1)
    closed_B = ~state.improvable_B | full_B if options.early_stopping else ~state.improvable_B
    finishing_BC = ends_BC & (torch.arange(2 * width, device=ends_BC.device) < width)
    per_token_B1 = length_B1.to(scores_BC.dtype) ** options.length_penalty
    ended_BC = scores_BC / per_token_B1 + closed_B[:, None] * IMPOSSIBLE
    merged_BX = torch.cat([state.finished_scores_BK, ended_BC + ~finishing_BC * IMPOSSIBLE], dim=1)
    finished_scores_BK, best_BK = merged_BX.topk(width, dim=1)
    finished_ids_BKT = _taken(torch.cat([state.finished_ids_BKT, ids_BCT], dim=1), best_BK)
    finished_logprobs_BKT = _taken(
        torch.cat([state.finished_logprobs_BKT, written_BCT], dim=1), best_BK
    )
    is_finished_BK = torch.cat([state.is_finished_BK, finishing_BC], dim=1).gather(1, best_BK)

    running_BK, on_BK = (scores_BC + ends_BC * IMPOSSIBLE).topk(width, dim=1)
    beaten_B = running_BK[:, 0] / per_token_B1[:, 0] <= finished_scores_BK.min(dim=1).values
    improvable_B = state.improvable_B & ~(is_finished_BK.all(dim=1) & beaten_B)
    done_B = ~improvable_B | (state.length_B >= state.limit_B)
    if options.early_stopping:
        done_B = done_B | is_finished_BK.all(dim=1)

    active_B = state.active_B.clone()
    rows_BK = origins_BC.gather(1, on_BK)
    same_BK = torch.arange(width, device=rows_BK.device).expand_as(rows_BK)
    rows_BK = torch.where(active_B[:, None], rows_BK, same_BK)
    _keep(active_B, state.ids_BKT, _taken(ids_BCT, on_BK))
    _keep(active_B, state.logprobs_BKT, _taken(written_BCT, on_BK))
    _keep(active_B, state.scores_BK, running_BK)
    _keep(active_B, state.finished_ids_BKT, finished_ids_BKT)
    _keep(active_B, state.finished_logprobs_BKT, finished_logprobs_BKT)
    _keep(active_B, state.finished_scores_BK, finished_scores_BK)
    _keep(active_B, state.is_finished_BK, is_finished_BK)
    _keep(active_B, state.improvable_B, improvable_B)
    _keep(active_B, state.length_B, state.length_B + 1)
    _keep(active_B, state.active_B, ~done_B)
    first_B1 = torch.arange(count, device=rows_BK.device)[:, None] * width
    return (rows_BK + first_B1).flatten()


def _candidates(
    state: SlotState, logits_RV: Tensor, options: DecodingOptions, text: TextConfig
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best ``2 K`` continuations of every prompt: sums, origins, tokens, log-probabilities."""
    count, width, _ = state.ids_BKT.shape
    length_R1 = state.length_B.repeat_interleave(width)[:, None]
    limit_R1 = state.limit_B.repeat_interleave(width)[:, None]
    total_R1 = logits_RV.logsumexp(dim=1, keepdim=True)
    logits_RV = _without_repeats(
        logits_RV, state.ids_BKT.flatten(0, 1), length_R1, options.no_repeat_ngram
    )
    # The first token is always <s>, the last one </s>.
    tokens_V = torch.arange(logits_RV.shape[1], device=logits_RV.device)
    forced_R1 = torch.where(length_R1 == 1, text.bos, text.eos)
    is_forced_R1 = (length_R1 == 1) | (length_R1 == limit_R1)
    forced_RV = torch.where(tokens_V == forced_R1, 0.0, NEVER)
    logits_RV = torch.where(is_forced_R1, forced_RV, logits_RV)
    total_R1 = torch.where(is_forced_R1, 0.0, total_R1)

    best_RC, tokens_RC = logits_RV.topk(2 * width, dim=1)
    logprobs_BX = (best_RC - total_R1).view(count, -1)
    sums_RC = best_RC - total_R1 + state.scores_BK.flatten()[:, None]
    scores_BC, flat_BC = sums_RC.view(count, -1).topk(2 * width, dim=1)
    tokens_BC = tokens_RC.view(count, -1).gather(1, flat_BC)
    return scores_BC, flat_BC // (2 * width), tokens_BC, logprobs_BX.gather(1, flat_BC)


def _without_repeats(scores_RV: Tensor, ids_RT: Tensor, length_R1: Tensor, size: int) -> Tensor:
    """``rules.ban_repeated_ngrams`` for rows of different lengths in buffers of the same."""
    if size == 0 or ids_RT.shape[1] < size:
        return scores_RV
    windows_RWn = ids_RT.unfold(1, size, 1)
    recent_R = length_R1 - size + 1 + torch.arange(size - 1, device=ids_RT.device)
    recent_R1n = ids_RT.gather(1, recent_R.clamp(min=0))[:, None]
    inside_RW = torch.arange(windows_RWn.shape[1], device=ids_RT.device) + size <= length_R1
    repeated_RW = (windows_RWn[:, :, :-1] == recent_R1n).all(dim=2) & inside_RW
    banned_RW = torch.where(repeated_RW, NEVER, -NEVER).to(scores_RV.dtype)
    return scores_RV.scatter_reduce(1, windows_RWn[:, :, -1], banned_RW, "amin")


def _taken(values_BKT: Tensor, beams_BX: Tensor) -> Tensor:
    return values_BKT.gather(1, beams_BX[..., None].expand(-1, -1, values_BKT.shape[2]))


def _with_token(values_BCT: Tensor, place_B1: Tensor, tokens_BC: Tensor) -> Tensor:
    place_BC1 = place_B1[:, None].expand(-1, tokens_BC.shape[1], 1)
    return values_BCT.scatter(2, place_BC1, tokens_BC[..., None])


def _keep(active_B: Tensor, held: Tensor, new: Tensor) -> None:
    """Put ``new`` where slots are active."""
    held.copy_(torch.where(active_B.view(-1, *(1,) * (held.ndim - 1)), new, held))
