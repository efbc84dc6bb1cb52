"""The options of decoding, and its result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..model import TextConfig

MAX_BEAMS = 100
# At lower temperatures, scores divided by the temperature overflow their type.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 100.0
MAX_SEED = 2**63 - 1
_ANY_COUNT = 2**31 - 1

# Min and max of each option. Options in _OPTIONAL may be ``None``.
_WHOLE: dict[str, tuple[int, int]] = {
    "beams": (1, MAX_BEAMS),
    "max_new_tokens": (2, _ANY_COUNT),
    "min_new_tokens": (-_ANY_COUNT, _ANY_COUNT),
    "no_repeat_ngram": (0, _ANY_COUNT),
    "top_k": (1, _ANY_COUNT),
    "seed": (-MAX_SEED, MAX_SEED),
}
_REALS: dict[str, tuple[float, float]] = {
    "temperature": (MIN_TEMPERATURE, MAX_TEMPERATURE),
    "top_p": (0.0, 1.0),
    "length_penalty": (-10.0, 10.0),
}
_OPTIONAL = {"beams", "no_repeat_ngram", "top_k", "seed", "temperature", "top_p"}


@dataclass(frozen=True)
class DecodingOptions:
    """The released model's defaults: 3 beams, no_repeat_ngram_size 3, early stopping.

    ``no_repeat_ngram`` is the size of n-grams that may not repeat: ``None`` takes the
    checkpoint's, 0 turns the ban off. ``beams=1`` is greedy. Any of ``temperature``, ``top_k``,
    ``top_p`` and ``seed`` turns on sampling, which has no beams. ``max_new_tokens`` counts the
    leading ``<s>`` and the closing ``</s>``, and is clamped to the positions of the checkpoint.
    EOS is banned before ``min_new_tokens``, counted in the same way. ``constrained`` masks tokens
    that the grammar does not allow and renormalizes.
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
        if self.temperature == 0:
            raise ValueError(
                f"temperature must be above 0, got {self.temperature}; leave it out for no sampling"
            )
        for name, (low, high) in _WHOLE.items():
            _check(name, getattr(self, name), low, high, whole=True)
        for name, (minimum, maximum) in _REALS.items():
            _check(name, getattr(self, name), minimum, maximum)
        for name in ("early_stopping", "constrained"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} must be True or False, got {_shown(getattr(self, name))}")
        if self.sampling and self.beams not in (None, 1):
            raise ValueError(f"sampling has no beams: leave beams out, got beams={self.beams}")
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens must be between 0 and max_new_tokens, {self.max_new_tokens}, got "
                f"{self.min_new_tokens}"
            )
        if self.top_p == 0:
            raise ValueError("top_p must be above 0 and at most 1, got 0; leave it out, or use 1")

    @property
    def sampling(self) -> bool:
        """Whether tokens are sampled."""
        options = (self.temperature, self.top_k, self.top_p, self.seed)
        return any(value is not None for value in options)

    @property
    def num_beams(self) -> int:
        """The number of beams: 3 as released, or 1 when sampling."""
        return self.beams or (1 if self.sampling else 3)

    @property
    def without_max_tokens(self) -> DecodingOptions:
        """The same without its limit: requests that differ only in the limit share a batch."""
        limit = max(DecodingOptions.max_new_tokens, self.min_new_tokens)
        return replace(self, max_new_tokens=limit)

    def no_repeat_ngram_size(self, text: TextConfig) -> int:
        """The size of n-grams that may not repeat; 0 for no ban."""
        return text.no_repeat_ngram_size if self.no_repeat_ngram is None else self.no_repeat_ngram


@dataclass(frozen=True)
class Generated:
    """One decoded sequence: ids after the start token, from ``<s>`` to ``</s>``.

    ``token_logprobs`` belong to the ids one by one; a forced token has 0. ``score`` is what beams
    are ranked by: their sum over ``len(token_ids) ** length_penalty``. ``truncated``: the last
    ``</s>`` was forced at the length limit.
    """

    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    score: float
    truncated: bool


def _check(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> None:
    """Raise ``ValueError`` unless ``value`` is a number between ``low`` and ``high``."""
    if value is None and name in _OPTIONAL:
        return
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} must be {kind}, got {_shown(value)}")
    # NaN fails both comparisons.
    if not value >= low:
        raise ValueError(f"{name} must be at least {low:g}, got {_shown(value)}")
    if not value <= high:
        raise ValueError(f"{name} must be at most {high:g}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value for a message; a long one is cut."""
    try:
        text = repr(value)
    except ValueError:  # the interpreter does not write integers of thousands of digits
        text = f"a {type(value).__name__} of more than 4,000 digits"
    return text if len(text) <= 60 else f"{text[:60]}..."
