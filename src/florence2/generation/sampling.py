"""Sampling: one row for every request.

Shapes: B requests, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model import TextConfig
from .decoding_options import DecodingOptions, Generated
from .logits_processors import (
    NEG_INF,
    LogitsProcessors,
    keep_top_k,
    keep_top_p,
    no_repeat_ngram,
)
from .search import StepUpdate


class SamplingSearch:
    """One row per request, continued by a sampled token. ``like`` are logits, for their device."""

    def __init__(
        self,
        text: TextConfig,
        options: DecodingOptions,
        limit: int,
        request_ids: Sequence[int],
        like: Tensor,
        processors: LogitsProcessors | None = None,
    ) -> None:
        self._options, self._limit, self._eos = options, limit, text.eos_token_id
        self._ngram_size = options.no_repeat_ngram_size(text)
        self.request_ids = list(request_ids)
        self._canceled: set[int] = set()
        count, device = len(self.request_ids), like.device
        start = torch.tensor([[text.decoder_start_token_id, text.bos_token_id]], device=device)
        self._ids_BT = start.expand(count, -1)
        self._logprobs_BT = torch.zeros((count, 1), device=device)
        self._sample = _Sampler(options, self.request_ids)
        self._processors = processors
        self._update_processors()

    @property
    def id_range(self) -> range | None:
        """The range of ids of all next tokens, if logits processors restrict it."""
        return self._processors.id_range if self._processors else None

    @property
    def last_tokens(self) -> Tensor:
        """The last token of every request, ``int[B, 1]``."""
        return self._ids_BT[:, -1:]

    def advance(self, logprobs_BV: Tensor) -> StepUpdate:
        """Append a token to every request; those that are done leave."""
        length = self._ids_BT.shape[1]
        at_limit = length == self._limit
        if self._processors:
            logprobs_BV = self._processors.apply(logprobs_BV)
        if at_limit:
            token_B1 = torch.full_like(self._ids_BT[:, :1], self._eos)
            token_logprobs_B1 = torch.zeros_like(logprobs_BV[:, :1])
        else:
            scores_BV = logprobs_BV.clone()
            length_B1 = torch.full_like(self._ids_BT[:, :1], length)
            no_repeat_ngram(scores_BV, self._ids_BT, length_B1, self._ngram_size)
            if length < self._options.min_new_tokens:
                scores_BV[:, self._eos] = NEG_INF
            token_B1 = self._sample(scores_BV, self.request_ids)
            token_logprobs_B1 = logprobs_BV.gather(1, token_B1)
        self._ids_BT = torch.cat([self._ids_BT, token_B1], dim=1)
        self._logprobs_BT = torch.cat([self._logprobs_BT, token_logprobs_B1], dim=1)
        update = self._remove_done(token_B1.flatten().tolist(), at_limit)
        self._update_processors()
        return update

    def extend(self, other: object) -> bool:
        """Never possible: the samples of one search follow one another."""
        return False

    def cancel(self, request_id: int) -> None:
        """Drop a request with the next step."""
        self._canceled.add(request_id)

    def _update_processors(self) -> None:
        if self._processors:
            self._processors.update(self._ids_BT.tolist(), self.request_ids)

    def _remove_done(self, tokens: list[int], at_limit: bool) -> StepUpdate:
        outputs, kept = {}, []
        for row, (request_id, token) in enumerate(zip(self.request_ids, tokens, strict=True)):
            if request_id in self._canceled:
                continue
            if token == self._eos:
                outputs[request_id] = self._output(row, at_limit)
            else:
                kept.append(row)
        kept_B = torch.tensor(kept, dtype=torch.long, device=self._ids_BT.device)
        if len(kept) < len(tokens):
            self.request_ids = [self.request_ids[row] for row in kept]
            self._ids_BT, self._logprobs_BT = self._ids_BT[kept_B], self._logprobs_BT[kept_B]
        return StepUpdate(kept_B, kept_B, outputs)

    def _output(self, row: int, truncated: bool) -> Generated:
        ids, logprobs = self._ids_BT[row, 1:].tolist(), self._logprobs_BT[row].tolist()
        score = sum(logprobs) / len(logprobs) ** self._options.length_penalty
        return Generated(tuple(ids), tuple(logprobs), score, truncated)


class _Sampler:
    """Samples with a generator per request, so a batch gets the tokens of single calls."""

    def __init__(self, options: DecodingOptions, request_ids: Sequence[int]) -> None:
        self.options = options
        seed = torch.seed() if options.seed is None else options.seed
        self.generators = {each: torch.Generator().manual_seed(seed) for each in request_ids}

    def __call__(self, scores_BV: Tensor, request_ids: list[int]) -> Tensor:
        options = self.options
        scores_BV = scores_BV / (options.temperature or 1.0)
        if options.top_k is not None:
            scores_BV = keep_top_k(scores_BV, options.top_k)
        if options.top_p is not None:
            scores_BV = keep_top_p(scores_BV, options.top_p)
        probability_BV = scores_BV.softmax(dim=1).cpu()
        sampled = [
            torch.multinomial(probability_BV[row], 1, generator=self.generators[request_id])
            for row, request_id in enumerate(request_ids)
        ]
        return torch.stack(sampled).to(scores_BV.device)
