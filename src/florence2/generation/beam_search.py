"""Beam search on tensors, for all prompts of a batch at once, with the released semantics.

At every step the best ``2 K`` continuations of a prompt are looked at. Those that end and stand
among its best ``K`` join the finished answers, ranked by mean log-probability; the best ``K`` that
do not end go on. A prompt is done when it holds ``K`` finished answers (early stopping), or when
its best running beam cannot beat its worst finished answer. Prompts do not influence one another,
and each counts its own length. One beam is greedy decoding.

A step asks no tensor what it holds and changes no shape: a device need not answer between steps,
and prompts that are done stand still.

Shapes: B prompts, K beams, C = 2 K candidates, R = B * K rows, T the longest sequence there is room
for, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from ..model import TextConfig
from .decoding_options import DecodingOptions, Generated
from .logits_processors import NEVER

# Finite, so that sums of it stay ordered; as in the reference.
IMPOSSIBLE = -1.0e9
# Scores of which the best is looked at together.
_BLOCK = 128


@dataclass
class Beams:
    """``K`` sequences a prompt that run and ``K`` that are finished, changed in place.

    ``scores`` rank them: sums of log-probabilities for those that run, means for the finished ones.
    ``length_B`` counts the tokens of each prompt, the start token too; ``active_B`` are the prompts
    that go on.
    """

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
    ) -> Beams:
        """Room for prompts, with nobody in it; scores are of ``dtype``, as logits are."""
        ids = torch.zeros((count, width, longest), dtype=torch.long, device=device)
        logprobs = torch.zeros((count, width, longest), device=device, dtype=dtype)
        scores = torch.zeros((count, width), device=device, dtype=dtype)
        no_B = torch.zeros(count, dtype=torch.bool, device=device)
        ones_B = torch.ones(count, dtype=torch.long, device=device)
        return cls(
            ids,
            logprobs,
            scores,
            ids.clone(),
            logprobs.clone(),
            scores.clone(),
            scores.bool(),
            no_B,
            ones_B,
            ones_B.clone(),
            no_B.clone(),
        )

    @property
    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [getattr(self, field.name) for field in fields(self)]

    @property
    def longest(self) -> int:
        """The tokens of a sequence that there is room for."""
        return self.ids_BKT.shape[2]

    def with_room(self, longest: int) -> Beams:
        """The same with room for sequences of ``longest`` tokens."""
        more = (0, longest - self.longest)
        return Beams(
            *(
                functional.pad(each, more) if field.name.endswith("BKT") else each
                for field, each in zip(fields(self), self.tensors, strict=True)
            )
        )

    def begin(self, places: list[int], limit: int, first: Sequence[int]) -> None:
        """Let answers of at most ``limit`` tokens begin with ``first`` at some places."""
        self.ids_BKT[places, :, : len(first)] = torch.tensor(first, device=self.ids_BKT.device)
        self.logprobs_BKT[places, :, : len(first)] = 0
        self.finished_scores_BK[places], self.is_finished_BK[places] = IMPOSSIBLE, False
        # Only the first beam counts at first: the others would be copies of it.
        self.scores_BK[places] = IMPOSSIBLE
        self.scores_BK[places, 0] = 0
        self.improvable_B[places] = self.active_B[places] = True
        self.length_B[places], self.limit_B[places] = len(first), limit

    def newest(self) -> tuple[Tensor, Tensor]:
        """The last tokens ``int[R, 1]`` and their positions ``int[R]``."""
        width = self.ids_BKT.shape[1]
        place_B = self.length_B - 1
        newest_BK1 = self.ids_BKT.gather(2, place_B[:, None, None].expand(-1, width, 1))
        return newest_BK1.flatten(0, 1), place_B.repeat_interleave(width)

    def answer(self, place: int, eos: int) -> Generated:
        """The best finished answer of a prompt."""
        ids = self.finished_ids_BKT[place, 0].tolist()
        end = ids.index(eos, 1)
        logprobs = self.finished_logprobs_BKT[place, 0, :end].tolist()
        truncated = end == int(self.limit_B[place])
        score = float(self.finished_scores_BK[place, 0])
        return Generated(tuple(ids[1 : end + 1]), tuple(logprobs), score, truncated)

    def advance(self, logprobs_RV: Tensor, options: DecodingOptions, text: TextConfig) -> Tensor:
        """One token more for every active prompt, from log-probabilities that are used up.

        Gives the rows ``int[R]`` that the new ones continue.
        """
        count, width = self.scores_BK.shape
        length_B1 = self.length_B[:, None]
        scores_BC, origins_BC, tokens_BC, logprobs_BC = self._candidates(logprobs_RV, options, text)
        ids_BCT = _with_token(_taken(self.ids_BKT, origins_BC), length_B1, tokens_BC)
        written_BCT = _with_token(_taken(self.logprobs_BKT, origins_BC), length_B1 - 1, logprobs_BC)
        ends_BC = tokens_BC == text.eos_token_id
        per_token_B1 = length_B1.to(scores_BC.dtype) ** options.length_penalty
        stops_early = options.early_stopping or width == 1

        closed_B = ~self.improvable_B
        if stops_early:
            closed_B = closed_B | self.is_finished_BK.all(dim=1)
        finishing_BC = ends_BC & (torch.arange(2 * width, device=ends_BC.device) < width)
        ended_BC = scores_BC / per_token_B1 + closed_B[:, None] * IMPOSSIBLE
        ended_BC = ended_BC + ~finishing_BC * IMPOSSIBLE
        finished_BK, best_BK = torch.cat([self.finished_scores_BK, ended_BC], 1).topk(width, dim=1)
        is_finished_BK = torch.cat([self.is_finished_BK, finishing_BC], 1).gather(1, best_BK)
        running_BK, on_BK = (scores_BC + ends_BC * IMPOSSIBLE).topk(width, dim=1)

        all_finished_B = is_finished_BK.all(dim=1)
        beaten_B = running_BK[:, 0] / per_token_B1[:, 0] <= finished_BK.min(dim=1).values
        improvable_B = self.improvable_B & ~(all_finished_B & beaten_B)
        done_B = ~improvable_B | (self.length_B >= self.limit_B)
        if stops_early:
            done_B = done_B | all_finished_B
        new = Beams(
            _taken(ids_BCT, on_BK),
            _taken(written_BCT, on_BK),
            running_BK,
            _taken(torch.cat([self.finished_ids_BKT, ids_BCT], 1), best_BK),
            _taken(torch.cat([self.finished_logprobs_BKT, written_BCT], 1), best_BK),
            finished_BK,
            is_finished_BK,
            improvable_B,
            self.length_B + 1,
            self.limit_B,
            ~done_B,
        )
        beams_K, active_B = torch.arange(width, device=on_BK.device), self.active_B.clone()
        rows_BK = torch.where(active_B[:, None], origins_BC.gather(1, on_BK), beams_K)
        for held, each in zip(self.tensors, new.tensors, strict=True):
            held.copy_(torch.where(active_B.view(-1, *(1,) * (held.ndim - 1)), each, held))
        first_B1 = torch.arange(count, device=rows_BK.device)[:, None] * width
        return (rows_BK + first_B1).flatten()

    def _candidates(
        self, logprobs_RV: Tensor, options: DecodingOptions, text: TextConfig
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best ``2 K`` continuations of every prompt ``[B, C]``: sums, origins, tokens,
        log-probabilities."""
        count, width = self.scores_BK.shape
        length_R1 = self.length_B.repeat_interleave(width)[:, None]
        limit_R1 = self.limit_B.repeat_interleave(width)[:, None]
        _ban_repeats(
            logprobs_RV, self.ids_BKT.flatten(0, 1), length_R1, options.no_repeat_ngram_size(text)
        )
        if options.min_new_tokens:
            is_early_R = length_R1[:, 0] < options.min_new_tokens
            logprobs_RV[:, text.eos_token_id].masked_fill_(is_early_R, NEVER)
        # Only the best of a row can be among the best of its prompt.
        logprobs_RC, tokens_RC = best_of(logprobs_RV, 2 * width)
        # The first token is always <s>, the last one </s>.
        forced_R1 = torch.where(length_R1 == 1, text.bos_token_id, text.eos_token_id)
        is_forced_R1 = (length_R1 == 1) | (length_R1 == limit_R1)
        is_first_C = torch.arange(2 * width, device=length_R1.device) == 0
        only_C = torch.where(is_first_C, 0.0, NEVER).to(logprobs_RC.dtype)
        logprobs_RC = torch.where(is_forced_R1, only_C, logprobs_RC)
        tokens_RC = torch.where(is_forced_R1 & is_first_C, forced_R1, tokens_RC)

        sums_RC = logprobs_RC + self.scores_BK.flatten()[:, None]
        scores_BC, flat_BC = sums_RC.view(count, -1).topk(2 * width, dim=1)
        tokens_BC = tokens_RC.view(count, -1).gather(1, flat_BC)
        logprobs_BC = logprobs_RC.view(count, -1).gather(1, flat_BC)
        return scores_BC, flat_BC // (2 * width), tokens_BC, logprobs_BC


def best_of(scores_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` best scores ``[R, count]`` of every row and their places, as ``topk`` has them
    but for the order of equal ones.

    The best of a row lie in the blocks with the greatest maxima: on a processor that is found in a
    quarter of the time.
    """
    rows, width = scores_RV.shape
    blocks = width // _BLOCK
    # Fewer blocks hold about as many scores as the row.
    if blocks < 8 * count:
        best_RC, places_RC = scores_RV.topk(count, dim=1)
        return best_RC, places_RC
    whole, device = blocks * _BLOCK, scores_RV.device
    maxima_RB = scores_RV[:, :whole].view(rows, blocks, _BLOCK).amax(dim=2)
    firsts_RC1 = maxima_RB.topk(count, dim=1).indices[..., None] * _BLOCK
    inside_RW = (firsts_RC1 + torch.arange(_BLOCK, device=device)).flatten(1)
    rest_RW = torch.arange(whole, width, device=device).expand(rows, -1)
    places_RW = torch.cat([inside_RW, rest_RW], dim=1)
    best_RC, found_RC = scores_RV.gather(1, places_RW).topk(count, dim=1)
    return best_RC, places_RW.gather(1, found_RC)


def _ban_repeats(scores_RV: Tensor, ids_RT: Tensor, length_R1: Tensor, size: int) -> None:
    """``rules.ban_repeated_ngrams`` in place, for rows of different lengths."""
    if size == 0 or ids_RT.shape[1] < size:
        return
    windows_RWn = ids_RT.unfold(1, size, 1)
    recent_R = length_R1 - size + 1 + torch.arange(size - 1, device=ids_RT.device)
    recent_R1n = ids_RT.gather(1, recent_R.clamp(min=0))[:, None]
    inside_RW = torch.arange(windows_RWn.shape[1], device=ids_RT.device) + size <= length_R1
    repeated_RW = (windows_RWn[:, :, :-1] == recent_R1n).all(dim=2) & inside_RW
    banned_RW = torch.where(repeated_RW, NEVER, -NEVER).to(scores_RV.dtype)
    scores_RV.scatter_reduce_(1, windows_RWn[:, :, -1], banned_RW, "amin")


def _taken(values_BKT: Tensor, beams_BX: Tensor) -> Tensor:
    return values_BKT.gather(1, beams_BX[..., None].expand(-1, -1, values_BKT.shape[2]))


def _with_token(values_BCT: Tensor, place_B1: Tensor, tokens_BC: Tensor) -> Tensor:
    place_BC1 = place_B1[:, None].expand(-1, tokens_BC.shape[1], 1)
    return values_BCT.scatter(2, place_BC1, tokens_BC[..., None])
