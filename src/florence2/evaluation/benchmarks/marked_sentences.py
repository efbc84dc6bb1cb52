"""Captions with marked phrases in the format of Flickr30k Entities, and the boxes of phrases.

[/EN#283585/people Two men] stand in [/EN#283587/scene a yard] .
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ...results.types import Answer
from ..answer_values import FloatArray, get_labels, get_scores, to_boxes

_PART = re.compile(r"\[/EN#(?P<entity>\d+)/(?P<kind>\S+) (?P<words>[^\]]+)\]|(?P<word>[^\s\[\]]+)")


@dataclass(frozen=True)
class Phrase:
    """The words ``first`` to ``last - 1`` of a caption, and their entity."""

    first: int
    last: int
    entity: str
    kind: str


@dataclass(frozen=True)
class Sentence:
    """A caption word by word, and its marked phrases from left to right."""

    words: tuple[str, ...]
    phrases: tuple[Phrase, ...]

    @property
    def text(self) -> str:
        """The caption without marks."""
        return " ".join(self.words)


def read_sentence(line: str) -> Sentence:
    """The caption of a line; ``ValueError`` for a damaged mark."""
    words: list[str] = []
    phrases = []
    for part in _PART.finditer(line):
        if part["word"]:
            words.append(part["word"])
            continue
        first = len(words)
        words += part["words"].split()
        phrases.append(Phrase(first, len(words), part["entity"], part["kind"]))
    if not words or len(phrases) != line.count("[/EN#"):
        raise ValueError(f"not a caption with marks [/EN#number/type words]: {line!r}")
    return Sentence(tuple(words), tuple(phrases))


def match_phrases(sentence: Sentence, answer: Answer | None) -> list[FloatArray]:
    """The predicted boxes ``float[K, 4]`` of each marked phrase, highest score first.

    A label is looked up in the caption, word by word and without regard to case, and belongs to
    the first marked phrase that it shares a word with: "a man in a hat" to "a man". A label that
    occurs several times in both output and caption is matched in order; its last occurrence in the
    output belongs to all remaining occurrences in the caption.
    """
    boxes, scores = to_boxes(answer), get_scores(answer)
    mentions: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for label, indices in groupby(enumerate(get_labels(answer)), key=lambda pair: pair[1]):
        mentions[_words(label)].append([index for index, _ in indices])
    of_phrases: list[list[int]] = [[] for _ in sentence.phrases]
    for label_words, runs in mentions.items():
        for number, first in enumerate(find_words(sentence, label_words)):
            phrase = _first_overlapping(sentence, first, first + len(label_words))
            if phrase is not None:
                of_phrases[phrase] += runs[min(number, len(runs) - 1)]
    return [boxes[_sort_by_score(indices, scores)] for indices in of_phrases]


def find_words(sentence: Sentence, words: Sequence[str]) -> list[int]:
    """The positions in the caption where ``words`` occur in sequence; empty for no words."""
    caption, sequence = _words(sentence.text), tuple(words)
    starts = range(len(caption) - len(sequence) + 1) if sequence else ()
    return [start for start in starts if caption[start : start + len(sequence)] == sequence]


def count_unknown_labels(sentence: Sentence, answer: Answer | None) -> int:
    """The number of boxes whose label does not occur in the caption."""
    return sum(not find_words(sentence, _words(label)) for label in get_labels(answer))


def _first_overlapping(sentence: Sentence, first: int, last: int) -> int | None:
    overlapping = (
        number
        for number, phrase in enumerate(sentence.phrases)
        if first < phrase.last and phrase.first < last
    )
    return next(overlapping, None)


def _sort_by_score(indices: list[int], scores: FloatArray) -> list[int]:
    order = np.argsort(-scores[indices], kind="stable")
    return [indices[index] for index in order]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.lower().split())
