"""Beam search on tensors, for all prompts of a batch at once, with the released semantics.

At every step the best ``2 K`` continuations of a prompt are looked at. Those that end and stand
among its best ``K`` join the finished answers, ranked by mean log-probability; the best ``K`` that
do not end go on. A prompt is done when it holds ``K`` finished answers (early stopping), or when
its best running beam cannot beat its worst finished answer. Prompts do not influence one another.

Shapes: B prompts still running, K beams, C = 2 K candidates, R = B * K rows, T tokens,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..model import TextConfig
from .options import DecodingOptions, Generated
from .rules import Rules, ban_repeated_ngrams, force_token
from .search import Move

# Finite, so that sums of it stay ordered; as in the reference.
IMPOSSIBLE = -1.0e9


@dataclass
class _Beams:
    """``K`` sequences a prompt, with the sum that ranks them and the log-probability per token."""

    ids_BKT: Tensor
    logprobs_BKT: Tensor
    scores_BK: Tensor

    def take(self, beams_BK: Tensor) -> _Beams:
        """For every prompt the beams ``beams_BK``, in that order."""
        return _Beams(
            _gather(self.ids_BKT, beams_BK),
            _gather(self.logprobs_BKT, beams_BK),
            self.scores_BK.gather(1, beams_BK),
        )

    def prompts(self, kept_B: Tensor) -> _Beams:
        """The beams of the prompts ``kept_B``."""
        return _Beams(*(getattr(self, field.name)[kept_B] for field in fields(self)))

    def join(self, other: _Beams) -> _Beams:
        """Both sets beside each other; shorter sequences are padded with the other's length."""
        length = other.ids_BKT.shape[2]
        missing = (0, length - self.ids_BKT.shape[2])
        return _Beams(
            torch.cat([torch.nn.functional.pad(self.ids_BKT, missing, value=-1), other.ids_BKT], 1),
            torch.cat([torch.nn.functional.pad(self.logprobs_BKT, missing), other.logprobs_BKT], 1),
            torch.cat([self.scores_BK, other.scores_BK], 1),
        )


class BeamSearch:
    """The beams that run, the answers that are finished, and the prompts they belong to."""

    def __init__(
        self,
        text: TextConfig,
        options: DecodingOptions,
        limit: int,
        prompts: Sequence[int],
        device: torch.device,
        rules: Rules | None = None,
    ) -> None:
        count, width = len(prompts), options.width
        self.options, self.limit, self.eos = options, limit, text.eos
        self.prompts = list(prompts)
        self._cancelled: set[int] = set()
        ids = torch.tensor([text.decoder_start, text.bos], device=device).expand(count, width, -1)
        scores_BK = torch.full((count, width), IMPOSSIBLE, device=device)
        no_logprobs = torch.zeros((count, width, 1), device=device)
        self._finished = _Beams(ids, no_logprobs, scores_BK.clone())
        self._is_finished_BK = torch.zeros((count, width), dtype=torch.bool, device=device)
        # Only the first beam counts at first: the others would be copies of it.
        scores_BK[:, 0] = 0
        self._running = _Beams(ids, no_logprobs, scores_BK)
        self._improvable_B = torch.ones(count, dtype=torch.bool, device=device)
        self._rules = rules
        self._look()

    @property
    def span(self) -> range | None:
        """The ids that all next tokens lie in, where a rule says so."""
        return self._rules.span if self._rules else None

    @property
    def newest_tokens(self) -> Tensor:
        """The last token of every beam, ``int[R, 1]``."""
        return self._running.ids_BKT[:, :, -1:].flatten(0, 1)

    def advance(self, logits_RV: Tensor) -> Move:
        """One token more for every beam; what is done leaves."""
        origins_BK = self._extend(logits_RV)
        kept_B, answers = self._retire()
        rows_R = (kept_B[:, None] * self.options.width + origins_BK[kept_B]).flatten()
        self._look()
        return Move(rows_R, kept_B, answers)

    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on."""
        self._cancelled.add(prompt)

    def _look(self) -> None:
        if self._rules:
            owners = [prompt for prompt in self.prompts for _ in range(self.options.width)]
            self._rules.look(self._running.ids_BKT.flatten(0, 1), owners)

    def _extend(self, logits_RV: Tensor) -> Tensor:
        """One token more for every beam; the beams ``int[B, K]`` that the new ones came from."""
        candidates, origins_BC = self._candidates(logits_RV)
        ends_BC = candidates.ids_BKT[:, :, -1] == self.eos
        self._finish(candidates, ends_BC)
        ranking_BC = candidates.scores_BK + ends_BC * IMPOSSIBLE
        best_BK = ranking_BC.topk(self.options.width, dim=1).indices
        candidates.scores_BK = ranking_BC
        self._running = candidates.take(best_BK)
        self._judge()
        return origins_BC.gather(1, best_BK)

    def _retire(self) -> tuple[Tensor, dict[int, Generated]]:
        """The positions ``int[B']`` of the prompts that go on, and the answers of the others."""
        at_limit = self._running.ids_BKT.shape[2] > self.limit
        done_B = ~self._improvable_B
        if self.options.early_stopping:
            done_B = done_B | self._is_finished_BK.all(dim=1)
        if at_limit:
            done_B = torch.ones_like(done_B)
        answers = {
            self.prompts[position]: self._answer(position)
            for position in done_B.nonzero().flatten().tolist()
            if self.prompts[position] not in self._cancelled
        }
        for position, prompt in enumerate(self.prompts if self._cancelled else ()):
            done_B[position] = done_B[position] | (prompt in self._cancelled)
        kept_B = (~done_B).nonzero().flatten()
        if len(kept_B) < len(done_B):
            self.prompts = [self.prompts[position] for position in kept_B.tolist()]
            self._running = self._running.prompts(kept_B)
            self._finished = self._finished.prompts(kept_B)
            self._is_finished_BK = self._is_finished_BK[kept_B]
            self._improvable_B = self._improvable_B[kept_B]
        return kept_B, answers

    def _candidates(self, logits_RV: Tensor) -> tuple[_Beams, Tensor]:
        """The best ``2 K`` continuations of every prompt, and the beam each one continues."""
        running, width = self._running, self.options.width
        count = len(running.ids_BKT)
        if self._rules:
            logits_RV = self._rules.apply(logits_RV)
        # Only the best of a row can be among the best of its prompt, so only those are normalised.
        total_R1 = logits_RV.logsumexp(dim=1, keepdim=True)
        logits_RV = ban_repeated_ngrams(
            logits_RV, running.ids_BKT.flatten(0, 1), self.options.no_repeat_ngram
        )
        if running.ids_BKT.shape[2] == self.limit:
            logits_RV, total_R1 = force_token(logits_RV, self.eos), torch.zeros_like(total_R1)
        best_RC, tokens_RC = logits_RV.topk(min(2 * width, logits_RV.shape[1]), dim=1)
        logprobs_RC = best_RC - total_R1
        sums_RC = logprobs_RC + running.scores_BK.flatten()[:, None]
        scores_BC, flat_BC = sums_RC.view(count, -1).topk(2 * width, dim=1)
        origins_BC = flat_BC // best_RC.shape[1]
        tokens_BC = tokens_RC.view(count, -1).gather(1, flat_BC)
        token_logprobs_BC = logprobs_RC.view(count, -1).gather(1, flat_BC)
        candidates = running.take(origins_BC)
        candidates.ids_BKT = torch.cat([candidates.ids_BKT, tokens_BC[..., None]], dim=2)
        candidates.logprobs_BKT = torch.cat(
            [candidates.logprobs_BKT, token_logprobs_BC[..., None]], dim=2
        )
        candidates.scores_BK = scores_BC
        return candidates, origins_BC

    def _finish(self, candidates: _Beams, ends_BC: Tensor) -> None:
        """Move the candidates that end, and stand among the best ``K``, to the finished ones."""
        width = self.options.width
        length = candidates.ids_BKT.shape[2] - 1
        finishing_BC = ends_BC.clone()
        finishing_BC[:, width:] = False
        scores_BC = candidates.scores_BK / length**self.options.length_penalty
        closed_B = ~self._improvable_B
        if self.options.early_stopping:
            closed_B = closed_B | self._is_finished_BK.all(dim=1)
        scores_BC = scores_BC + closed_B[:, None] * IMPOSSIBLE + ~finishing_BC * IMPOSSIBLE
        merged = self._finished.join(_Beams(candidates.ids_BKT, candidates.logprobs_BKT, scores_BC))
        best_BK = merged.scores_BK.topk(width, dim=1).indices
        self._finished = merged.take(best_BK)
        merged_finished_BC = torch.cat([self._is_finished_BK, finishing_BC], dim=1)
        self._is_finished_BK = merged_finished_BC.gather(1, best_BK)

    def _judge(self) -> None:
        """Note the prompts whose best running beam can no longer beat a finished answer."""
        length = self._running.ids_BKT.shape[2] - 1
        best_B = self._running.scores_BK[:, 0] / length**self.options.length_penalty
        worst_B = self._finished.scores_BK.min(dim=1).values
        open_B = ~self._is_finished_BK.all(dim=1)
        self._improvable_B = self._improvable_B & (open_B | (best_B > worst_B))

    def _answer(self, position: int) -> Generated:
        ids = self._finished.ids_BKT[position, 0].tolist()
        end = ids.index(self.eos, 1) if self.eos in ids[1:] else len(ids) - 1
        logprobs = self._finished.logprobs_BKT[position, 0, :end].tolist()
        score = float(self._finished.scores_BK[position, 0])
        return Generated(tuple(ids[1 : end + 1]), tuple(logprobs), score, end == self.limit)


def _gather(values_BKT: Tensor, beams_BK: Tensor) -> Tensor:
    return values_BKT.gather(1, beams_BK[..., None].expand(-1, -1, values_BKT.shape[2]))
