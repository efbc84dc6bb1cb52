"""Beam search over prompts that come and go: those that are done leave, others may join.

The same search as ``beams``, which keeps everything in tensors for devices that nobody should wait
for. Here only what is as wide as the vocabulary is a tensor: the few best tokens of every row are
handed to Python, where the rest of a step is a handful of numbers. On a processor that takes less
time than as many small tensor operations would.

Shapes: B prompts still running, K beams, C = 2 K candidates, R = B * K rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..model import TextConfig
from .beam_search import IMPOSSIBLE, best_of
from .decoding_options import DecodingOptions, Generated
from .logits_processors import NEVER, LogitsProcessor
from .search import Move


@dataclass(frozen=True)
class _Sequence:
    """Token ids, the start token too, and the log-probabilities of those behind it.

    ``score`` ranks it: the sum while it runs, the mean when it is finished. ``followers`` are the
    tokens that came after each run of ``n - 1`` tokens, where n-grams may not come twice.
    """

    ids: list[int]
    logprobs: list[float]
    score: float
    followers: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)

    def extended(self, token: int, logprob: float, score: float, ngram: int) -> _Sequence:
        """With one token more; ``ngram`` 0 where nobody will ask what is banned next."""
        ids, followers = [*self.ids, token], self.followers
        if 0 < ngram <= len(ids):
            before = tuple(ids[len(ids) - ngram : -1])
            followers = {**followers, before: (*followers.get(before, ()), token)}
        return _Sequence(ids, [*self.logprobs, logprob], score, followers)

    def banned(self, ngram: int) -> tuple[int, ...]:
        """The tokens that would make an n-gram come twice."""
        if not ngram:
            return ()
        return self.followers.get(tuple(self.ids[len(self.ids) - ngram + 1 :]), ())


class _Candidate(NamedTuple):
    """A token that may follow a beam: ``score`` is the sum with it, ``mean`` that by length."""

    beam: int
    token: int
    logprob: float
    score: float
    mean: float


@dataclass
class _Prompt:
    """A prompt's number, its beams from the best on, and what it has finished, the best first.

    ``origins`` says of each beam which one it continues.
    """

    number: int
    limit: int
    beams: list[_Sequence]
    finished: list[_Sequence] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)
    is_done: bool = False

    @property
    def length(self) -> int:
        """The tokens of every beam, the start token too."""
        return len(self.beams[0].ids)

    def advance(
        self, candidates: Sequence[_Candidate], eos: int, ngram: int, stops_early: bool
    ) -> None:
        """Go on with some of the ``2 K`` candidates, which come from the best on.

        Those that end and stand among the best ``K`` are finished, the best others run on.
        """
        width, at_limit = len(self.beams), self.length >= self.limit
        for each in candidates[:width]:
            if each.token == eos and each.mean > IMPOSSIBLE:
                ended = self.beams[each.beam].extended(eos, each.logprob, each.mean, 0)
                self.finished.append(ended)
        self.finished = sorted(self.finished, key=_score, reverse=True)[:width]
        # What ends runs on only where nothing else can, as in the reference.
        running = [
            each._replace(score=each.score + IMPOSSIBLE, mean=IMPOSSIBLE)
            if each.token == eos
            else each
            for each in candidates
        ]
        running = sorted(running, key=_score, reverse=True)[:width]
        is_full = len(self.finished) == width
        is_beaten = is_full and running[0].mean <= self.finished[-1].score
        self.is_done = at_limit or is_beaten or (is_full and stops_early)
        self.origins = [each.beam for each in running]
        self.beams = [
            self.beams[each.beam].extended(each.token, each.logprob, each.score, ngram)
            for each in running
        ]

    def ended_at_limit(self, eos: int, means: Sequence[float]) -> list[_Candidate]:
        """Candidates where only the end may follow: every beam with it, then nothing."""
        return [
            _Candidate(beam, eos, 0.0, each.score, mean)
            for beam, (each, mean) in enumerate(zip(self.beams, means, strict=True))
        ]

    def answer(self) -> Generated:
        """The best finished answer. ``RuntimeError`` when scores that are no numbers left none."""
        if not self.finished:
            raise RuntimeError(
                "no answer could be finished: the model's scores are not finite numbers; check its "
                "weights with `florence2 doctor`, or take another precision"
            )
        best = self.finished[0]
        ids = tuple(best.ids[1:])
        return Generated(ids, tuple(best.logprobs), best.score, len(ids) == self.limit)


def _score(each: _Candidate | _Sequence) -> float:
    return each.score


class BeamSearch:
    """The beams of some prompts. ``like`` are logits, for device and precision."""

    def __init__(
        self,
        text: TextConfig,
        options: DecodingOptions,
        limit: int,
        prompts: Sequence[int],
        like: Tensor,
        rules: LogitsProcessor | None = None,
    ) -> None:
        self._text, self._rules = text, rules
        # Lengths may differ in a search, so they are each prompt's own.
        self._options = options.without_max_tokens
        self._ngram = options.no_repeat_ngram_size(text)
        self._stops_early = options.early_stopping or options.width == 1
        self._dtype, self._device = like.dtype, like.device
        begun = _Sequence([], [], 0.0).extended(text.decoder_start_token_id, 0.0, 0.0, self._ngram)
        begun = replace(begun.extended(text.bos_token_id, 0.0, 0.0, self._ngram), logprobs=[0.0])
        # Only the first beam counts at first: the others would be copies of it.
        others = [replace(begun, score=IMPOSSIBLE)] * (options.width - 1)
        self._running = [_Prompt(number, limit, [begun, *others]) for number in prompts]
        self._cancelled: set[int] = set()
        self._look()

    @property
    def prompts(self) -> list[int]:
        """The numbers of the prompts that still run."""
        return [prompt.number for prompt in self._running]

    @property
    def span(self) -> range | None:
        """The ids that all next tokens lie in, where a rule says so."""
        return self._rules.span if self._rules else None

    @property
    def last_tokens(self) -> Tensor:
        """The last token of every beam, ``int[R, 1]``."""
        newest = [[beam.ids[-1]] for prompt in self._running for beam in prompt.beams]
        return torch.tensor(newest, device=self._device)

    @torch.inference_mode()
    def advance(self, logprobs_RV: Tensor) -> Move:
        """One token more for every beam, from log-probabilities that are used up; what is done
        leaves."""
        if self._rules:
            logprobs_RV = self._rules.apply(logprobs_RV)
        eos = self._text.eos_token_id
        for prompt, candidates in zip(self._running, self._candidates(logprobs_RV), strict=True):
            prompt.advance(candidates, eos, self._ngram, self._stops_early)
        move = self._retire()
        self._look()
        return move

    def absorb(self, other: object) -> bool:
        """Take over the prompts of another search, after one's own, if it has the same options."""
        if not isinstance(other, BeamSearch) or other._options != self._options:
            return False
        if self._rules or other._rules:
            return False
        self._running += other._running
        self._cancelled |= other._cancelled
        return True

    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on."""
        self._cancelled.add(prompt)

    def _candidates(self, logprobs_RV: Tensor) -> Iterator[list[_Candidate]]:
        """The best ``2 K`` continuations of every prompt, or its ends where it is at its limit."""
        width, beams = self._options.width, [each for p in self._running for each in p.beams]
        banned = [tokens for prompt in self._running for tokens in self._banned(prompt)]
        if any(banned):
            rows = [row for row, tokens in enumerate(banned) for _ in tokens]
            logprobs_RV[rows, [token for tokens in banned for token in tokens]] = NEVER
        # Only the best of a row can be among the best of its prompt.
        logprobs_RC, tokens_RC = best_of(logprobs_RV, 2 * width)
        scores_R1 = self._tensor([[beam.score] for beam in beams])
        scores_BC, flat_BC = (logprobs_RC + scores_R1).view(-1, 2 * width * width).topk(2 * width)
        lengths_B1 = self._tensor([[prompt.length] for prompt in self._running])
        per_token_B1 = lengths_B1**self._options.length_penalty
        means_BC = scores_BC / per_token_B1
        tokens, logprobs = tokens_RC.flatten().tolist(), logprobs_RC.flatten().tolist()
        of_prompts = zip(scores_BC.tolist(), means_BC.tolist(), flat_BC.tolist(), strict=True)
        for place, (prompt, found) in enumerate(zip(self._running, of_prompts, strict=True)):
            if prompt.length >= prompt.limit:
                means_BK = scores_R1.view(-1, width) / per_token_B1
                yield prompt.ended_at_limit(self._text.eos_token_id, means_BK[place].tolist())
                continue
            first = place * 2 * width * width
            yield [
                _Candidate(
                    flat // (2 * width), tokens[first + flat], logprobs[first + flat], score, mean
                )
                for score, mean, flat in zip(*found, strict=True)
            ]

    def _banned(self, prompt: _Prompt) -> Iterator[tuple[int, ...]]:
        """What may not come next, beam by beam."""
        is_early = prompt.length < self._options.min_new_tokens
        end = (self._text.eos_token_id,) if is_early else ()
        for beam in prompt.beams:
            yield (*beam.banned(self._ngram), *end)

    def _tensor(self, values: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=self._dtype, device=self._device)

    def _look(self) -> None:
        if self._rules and self._running:
            owners = [prompt.number for prompt in self._running for _ in prompt.beams]
            ids = [beam.ids for prompt in self._running for beam in prompt.beams]
            self._rules.look(ids, owners)

    def _retire(self) -> Move:
        """Where the rows of the prompts that go on come from, and the answers of the others."""
        width, rows, kept, answers = self._options.width, [], [], {}
        for place, prompt in enumerate(self._running):
            if prompt.number in self._cancelled:
                continue
            if prompt.is_done:
                answers[prompt.number] = prompt.answer()
            else:
                kept.append(place)
                rows += [place * width + origin for origin in prompt.origins]
        if len(kept) < len(self._running):
            self._running = [self._running[place] for place in kept]
        as_tensor = [
            torch.tensor(each, dtype=torch.long, device=self._device) for each in (rows, kept)
        ]
        return Move(as_tensor[0], as_tensor[1], answers)
