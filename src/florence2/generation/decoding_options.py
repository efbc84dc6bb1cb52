"""How an answer is decoded, and what decoding gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..model import TextConfig

MAX_BEAMS = 100
# Below this, scores divided by the temperature leave the range of their type.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 100.0
MAX_SEED = 2**63 - 1
_ANY_COUNT = 2**31 - 1

# The least and the greatest value of each option; ``None`` is for those that can be left out.
_WHOLE: dict[str, tuple[int, int]] = {
    "beams": (1, MAX_BEAMS),
    "max_new_tokens": (2, _ANY_COUNT),
    "min_new_tokens": (-_ANY_COUNT, _ANY_COUNT),
    "no_repeat_ngram": (0, _ANY_COUNT),
    "top_k": (1, _ANY_COUNT),
    "seed": (-MAX_SEED, MAX_SEED),
}
_REAL: dict[str, tuple[float, float]] = {
    "temperature": (MIN_TEMPERATURE, MAX_TEMPERATURE),
    "top_p": (0.0, 1.0),
    "length_penalty": (-10.0, 10.0),
}
_OPTIONAL = {"beams", "no_repeat_ngram", "top_k", "seed", "temperature", "top_p"}


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
        if self.temperature == 0:
            raise ValueError(
                f"temperature must be above 0, got {self.temperature}; leave it out for no sampling"
            )
        for name, (low, high) in _WHOLE.items():
            _check(name, getattr(self, name), low, high, whole=True)
        for name, (least, most) in _REAL.items():
            _check(name, getattr(self, name), least, most)
        for name in ("early_stopping", "constrained"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} must be True or False, got {_shown(getattr(self, name))}")
        if self.sampling and self.beams not in (None, 1):
            raise ValueError(f"sampling has no beams: leave beams out, got beams={self.beams}")
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens must lie between 0 and max_new_tokens, {self.max_new_tokens}, got "
                f"{self.min_new_tokens}"
            )
        if self.top_p == 0:
            raise ValueError("top_p must be above 0 and at most 1, got 0; leave it out, or use 1")

    @property
    def sampling(self) -> bool:
        """Whether tokens are drawn instead of chosen."""
        asked = (self.temperature, self.top_k, self.top_p, self.seed)
        return any(value is not None for value in asked)

    @property
    def num_beams(self) -> int:
        """The number of beams: 3 as released, or 1 when sampling."""
        return self.beams or (1 if self.sampling else 3)

    @property
    def without_max_tokens(self) -> DecodingOptions:
        """The same without its limit: what differs in nothing else is decoded together."""
        limit = max(DecodingOptions.max_new_tokens, self.min_new_tokens)
        return replace(self, max_new_tokens=limit)

    def no_repeat_ngram_size(self, text: TextConfig) -> int:
        """How many tokens in a row may not come twice, 0 for no such rule."""
        return text.no_repeat_ngram_size if self.no_repeat_ngram is None else self.no_repeat_ngram


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


def _check(name: str, value: Any, least: float, most: float, *, whole: bool = False) -> None:
    """Raise ``ValueError`` unless ``value`` is a number of the kind between the two."""
    if value is None and name in _OPTIONAL:
        return
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} must be {kind}, got {_shown(value)}")
    # What is not a number is in no range.
    if not value >= least:
        raise ValueError(f"{name} must be at least {least:g}, got {_shown(value)}")
    if not value <= most:
        raise ValueError(f"{name} must be at most {most:g}, got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # the interpreter does not write integers of thousands of digits
        text = f"a {type(value).__name__} of more than 4,000 digits"
    return text if len(text) <= 60 else f"{text[:60]}..."
