"""The next tokens that the grammar allows, so that every prediction parses.

The rules are those of ``grammar``, stricter where its reader is lenient: no label without a region,
no box cut short, no polygon of fewer than three points, no marker out of place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..results.locations import BINS
from ..results.tasks import AnswerKind
from .tokenizer import ADDED_TOKENS, Tokenizer

Token = Literal["word", "location", "end", "open", "close", "separator"]

_BOX, _QUAD, _TRIANGLE = 4, 8, 6


@dataclass(frozen=True, eq=False)
class AllowedTokens:
    """The tokens that may come next.

    ``mask`` is ``bool[V]``; ``id_range`` holds the ids of all of them, where that is far smaller
    than the vocabulary.
    """

    mask: NDArray[np.bool_]
    id_range: range | None = None


class Constraint:
    """The tokens that may follow those of an answer of one kind."""

    def __init__(self, kind: AnswerKind, tokenizer: Tokenizer) -> None:
        self.kind, self._tokenizer = kind, tokenizer
        self._allowed = lru_cache(maxsize=None)(self._of)

    def allowed(self, ids: Sequence[int]) -> AllowedTokens:
        """The tokens that may follow ``ids``, which begin with the start token and ``<s>``."""
        return self._allowed(frozenset(self._next(ids[2:])))

    def _next(self, body: Sequence[int]) -> set[Token]:
        if self.kind == "text":
            return {"word", "location", "end"}
        tail = _CoordinateSuffix.of(body, self._tokenizer)
        if tail.opened:
            return self._in_polygon(tail) | ({"close"} if self._is_polygon(tail) else set())
        match self.kind:
            case "proposals":
                return self._after_boxes(tail, {"end"})
            case "polygons":
                return self._polygons(tail)
            case "quads":
                return self._quads(tail)
            case "boxes_or_polygons":
                return self._boxes_or_polygons(tail, body)
            case _:
                return self._after_label(tail) or self._after_boxes(tail, {"word", "end"})

    def _after_label(self, tail: _CoordinateSuffix) -> set[Token]:
        """What follows words; nothing where the last token is none."""
        if not tail.words:
            return set()
        named = self._tokenizer.decode(tail.words).strip()
        return {"word", "location"} if named else {"word"}

    def _after_boxes(self, tail: _CoordinateSuffix, whole: set[Token]) -> set[Token]:
        """Locations by fours; ``whole`` may follow where there is no part of a box."""
        if tail.locations % _BOX:
            return {"location"}
        at_start = not tail.locations and not tail.closed
        return whole if at_start and "word" in whole else whole | {"location"}

    def _quads(self, tail: _CoordinateSuffix) -> set[Token]:
        if words := self._after_label(tail):
            return words
        if tail.locations in (0, _QUAD):
            return {"word", "end"}
        return {"location"}

    def _polygons(self, tail: _CoordinateSuffix) -> set[Token]:
        if tail.closed:
            return {"open", "end"}
        if not tail.locations and not tail.separated:
            return {"location", "open", "end"}
        return self._in_polygon(tail) | ({"end"} if self._is_polygon(tail) else set())

    def _boxes_or_polygons(self, tail: _CoordinateSuffix, body: Sequence[int]) -> set[Token]:
        """Boxes or polygons, as the first region is: the reader treats all regions alike."""
        if words := self._after_label(tail):
            if "location" not in words:
                return words
            if self._tokenizer.polygon_open in body:
                return {"word", "open"}
            return words if any(map(self._tokenizer.is_location, body)) else words | {"open"}
        if tail.closed:
            return {"open", "word", "end"}
        return self._after_boxes(tail, {"word", "end"})

    def _in_polygon(self, tail: _CoordinateSuffix) -> set[Token]:
        return {"location", "separator"} if self._is_polygon(tail) else {"location"}

    def _is_polygon(self, tail: _CoordinateSuffix) -> bool:
        return tail.locations >= _TRIANGLE and tail.locations % 2 == 0

    def _of(self, tokens: frozenset[Token]) -> AllowedTokens:
        tokenizer = self._tokenizer
        mask = np.zeros(tokenizer.vocab_size, np.bool_)
        if "word" in tokens:
            mask[:] = True
            mask[tokenizer.first_added : tokenizer.first_added + len(ADDED_TOKENS)] = False
            mask[[tokenizer.bos, tokenizer.pad, tokenizer.eos]] = False
        first = tokenizer.first_location
        mask[first : first + BINS] = "location" in tokens
        mask[tokenizer.eos] = "end" in tokens
        mask[tokenizer.polygon_open] = "open" in tokens
        mask[tokenizer.polygon_close] = "close" in tokens
        mask[tokenizer.separator] = "separator" in tokens
        return AllowedTokens(mask, range(first, first + BINS) if tokens == {"location"} else None)


@dataclass(frozen=True)
class _CoordinateSuffix:
    """How an answer ends: words with nothing after them, or locations in a row.

    ``opened``: they are inside a ``<poly>``; ``separated``: a ``<sep>`` precedes them; ``closed``:
    the last token is a ``</poly>``.
    """

    words: tuple[int, ...] = ()
    locations: int = 0
    opened: bool = False
    separated: bool = False
    closed: bool = False

    @classmethod
    def of(cls, body: Sequence[int], tokenizer: Tokenizer) -> _CoordinateSuffix:
        start = len(body)
        while start and tokenizer.is_location(body[start - 1]):
            start -= 1
        locations = len(body) - start
        if locations == 0 and body and not tokenizer.is_added(body[-1]):
            while start and not tokenizer.is_added(body[start - 1]):
                start -= 1
            return cls(words=tuple(body[start:]))
        before = body[start - 1] if start else None
        markers = (tokenizer.polygon_open, tokenizer.polygon_close)
        last = next((each for each in reversed(body) if each in markers), None)
        return cls(
            locations=locations,
            opened=last == tokenizer.polygon_open,
            separated=before == tokenizer.separator,
            closed=locations == 0 and before == tokenizer.polygon_close,
        )
