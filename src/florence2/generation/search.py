"""The base of beam search and sampling: requests that get one token a step.

Shapes: B requests, R rows of the decoder (the beams of a request are neighbors), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from .decoding_options import Generated


@dataclass(frozen=True)
class StepUpdate:
    """How the rows of a search continue after a step.

    ``rows_R`` is the row that each remaining row continues, ``requests_B`` are the remaining
    requests; ``outputs`` are those of the requests that are done, by request id.
    """

    rows_R: Tensor
    requests_B: Tensor
    outputs: Mapping[int, Generated] = field(default_factory=dict)


class Search(Protocol):
    """Requests with the same decoding options."""

    request_ids: list[int]

    @property
    def last_tokens(self) -> Tensor:
        """The last token of every row, which the decoder reads next, ``int[R, 1]``."""
        ...

    @property
    def id_range(self) -> range | None:
        """The range of ids of the next tokens of all rows, if it is known and small."""
        ...

    def advance(self, logprobs_RV: Tensor) -> StepUpdate:
        """Append a token to every row, by the log-probabilities of the next token, which are
        overwritten."""
        ...

    def extend(self, other: object) -> bool:
        """Append the requests of another search, if that is possible."""
        ...

    def cancel(self, request_id: int) -> None:
        """Drop a request with the next step; it gets no output."""
        ...
