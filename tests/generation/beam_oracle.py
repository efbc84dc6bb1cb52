"""A plain beam search over Python lists, for one prompt: the oracle of the one on tensors."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from florence2.generation import DecodingOptions
from florence2.generation.beam_search import IMPOSSIBLE
from florence2.model import TextConfig


@dataclass
class Hypothesis:
    """Token ids with the start token, log-probabilities of those behind it, and what ranks it."""

    ids: list[int]
    logprobs: list[float]
    score: float


@dataclass
class BeamOracle:
    """Running hypotheses, best first, and finished ones, ranked by mean log-probability."""

    text: TextConfig
    options: DecodingOptions
    limit: int
    running: list[Hypothesis] = field(default_factory=list)
    finished: list[Hypothesis] = field(default_factory=list)
    is_done: bool = False

    def __post_init__(self) -> None:
        start = [self.text.decoder_start_token_id, self.text.bos_token_id]
        scores = [0.0] + [IMPOSSIBLE] * (self.options.num_beams - 1)
        self.running = [Hypothesis(list(start), [0.0], score) for score in scores]

    def step(self, logprobs_KV: torch.Tensor) -> list[int]:
        """Append a token to every hypothesis; the beams that the new ones continue."""
        num_beams, eos = self.options.num_beams, self.text.eos_token_id
        length = len(self.running[0].ids)
        candidates = []
        for beam, hypothesis in enumerate(self.running):
            for token, logprob in self._next_tokens(hypothesis.ids, logprobs_KV[beam].tolist()):
                candidates.append((hypothesis.score + logprob, beam, token, logprob))
        candidates.sort(key=lambda each: -each[0])
        candidates = candidates[: 2 * num_beams]
        for score, beam, token, logprob in candidates[:num_beams]:
            if token == eos:
                mean = score / length**self.options.length_penalty
                self.finished.append(self._extended(beam, token, logprob, mean))
        self.finished = sorted(self.finished, key=lambda each: -each.score)[:num_beams]
        # A hypothesis that ended stays running only if nothing else can.
        candidates = [
            (score + IMPOSSIBLE * (token == eos), beam, token, logprob)
            for score, beam, token, logprob in candidates
        ]
        chosen = sorted(candidates, key=lambda each: -each[0])[:num_beams]
        self.running = [
            self._extended(beam, token, logprob, score) for score, beam, token, logprob in chosen
        ]
        is_full = len(self.finished) == num_beams
        best = self.running[0].score / length**self.options.length_penalty
        is_beaten = is_full and best <= self.finished[-1].score
        stops = self.options.early_stopping or num_beams == 1
        self.is_done = length >= self.limit or is_beaten or (is_full and stops)
        return [beam for _, beam, _, _ in chosen]

    def _next_tokens(self, ids: list[int], logprobs: list[float]) -> list[tuple[int, float]]:
        if len(ids) >= self.limit:
            return [(self.text.eos_token_id, 0.0)]
        size = self.options.no_repeat_ngram_size(self.text)
        ngrams = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)} if size else set()
        recent = ids[len(ids) - size + 1 :] if size > 1 else []
        is_early = len(ids) < self.options.min_new_tokens
        return [
            (token, logprob)
            for token, logprob in enumerate(logprobs)
            if (*recent, token) not in ngrams and not (is_early and token == self.text.eos_token_id)
        ]

    def _extended(self, beam: int, token: int, logprob: float, score: float) -> Hypothesis:
        before = self.running[beam]
        return Hypothesis([*before.ids, token], [*before.logprobs, logprob], score)
