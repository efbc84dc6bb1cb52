"""How an answer is decoded, and what decoding gives."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model import TextConfig


@dataclass(frozen=True)
class DecodingOptions:
    """The defaults decode as the released model does: 3 beams, no 3-gram twice, early stopping.

    ``no_repeat_ngram`` is the checkpoint's own where it is ``None``, and off where it is 0.
    ``beams=1`` is greedy. Any of ``temperature``, ``top_k``, ``top_p`` and ``seed`` asks for
    sampling, which has no beams. ``max_new_tokens`` counts the leading ``<s>`` and the closing
    ``</s>``, and is clamped to the positions of the checkpoint; before ``min_new_tokens``, counted
    in the same way, no answer ends. ``constrained`` lets only come next
    what the task's grammar allows; probabilities are then among what is allowed.
    """

    beams: int | None = None
    max_new_tokens: int = 1024
    min_new_tokens: int = 0
    no_repeat_ngram: int | None = None
    length_penalty: float = 1.0
    early_stopping: bool = True
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    constrained: bool = False

    def __post_init__(self) -> None:
        if self.beams is not None and self.beams < 1:
            raise ValueError(f"beams must be at least 1, got {self.beams}")
        if self.sampling and self.beams not in (None, 1):
            raise ValueError(f"sampling has no beams: leave beams out, got beams={self.beams}")
        if self.max_new_tokens < 2:
            raise ValueError(f"max_new_tokens must be at least 2, got {self.max_new_tokens}")
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens must lie between 0 and max_new_tokens, {self.max_new_tokens}, got "
                f"{self.min_new_tokens}"
            )
        if self.no_repeat_ngram is not None and self.no_repeat_ngram < 0:
            raise ValueError(f"no_repeat_ngram must be 0 (off) or more, got {self.no_repeat_ngram}")
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], got {self.top_p}")

    @property
    def sampling(self) -> bool:
        """Whether tokens are drawn instead of chosen."""
        asked = (self.temperature, self.top_k, self.top_p, self.seed)
        return any(value is not None for value in asked)

    @property
    def width(self) -> int:
        """The number of beams: 3 as released, or 1 when sampling."""
        return self.beams or (1 if self.sampling else 3)

    @property
    def of_any_length(self) -> DecodingOptions:
        """The same without its limit: what differs in nothing else is decoded together."""
        limit = max(DecodingOptions.max_new_tokens, self.min_new_tokens)
        return replace(self, max_new_tokens=limit)

    def banned_ngram(self, text: TextConfig) -> int:
        """How many tokens in a row may not come twice, 0 for no such rule."""
        return text.no_repeat_ngram if self.no_repeat_ngram is None else self.no_repeat_ngram


@dataclass(frozen=True)
class Generated:
    """One decoded sequence: ids after the start token, from ``<s>`` to ``</s>``.

    ``token_logprobs`` belong to the ids one by one; a forced token has 0. ``score`` is what beams
    are ranked by: their sum over ``len(token_ids) ** length_penalty``. ``truncated`` tells that
    the last ``</s>`` was forced at the length limit.
    """

    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    score: float
    truncated: bool
