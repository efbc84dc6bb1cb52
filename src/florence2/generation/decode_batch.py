"""Searches that share decode steps: requests are added and leave between steps.

Shapes: B requests, R rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic

import torch
from torch import Tensor

from ..runtime.protocol import PromptsT, Runtime, StateT
from .beam_search import BeamSearch
from .decoding_options import DecodingOptions, Generated
from .logits_processors import LogitsProcessor, LogitsProcessors
from .sampling import SamplingSearch
from .search import Search, StepUpdate


class DecodeBatch(Generic[PromptsT, StateT]):
    """Requests with the same number of beams, decoded together at any length."""

    def __init__(self, runtime: Runtime[PromptsT, StateT]) -> None:
        self._runtime = runtime
        self._state: StateT | None = None
        self._searches: list[Search] = []
        # Searches whose rows come last and have not read their start token yet.
        self._pending: list[Search] = []

    @property
    def request_ids(self) -> list[int]:
        """The ids of the running requests."""
        return [request_id for search in self._all for request_id in search.request_ids]

    @property
    def _all(self) -> list[Search]:
        """The searches in the order of their rows."""
        return [*self._searches, *self._pending]

    def add(
        self,
        prompts: PromptsT,
        options: DecodingOptions,
        request_ids: Sequence[int],
        processors: Mapping[int, LogitsProcessor | None] | None = None,
    ) -> dict[int, Generated]:
        """Add requests with the same options, an encoded prompt each.

        Their first tokens are prefilled at once, and outputs that end there are returned. Where a
        state ``supports_unprefilled_join`` they share steps from the first token on, and none ends
        here. ``processors`` are the logits processors of the requests that have one.
        """
        with self._runtime.inference_context():
            return self._prefill(prompts, options, request_ids, processors)

    def step(self) -> dict[int, Generated | Exception]:
        """Append a token to every request; the outputs that are done, by request id.

        Where the search of some requests fails, the error is their outcome and the others
        continue. An error of the runtime is raised: then no request can continue.
        """
        if self._state is None:
            return {}
        with self._runtime.inference_context():
            return self._step(self._state)

    def cancel(self, request_id: int) -> None:
        """Drop a request with the next step; it gets no output."""
        for search in self._all:
            if request_id in search.request_ids:
                search.cancel(request_id)

    def abort(self) -> list[int]:
        """Drop everything; the ids of the requests that were running."""
        request_ids = self.request_ids
        self._state, self._searches, self._pending = None, [], []
        return request_ids

    def _prefill(
        self,
        prompts: PromptsT,
        options: DecodingOptions,
        request_ids: Sequence[int],
        processors: Mapping[int, LogitsProcessor | None] | None,
    ) -> dict[int, Generated]:
        runtime, text = self._runtime, self._runtime.config.text
        limit = min(options.max_new_tokens, text.max_position_embeddings)
        search_class = SamplingSearch if options.sampling else BeamSearch
        used = LogitsProcessors(processors) if processors and any(processors.values()) else None
        state = runtime.start(prompts, limit)
        if state.supports_unprefilled_join:
            state.reorder(torch.arange(len(request_ids)).repeat_interleave(options.num_beams))
            like = torch.empty(0, device=runtime.device)
            # A request alone begins in the same way, so its output is the same.
            self._extend_state(state)
            self._pending.append(search_class(text, options, limit, request_ids, like, used))
            return {}
        # The first token is always <s>: one row per prompt reads the start token and <s> together,
        # and the beams separate after that.
        first_T = torch.tensor(
            [text.decoder_start_token_id, text.bos_token_id], device=runtime.device
        )
        logprobs_RV = runtime.step(state, first_T.expand(len(request_ids), -1))
        if options.num_beams > 1:
            rows_R = torch.arange(len(request_ids), device=runtime.device)
            state.reorder(rows_R.repeat_interleave(options.num_beams))
            logprobs_RV = logprobs_RV.repeat_interleave(options.num_beams, dim=0)
        search = search_class(text, options, limit, request_ids, logprobs_RV, used)
        update = search.advance(logprobs_RV)
        _apply(state, update, len(request_ids))
        if search.request_ids:
            self._extend_state(state)
            self._append(search)
        return dict(update.outputs)

    def _step(self, state: StateT) -> dict[int, Generated | Exception]:
        counts = [len(search.request_ids) for search in self._all]
        tokens = [search.last_tokens for search in self._searches]
        start = self._runtime.config.text.decoder_start_token_id
        tokens += [torch.full_like(search.last_tokens, start) for search in self._pending]
        rows = [*map(len, tokens)]
        id_ranges = {search.id_range for search in self._searches}
        id_range = id_ranges.pop() if len(id_ranges) == 1 else None
        logprobs_RV = self._runtime.step(state, torch.cat(tokens), id_range)
        outcomes: dict[int, Generated | Exception] = {}
        updates: list[StepUpdate] = []
        for search, count, search_logprobs_RV in zip(
            self._all, counts, torch.split(logprobs_RV, rows), strict=True
        ):
            # The token after the start token is <s>, which a pending search has already.
            if search in self._pending:
                updates.append(_keep_rows(len(search_logprobs_RV), count, logprobs_RV.device))
                continue
            request_ids = list(search.request_ids)
            try:
                update = search.advance(search_logprobs_RV)
            except Exception as error:
                search.request_ids = []
                outcomes |= dict.fromkeys(request_ids, error)
                updates.append(_keep_rows(0, 0, logprobs_RV.device))
                continue
            outcomes |= update.outputs
            updates.append(update)
        self._searches = [search for search in self._searches if search.request_ids]
        for search in self._pending:
            self._append(search)
        self._pending = []
        if self._searches:
            _apply(state, _concatenate(updates, rows, counts), sum(counts))
        else:
            self._state = None
        return outcomes

    def _extend_state(self, state: StateT) -> None:
        if self._state is None:
            self._state = state
        else:
            self._state.extend(state)

    def _append(self, search: Search) -> None:
        # New rows come last, so only the last search can append them.
        if not (self._searches and self._searches[-1].extend(search)):
            self._searches.append(search)


def _keep_rows(rows: int, count: int, device: torch.device) -> StepUpdate:
    """The update of rows that stay as they are."""
    return StepUpdate(torch.arange(rows, device=device), torch.arange(count, device=device))


def _apply(state: StateT, update: StepUpdate, count: int) -> None:
    """Reorder the rows of a state with ``count`` prompts, and drop the prompts that are done."""
    if len(update.requests_B) == 0:
        return
    state.reorder(update.rows_R)
    if len(update.requests_B) < count:
        state.select(update.requests_B)


def _concatenate(
    updates: Sequence[StepUpdate], rows: Sequence[int], counts: Sequence[int]
) -> StepUpdate:
    """The updates of neighboring searches, which had ``rows`` and ``counts`` requests, as one."""
    rows_R: list[Tensor] = []
    requests_B: list[Tensor] = []
    for index, update in enumerate(updates):
        rows_R.append(update.rows_R + sum(rows[:index]))
        requests_B.append(update.requests_B + sum(counts[:index]))
    return StepUpdate(torch.cat(rows_R), torch.cat(requests_B))
