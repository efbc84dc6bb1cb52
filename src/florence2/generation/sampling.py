"""Sampling: one row for every prompt.

Shapes: B prompts still running, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model import TextConfig
from .decoding_options import DecodingOptions, Generated
from .logits_processors import (
    LogitsProcessor,
    ban_repeated_ngrams,
    ban_token,
    force_token,
    keep_top_k,
    keep_top_p,
)
from .search import Move


class SamplingSearch:
    """One row a prompt, continued by a drawn token. ``like`` are logits, for their device."""

    def __init__(
        self,
        text: TextConfig,
        options: DecodingOptions,
        limit: int,
        prompts: Sequence[int],
        like: Tensor,
        rules: LogitsProcessor | None = None,
    ) -> None:
        count, device = len(prompts), like.device
        self.options, self.limit, self.eos = options, limit, text.eos_token_id
        self._banned_ngram = options.no_repeat_ngram_size(text)
        self.prompts = list(prompts)
        self._cancelled: set[int] = set()
        start = torch.tensor([[text.decoder_start_token_id, text.bos_token_id]], device=device)
        self._ids_BT = start.expand(count, -1)
        self._logprobs_BT = torch.zeros((count, 1), device=device)
        self._choose = _Sampler(options, self.prompts)
        self._rules = rules
        self._look()

    @property
    def span(self) -> range | None:
        """The ids that all next tokens lie in, where a rule says so."""
        return self._rules.span if self._rules else None

    @property
    def last_tokens(self) -> Tensor:
        """The last token of every prompt, ``int[R, 1]``."""
        return self._ids_BT[:, -1:]

    def advance(self, logprobs_RV: Tensor) -> Move:
        """One token more for every prompt; what is done leaves."""
        length = self._ids_BT.shape[1]
        at_limit = length == self.limit
        if self._rules:
            logprobs_RV = self._rules.apply(logprobs_RV)
        scores_BV = ban_repeated_ngrams(logprobs_RV, self._ids_BT, self._banned_ngram)
        if length < self.options.min_new_tokens:
            scores_BV = ban_token(scores_BV, self.eos)
        if at_limit:
            scores_BV = force_token(scores_BV, self.eos)
        chosen_B1 = self._choose(scores_BV, self.prompts)
        token_B1 = logprobs_RV.gather(1, chosen_B1)
        self._ids_BT = torch.cat([self._ids_BT, chosen_B1], dim=1)
        self._logprobs_BT = torch.cat([self._logprobs_BT, token_B1 * (not at_limit)], dim=1)
        move = self._retire(chosen_B1.flatten().tolist(), at_limit)
        self._look()
        return move

    def absorb(self, other: object) -> bool:
        """Never: draws of one search follow one another."""
        return False

    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on."""
        self._cancelled.add(prompt)

    def _look(self) -> None:
        if self._rules:
            self._rules.look(self._ids_BT.tolist(), self.prompts)

    def _retire(self, chosen: list[int], at_limit: bool) -> Move:
        answers, kept = {}, []
        for row, (prompt, token) in enumerate(zip(self.prompts, chosen, strict=True)):
            if prompt in self._cancelled:
                continue
            if token == self.eos:
                ids_T, logprobs_T = self._ids_BT[row], self._logprobs_BT[row]
                answers[prompt] = _answer(ids_T, logprobs_T, self.options, at_limit)
            else:
                kept.append(row)
        kept_B = torch.tensor(kept, dtype=torch.long, device=self._ids_BT.device)
        if len(kept) < len(chosen):
            self.prompts = [self.prompts[row] for row in kept]
            self._ids_BT, self._logprobs_BT = self._ids_BT[kept_B], self._logprobs_BT[kept_B]
        return Move(kept_B, kept_B, answers)


class _Sampler:
    """Draws with a generator for every prompt, so a batch draws what single calls draw."""

    def __init__(self, options: DecodingOptions, prompts: Sequence[int]) -> None:
        self.options = options
        seed = torch.seed() if options.seed is None else options.seed
        self.generators = {prompt: torch.Generator().manual_seed(seed) for prompt in prompts}

    def __call__(self, scores_BV: Tensor, prompts: list[int]) -> Tensor:
        options = self.options
        scores_BV = scores_BV / (options.temperature or 1.0)
        if options.top_k is not None:
            scores_BV = keep_top_k(scores_BV, options.top_k)
        if options.top_p is not None:
            scores_BV = keep_top_p(scores_BV, options.top_p)
        probability_BV = scores_BV.softmax(dim=1).cpu()
        drawn = [
            torch.multinomial(probability_BV[row], 1, generator=self.generators[prompt])
            for row, prompt in enumerate(prompts)
        ]
        return torch.stack(drawn).to(scores_BV.device)


def _answer(
    ids_T: Tensor, logprobs_T: Tensor, options: DecodingOptions, truncated: bool
) -> Generated:
    logprobs = logprobs_T.tolist()
    score = sum(logprobs) / len(logprobs) ** options.length_penalty
    return Generated(tuple(ids_T[1:].tolist()), tuple(logprobs), score, truncated)
