"""Searches that share decode steps: prompts come and go while others are in the middle.

Shapes: B prompts, R rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..runtime import DecoderState, Runtime
from .beam_hypotheses import BeamSearch
from .decoding_options import DecodingOptions, Generated
from .logits_processors import LogitsProcessor, Rule
from .sampling import SamplingSearch
from .search import Move, Search


class DecodeBatch:
    """Prompts with the same number of beams, decoded together, however far each of them is."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._decoding: DecoderState | None = None
        self._searches: list[Search] = []
        # Those whose rows stand last and have not read their start token yet.
        self._entered: list[Search] = []

    @property
    def prompts(self) -> list[int]:
        """The numbers of the prompts that run."""
        return [prompt for search in self._all for prompt in search.prompts]

    @property
    def _all(self) -> list[Search]:
        """The searches in the order of their rows."""
        return [*self._searches, *self._entered]

    def begin(
        self,
        prompted: Any,
        options: DecodingOptions,
        prompts: Sequence[int],
        rules: Mapping[int, Rule | None] | None = None,
    ) -> dict[int, Generated]:
        """Take in prompts that begin together, under the caller's numbers ``prompts``.

        They read their first tokens at once, and from then on share the steps of the others;
        answers that end there are returned. Where a decoding ``supports_unprefilled_join``, they
        share steps from the first token on, and none of them ends here. ``rules`` are those of the
        prompts that
        have one.
        """
        with self._runtime.inference_context():
            return self._begin(prompted, options, prompts, rules)

    def step(self) -> dict[int, Generated | Exception]:
        """One token more for every prompt; the answers that are done, by number.

        Where the search of some prompts fails, the error is their outcome; the other prompts keep
        their answers and go on. Raises what the runtime raises: then no prompt can go on.
        """
        if self._decoding is None:
            return {}
        with self._runtime.inference_context():
            return self._step(self._decoding)

    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on; it gets no answer."""
        for search in self._all:
            if prompt in search.prompts:
                search.cancel(prompt)

    def give_up(self) -> list[int]:
        """Let go of everything; the numbers of the prompts that ran."""
        prompts = self.prompts
        self._decoding, self._searches, self._entered = None, [], []
        return prompts

    def _begin(
        self,
        prompted: Any,
        options: DecodingOptions,
        prompts: Sequence[int],
        rules: Mapping[int, Rule | None] | None,
    ) -> dict[int, Generated]:
        runtime, text = self._runtime, self._runtime.config.text
        limit = min(options.max_new_tokens, text.max_position_embeddings)
        kind = SamplingSearch if options.sampling else BeamSearch
        ruled = LogitsProcessor(rules) if rules and any(rules.values()) else None
        decoding = runtime.start(prompted, limit)
        if decoding.supports_unprefilled_join:
            decoding.reorder(torch.arange(len(prompts)).repeat_interleave(options.width))
            like = torch.empty(0, device=runtime.device)
            search = kind(text, options, limit, prompts, like, ruled)
            # Alone they begin so too, to be the same as in company.
            self._join(decoding)
            self._entered.append(search)
            return {}
        # The first token is always <s>: one row a prompt reads start token and <s> together, and
        # its beams part from there.
        first_T = torch.tensor(
            [text.decoder_start_token_id, text.bos_token_id], device=runtime.device
        )
        logprobs_RV = runtime.step(decoding, first_T.expand(len(prompts), -1))
        if options.width > 1:
            rows_R = torch.arange(len(prompts), device=runtime.device)
            decoding.reorder(rows_R.repeat_interleave(options.width))
            logprobs_RV = logprobs_RV.repeat_interleave(options.width, dim=0)
        search = kind(text, options, limit, prompts, logprobs_RV, ruled)
        move = search.advance(logprobs_RV)
        _follow(decoding, move, len(prompts))
        if search.prompts:
            self._join(decoding)
            self._append(search)
        return dict(move.answers)

    def _step(self, decoding: DecoderState) -> dict[int, Generated | Exception]:
        counts = [len(search.prompts) for search in self._all]
        newest = [search.last_tokens for search in self._searches]
        start = self._runtime.config.text.decoder_start_token_id
        newest += [torch.full_like(search.last_tokens, start) for search in self._entered]
        rows = [*map(len, newest)]
        spans = {search.span for search in self._searches}
        span = spans.pop() if len(spans) == 1 else None
        logprobs_RV = self._runtime.step(decoding, torch.cat(newest), span)
        # What comes after the start token is told: <s>, the newest token of who entered.
        outcomes: dict[int, Generated | Exception] = {}
        moves: list[Move] = []
        kept: list[Search] = []
        for search, count, each_RV in zip(
            self._all, counts, torch.split(logprobs_RV, rows), strict=True
        ):
            if search in self._entered:
                moves.append(_stay(len(each_RV), count))
                continue
            prompts = list(search.prompts)
            try:
                move = search.advance(each_RV)
            except Exception as error:
                outcomes |= dict.fromkeys(prompts, error)
                moves.append(_leave(each_RV.device))
                continue
            outcomes |= move.answers
            moves.append(move)
            if search.prompts:
                kept.append(search)
        self._searches = kept
        for search in self._entered:
            self._append(search)
        self._entered = []
        if self._searches:
            _follow(decoding, _together(moves, rows, counts), sum(counts))
        else:
            self._decoding = None
        return outcomes

    def _join(self, decoding: DecoderState) -> None:
        if self._decoding is None:
            self._decoding = decoding
        else:
            self._decoding.join(decoding)

    def _append(self, search: Search) -> None:
        # New rows stand last, so only the last search can take them in.
        if not (self._searches and self._searches[-1].absorb(search)):
            self._searches.append(search)


def _leave(device: torch.device) -> Move:
    """The move of a search all of whose rows leave without an answer."""
    none = torch.empty(0, dtype=torch.long, device=device)
    return Move(none, none)


def _stay(rows: int, prompts: int) -> Move:
    """The move of rows that only read."""
    return Move(torch.arange(rows), torch.arange(prompts))


def _follow(decoding: DecoderState, move: Move, prompts: int) -> None:
    if len(move.prompts_B) == 0:
        return
    decoding.reorder(move.rows_R)
    if len(move.prompts_B) < prompts:
        decoding.keep(move.prompts_B)


def _together(moves: Sequence[Move], rows: Sequence[int], prompts: Sequence[int]) -> Move:
    """The moves of neighbours as one; ``rows`` and ``prompts`` are how many each had."""
    rows_R: list[Tensor] = []
    prompts_B: list[Tensor] = []
    for place, move in enumerate(moves):
        rows_R.append(move.rows_R + sum(rows[:place]))
        prompts_B.append(move.prompts_B + sum(prompts[:place]))
    return Move(torch.cat(rows_R), torch.cat(prompts_B))
