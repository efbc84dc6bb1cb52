"""What every way of decoding has in common: prompts that take one token a step.

Shapes: B prompts still running, R rows of the decoder (a prompt's beams are neighbours), V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from .decoding_options import Generated


@dataclass(frozen=True)
class Move:
    """How the rows of a search go on after a step.

    ``rows_R`` says of each row that stays which row it continues, ``prompts_B`` which prompts
    stay; ``answers`` are those of the prompts that are done, by the caller's number.
    """

    rows_R: Tensor
    prompts_B: Tensor
    answers: Mapping[int, Generated] = field(default_factory=dict)


class Search(Protocol):
    """Prompts that began together and are answered by the same options."""

    @property
    def prompts(self) -> list[int]:
        """The caller's numbers of the prompts that still run."""
        ...

    @property
    def last_tokens(self) -> Tensor:
        """The last token of every row, which the decoder reads next, ``int[R, 1]``."""
        ...

    @property
    def span(self) -> range | None:
        """The ids that the next tokens of all rows lie in, where that is known and narrow."""
        ...

    def advance(self, logprobs_RV: Tensor) -> Move:
        """One token more for every row, from the log-probabilities of what follows its newest,
        which are used up."""
        ...

    def absorb(self, other: object) -> bool:
        """Take over the prompts of another search, after one's own; whether that is possible."""
        ...

    def cancel(self, prompt: int) -> None:
        """Leave a prompt out from the next step on; it has no answer."""
        ...
