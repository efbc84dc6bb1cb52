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
    """For each marked phrase the boxes ``float[K, 4]`` that the model gives it, highest-scoring
    first.

    A label is looked up in the caption, word by word and without regard to case, and speaks for
    the first marked phrase that it has a word in common with: "a man in a hat" for "a man". A
    label that occurs several times in both answer and caption is taken in order; the last time it
    is said speaks for all places that remain.
    """
    boxes, scores = to_boxes(answer), get_scores(answer)
    mentions: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for label, places in groupby(enumerate(get_labels(answer)), key=lambda place: place[1]):
        mentions[_words(label)].append([index for index, _ in places])
    chosen: list[list[int]] = [[] for _ in sentence.phrases]
    for label_words, runs in mentions.items():
        for number, first in enumerate(find_words(sentence, label_words)):
            phrase = _first_touched(sentence, first, first + len(label_words))
            if phrase is not None:
                chosen[phrase] += runs[min(number, len(runs) - 1)]
    return [boxes[_surest_first(indices, scores)] for indices in chosen]


def find_words(sentence: Sentence, words: Sequence[str]) -> list[int]:
    """Where in the caption the words stand one after another; nowhere for no words."""
    caption, wanted = _words(sentence.text), tuple(words)
    starts = range(len(caption) - len(wanted) + 1) if wanted else ()
    return [start for start in starts if caption[start : start + len(wanted)] == wanted]


def count_unknown_labels(sentence: Sentence, answer: Answer | None) -> int:
    """How many boxes have labels that do not occur in the caption."""
    return sum(not find_words(sentence, _words(label)) for label in get_labels(answer))


def _first_touched(sentence: Sentence, first: int, last: int) -> int | None:
    touched = (
        number
        for number, phrase in enumerate(sentence.phrases)
        if first < phrase.last and phrase.first < last
    )
    return next(touched, None)


def _surest_first(indices: list[int], scores: FloatArray) -> list[int]:
    order = np.argsort(-scores[indices], kind="stable")
    return [indices[place] for place in order]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.lower().split())
