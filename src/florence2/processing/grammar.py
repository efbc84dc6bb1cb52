"""Answers as token ids, both ways: ``write(answer)`` and ``read(ids)``.

The grammar, as the released model writes it::

    text       words, with location tokens where a region task repeats its region
    boxes      label <loc>x4 [<loc>x4 ...]  label ...
    phrases    as boxes; stop phrases ("it", "the image") are skipped
    proposals  <loc>x4 [<loc>x4 ...]
    quads      text <loc>x8  text ...
    polygons   <loc>... [<sep> <loc>...]   or, for several instances, <poly> ... </poly> each
    boxes_or_polygons   as boxes, or  label <poly> ... </poly> [<poly> ... </poly>]  label ...

A location is an id range, so a label may hold any character and a score is a slice of the
log-probabilities. ``read`` accepts any ids: tokens that fit no rule are skipped.

The released parser matches text and mistakes some of its own syntax for words. These errors are not
copied: ``</s>`` in front of the first text of quads, ``loc_4>`` in a label after a box without
a label or after locations that make no box or quad, ``od>`` in a label after a task marker,
``<pad>`` in a text, labels lost or cut at ``<`` or a line break. A polygon without a point is
skipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby

import numpy as np
from numpy.typing import NDArray

from ..results.locations import dequantize, quantize
from ..results.tasks import AnswerKind
from ..results.types import Answer, Boxes, ImageSize, Polygons, Quads, Regions, Text
from .tokenizer import Tokenizer

# The phrases that the released processor removes from grounding answers; case-sensitive.
STOP_PHRASES = frozenset({
    "it", "I", "me", "mine", "you", "your", "yours", "he", "him", "his", "she", "her", "hers",
    "they", "them", "their", "theirs", "one", "oneself", "we", "us", "our", "ours", "its",
    "myself", "yourself", "himself", "herself", "itself", "ourselves", "yourselves", "themselves",
    "this", "that", "these", "those", "who", "whom", "whose", "which", "what", "all", "another",
    "any", "anybody", "anyone", "anything", "each", "everybody", "everyone", "everything", "few",
    "many", "nobody", "none", "several", "some", "somebody", "someone", "something",
    "each other", "one another", "the image", "image", "images", "the", "a", "an", "a group",
    "other objects", "lots", "a set",
})  # fmt: skip

_LOCATION_TEXT = re.compile(r"<loc_(0|[1-9][0-9]{0,2})>")
# The released parser needs as many tokens for polygons, with <poly>, </poly> and <sep>.
_MIN_POLYGON_TOKENS = 4

# The positions in the ids of a region's location tokens: a list for each polygon, or one list of
# four or eight for a box or a quad.
_Parts = list[list[int]]


def write(answer: Answer, kind: AnswerKind, tokenizer: Tokenizer) -> list[int]:
    """The ids ``<s> ... </s>`` of an answer to a task of ``kind``.

    ``read`` returns the same answer with quantized coordinates, stripped labels and no scores; with
    kind ``boxes_or_polygons``, an answer without instances is read as boxes. Raises ``ValueError``
    for an answer that does not round-trip: one of another kind, a blank label where the
    kind has labels, a label where it has none, a phrase that ``read`` leaves out, a polygon
    without points or a coordinate that is not finite.
    """
    match answer:
        case Text() if kind == "text":
            body = _write_text(answer.text, tokenizer)
        case Boxes() if kind in ("boxes", "phrases", "boxes_or_polygons"):
            shapes = [_write_locations(box, answer.image_size, tokenizer) for box in answer.xyxy]
            body = _write_labeled(answer.labels, shapes, kind, tokenizer)
        case Boxes() if kind == "proposals":
            _refuse_labels(answer.labels, kind)
            body = _write_locations(answer.xyxy, answer.image_size, tokenizer)
        case Quads() if kind == "quads":
            body = []
            for label, corners in zip(answer.labels, answer.corners, strict=True):
                body += _write_label(label, tokenizer)
                body += _write_locations(corners, answer.image_size, tokenizer)
        case Polygons() if kind == "polygons":
            _refuse_labels(answer.labels, kind)
            shapes = [_write_polygons(parts, answer, tokenizer) for parts in answer.polygons]
            alone = len(shapes) == 1 and len(shapes[0]) >= _MIN_POLYGON_TOKENS
            body = shapes[0] if alone else _wrap(shapes, tokenizer)
        case Polygons() if kind == "boxes_or_polygons":
            shapes = [_write_polygons(parts, answer, tokenizer) for parts in answer.polygons]
            wrapped = [_wrap([shape], tokenizer) for shape in shapes]
            body = _write_labeled(answer.labels, wrapped, kind, tokenizer)
        case _:
            raise ValueError(f"an answer of kind {kind!r} cannot be {type(answer).__name__}")
    return [tokenizer.bos, *body, tokenizer.eos]


def read(
    token_ids: Sequence[int],
    kind: AnswerKind,
    image_size: ImageSize,
    tokenizer: Tokenizer,
    *,
    token_logprobs: Sequence[float] | None = None,
    truncated: bool = False,
    ascii_labels: bool = False,
) -> Answer:
    """Parse ids as an answer of ``kind`` for an image of ``image_size`` (width, height).

    ``token_logprobs``, one for each id, become scores (see ``results``): a region's score is that
    of its location tokens, a label's score that of the label's tokens; kinds without labels have
    no label scores, and an empty label scores 1. ``truncated``: the length limit ended the ids, so
    an unclosed last polygon is dropped; incomplete boxes and quads are always dropped.
    ``ascii_labels`` drops non-ASCII characters from the labels of boxes and phrases, as the
    released processor does. Raises ``ValueError`` only for a wrong number of log-probabilities and
    for an image without area.
    """
    if token_logprobs is not None and len(token_logprobs) != len(token_ids):
        raise ValueError(
            f"{len(token_ids)} ids need as many log-probabilities, got {len(token_logprobs)}"
        )
    reader = _Reader([int(token_id) for token_id in token_ids], tokenizer, token_logprobs)
    if kind == "text":
        score = None if token_logprobs is None else reader.score(reader.body)
        return Text(reader.decode(reader.body), score)
    return _read_regions(reader, kind, image_size, truncated, ascii_labels)


def _read_regions(
    reader: _Reader, kind: AnswerKind, image_size: ImageSize, truncated: bool, ascii_labels: bool
) -> Regions:
    """The regions of an answer that is not text."""
    phrases = reader.phrases(truncated)
    labeled = kind not in ("proposals", "polygons")
    if labeled:
        phrases = [phrase for phrase in phrases if phrase.words]
    if kind == "phrases":
        phrases = [phrase for phrase in phrases if reader.label(phrase) not in STOP_PHRASES]

    as_polygons = kind == "polygons" or (kind == "boxes_or_polygons" and reader.has_polygons())
    parts_of = reader.boxes
    if as_polygons:
        parts_of = reader.polygons
    elif kind == "quads":
        parts_of = reader.quads
    found = [(phrase, parts) for phrase in phrases for parts in parts_of(phrase)]

    labels = [reader.label(phrase) if labeled else "" for phrase, _ in found]
    if ascii_labels and not as_polygons and kind != "quads":
        labels = [label.encode("ascii", "ignore").decode("ascii") for label in labels]
    scores = label_scores = None
    if reader.logprobs is not None:
        scores = [reader.score(list(chain(*parts))) for _, parts in found]
        label_scores = [reader.score(phrase.words) for phrase, _ in found] if labeled else None
    shapes = [[reader.points(part, image_size) for part in parts] for _, parts in found]
    if as_polygons:
        return Polygons(shapes, labels, image_size, scores, label_scores)
    corners = np.asarray([points for (points,) in shapes], dtype=np.float32)
    if kind == "quads":
        return Quads(corners, labels, image_size, scores, label_scores)
    return Boxes(corners.reshape(-1, 4), labels, image_size, scores, label_scores)


@dataclass
class _Phrase:
    """Words and what follows them until the next words, by their positions in the ids.

    ``incomplete``: the length limit ended the prediction after the last item.
    """

    words: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    incomplete: bool = False


class _Reader:
    """The ids of one answer, split by kind: words, locations, markers."""

    def __init__(
        self, ids: list[int], tokenizer: Tokenizer, logprobs: Sequence[float] | None
    ) -> None:
        self.ids, self.tokenizer, self.logprobs = ids, tokenizer, logprobs
        self.body = self._body()

    def _body(self) -> list[int]:
        """Positions of the tokens of the answer.

        The decoder starts with ``</s>`` and some checkpoints then generate ``<s>`` more than once,
        so the answer ends at the first ``</s>`` that has anything before it.
        """
        silent = (self.tokenizer.bos, self.tokenizer.pad, self.tokenizer.eos)
        body: list[int] = []
        for position, token_id in enumerate(self.ids):
            if token_id == self.tokenizer.eos and body:
                break
            if token_id not in silent and self.tokenizer.is_valid_id(token_id):
                body.append(position)
        return body

    def phrases(self, truncated: bool) -> list[_Phrase]:
        """The body, split before the words that follow a location or a marker."""
        phrases = [_Phrase()]
        for position in self.body:
            if self.tokenizer.is_added(self.ids[position]):
                phrases[-1].items.append(position)
                continue
            if phrases[-1].items:
                phrases.append(_Phrase())
            phrases[-1].words.append(position)
        phrases[-1].incomplete = truncated
        return phrases

    def boxes(self, phrase: _Phrase) -> Iterator[_Parts]:
        """Boxes of four consecutive locations; one to three surplus locations are skipped."""
        for run in self._location_runs(phrase):
            for start in range(0, len(run) - 3, 4):
                yield [run[start : start + 4]]

    def quads(self, phrase: _Phrase) -> Iterator[_Parts]:
        """One quad for each text: the first eight consecutive locations."""
        for run in self._location_runs(phrase):
            if len(run) >= 8:
                yield [run[:8]]
                return

    def polygons(self, phrase: _Phrase) -> Iterator[_Parts]:
        """The polygons in each ``<poly> ... </poly>``, or in the phrase if no pair is closed.

        A surplus last location of a polygon is skipped, and so are polygons without a point.
        In an incomplete phrase the polygon after its last ``<poly>`` or ``<sep>`` is dropped.
        """
        if len(phrase.items) < _MIN_POLYGON_TOKENS:
            return
        closed: list[_Parts] = []
        parts: _Parts = [[]]
        opened = False
        for position in phrase.items:
            token_id = self.ids[position]
            if token_id == self.tokenizer.polygon_open:
                parts, opened = [[]], True
            elif token_id == self.tokenizer.polygon_close and opened:
                closed.append(parts)
                parts, opened = [[]], False
            elif token_id == self.tokenizer.separator:
                parts.append([])
            elif self.tokenizer.is_location(token_id):
                parts[-1].append(position)
        if phrase.incomplete:
            parts = [] if opened else parts[:-1]
        for instance in closed or [parts]:
            even = [part[: len(part) // 2 * 2] for part in instance]
            if any(even):
                yield [part for part in even if part]

    def has_polygons(self) -> bool:
        """Whether there is a ``<poly>``: the released parser then reads all as polygons."""
        return any(self.ids[at] == self.tokenizer.polygon_open for at in self.body)

    def label(self, phrase: _Phrase) -> str:
        """The words of the phrase, without white space at the ends."""
        return self.decode(phrase.words).strip()

    def decode(self, positions: list[int]) -> str:
        """The text of the tokens at ``positions``."""
        return self.tokenizer.decode(self.ids[position] for position in positions)

    def points(self, positions: list[int], image_size: ImageSize) -> NDArray[np.float32]:
        """Points ``float32[K, 2]`` in pixels of the locations at ``positions``."""
        bins = [self.ids[position] - self.tokenizer.first_location for position in positions]
        return dequantize(bins, image_size).reshape(-1, 2)

    def score(self, positions: list[int]) -> float:
        """The geometric mean of the tokens' probabilities at ``positions``; 1 where there are none.

        Only for a reader with log-probabilities.
        """
        assert self.logprobs is not None
        total = sum(self.logprobs[position] for position in positions)
        return math.exp(total / max(len(positions), 1))

    def _location_runs(self, phrase: _Phrase) -> list[list[int]]:
        """The positions of consecutive locations, split at every marker."""
        runs: list[list[int]] = [[]]
        for position in phrase.items:
            if self.tokenizer.is_location(self.ids[position]):
                runs[-1].append(position)
            else:
                runs.append([])
        return runs


def _write_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """Encode text; location tokens in it become ids, since region tasks repeat their region."""
    body: list[int] = []
    for index, piece in enumerate(_LOCATION_TEXT.split(text)):
        is_bin = index % 2 == 1
        body += [tokenizer.first_location + int(piece)] if is_bin else tokenizer.encode_plain(piece)
    return body


def _write_labeled(
    labels: Sequence[str], shapes: list[list[int]], kind: AnswerKind, tokenizer: Tokenizer
) -> list[int]:
    """Each label once, then the shapes of all consecutive regions with this label."""
    body: list[int] = []
    stripped = [label.strip() for label in labels]
    for label, group in groupby(zip(stripped, shapes, strict=True), key=lambda pair: pair[0]):
        if kind == "phrases" and label in STOP_PHRASES:
            raise ValueError(f"the stop phrase {label!r} does not round-trip")
        body += _write_label(label, tokenizer)
        for _, shape in group:
            body += shape
    return body


def _write_label(label: str, tokenizer: Tokenizer) -> list[int]:
    if not label.strip():
        raise ValueError(
            f"a region needs a label that is not blank, got {label!r}; drop the region"
        )
    return tokenizer.encode_plain(label.strip())


def _write_polygons(
    parts: Sequence[NDArray[np.float32]], answer: Polygons, tokenizer: Tokenizer
) -> list[int]:
    """The polygons of one instance."""
    if not parts or not all(len(part) for part in parts):
        raise ValueError(f"an instance needs polygons with points, got {list(parts)}")
    body = _write_locations(parts[0], answer.image_size, tokenizer)
    for part in parts[1:]:
        body += [tokenizer.separator, *_write_locations(part, answer.image_size, tokenizer)]
    return body


def _wrap(shapes: list[list[int]], tokenizer: Tokenizer) -> list[int]:
    """Each instance between ``<poly>`` and ``</poly>``."""
    return [
        token_id
        for shape in shapes
        for token_id in (tokenizer.polygon_open, *shape, tokenizer.polygon_close)
    ]


def _write_locations(
    coordinates: NDArray[np.float32], image_size: ImageSize, tokenizer: Tokenizer
) -> list[int]:
    bins = quantize(coordinates.reshape(-1), image_size)
    return [tokenizer.first_location + int(each) for each in bins]


def _refuse_labels(labels: Sequence[str], kind: AnswerKind) -> None:
    if any(labels):
        raise ValueError(f"{kind} have no labels, got {list(labels)}: leave them empty")
