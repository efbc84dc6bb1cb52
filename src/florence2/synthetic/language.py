"""English for captions: number words, plurals, articles, lists; and random texts to render.

The vocabulary of captions is small, so that a small model can learn it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np

NUMBER_WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)  # fmt: skip
"""The words for 0 to 12."""

_PLURALS = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice",
    "goose": "geese", "foot": "feet", "tooth": "teeth", "ox": "oxen", "knife": "knives",
    "leaf": "leaves", "loaf": "loaves", "wolf": "wolves", "shelf": "shelves", "scarf": "scarves",
    "sheep": "sheep", "fish": "fish", "deer": "deer", "dice": "dice", "octopus": "octopuses",
    "bus": "buses", "cactus": "cacti", "potato": "potatoes", "tomato": "tomatoes",
    "mango": "mangoes", "snowman": "snowmen", "policeman": "policemen", "fireman": "firemen",
}  # fmt: skip
# Nouns that are counted with a measure, because they have no singular or no plural.
_MEASURE_NOUNS = {
    "scissors": ("pair", "scissors"), "skis": ("pair", "skis"), "glasses": ("pair", "glasses"),
    "sunglasses": ("pair", "sunglasses"), "jeans": ("pair", "jeans"), "shorts": ("pair", "shorts"),
    "pants": ("pair", "pants"), "grape": ("bunch", "grapes"), "bread": ("loaf", "bread"),
    "corn": ("ear", "corn"), "broccoli": ("piece", "broccoli"), "cheese": ("piece", "cheese"),
}  # fmt: skip
# Spelled with a vowel but spoken with a consonant, and the reverse.
_CONSONANT_SOUNDS = ("uni", "use", "one", "eu", "ukulele")
_VOWEL_SOUNDS = ("hour", "honest", "heir")
_SIBILANTS = ("s", "x", "z", "ch", "sh")

MEASURES = frozenset(measure for measure, _ in _MEASURE_NOUNS.values())
"""Measure words: "pair", "piece"."""


def spell_number(count: int) -> str:
    """The word for a count up to twelve, digits above."""
    return NUMBER_WORDS[count] if 0 <= count < len(NUMBER_WORDS) else str(count)


def pluralize(noun: str) -> str:
    """The plural of a singular noun; its last word changes: "police officers"."""
    if noun in _MEASURE_NOUNS:
        return _MEASURE_NOUNS[noun][1]
    before, space, last = noun.rpartition(" ")
    return f"{before}{space}{_pluralize_word(last)}"


def with_article(phrase: str) -> str:
    """The phrase with its indefinite article: "an apple", "a unicorn"."""
    start = phrase.lower()
    is_vowel = start.startswith(("a", "e", "i", "o", "u")) or start.startswith(_VOWEL_SOUNDS)
    return f"{'an' if is_vowel and not start.startswith(_CONSONANT_SOUNDS) else 'a'} {phrase}"


def format_counted(noun: str, count: int = 1, adjectives: Sequence[str] = ()) -> str:
    """A noun with its count: "a red car", "two small dogs", "a pair of blue skis"."""
    if count == 1:
        return with_article(format_noun(noun, 1, adjectives))
    return f"{spell_number(count)} {format_noun(noun, count, adjectives)}"


def format_definite(noun: str, count: int = 1, adjectives: Sequence[str] = ()) -> str:
    """A noun with the definite article: "the red car", "the two dogs"."""
    number = "" if count == 1 else f"{spell_number(count)} "
    return f"the {number}{format_noun(noun, count, adjectives)}"


def format_noun(noun: str, count: int = 1, adjectives: Sequence[str] = ()) -> str:
    """The noun for a count with its adjectives, without article or number: "small red cars".

    An adjective that equals the noun is left out: no "orange orange".
    """
    words = [word for word in adjectives if word and word != noun]
    if noun in _MEASURE_NOUNS:
        measure, counted_noun = _MEASURE_NOUNS[noun]
        measure = measure if count == 1 else _pluralize_word(measure)
        # A color describes the noun, a size the measure.
        sizes = [word for word in words if word in SIZES]
        others = [word for word in words if word not in SIZES]
        return " ".join([*sizes, measure, "of", *others, counted_noun])
    return " ".join([*words, noun if count == 1 else pluralize(noun)])


SIZES = ("small", "large")
"""Words for sizes."""


def join_phrases(phrases: Sequence[str]) -> str:
    """ "a cat", "a cat and a dog", "a cat, a dog and two cars"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _pluralize_word(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith(_SIBILANTS):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"


_SIGNS = (
    "open", "closed", "exit", "entrance", "no parking", "stop", "one way", "for sale", "for rent",
    "push", "pull", "welcome", "danger", "keep out", "no smoking", "sold out", "on sale",
    "open 24 hours", "free wifi", "wet paint", "caution", "slow", "school zone", "private",
    "staff only", "please wait", "no entry", "thank you", "to let", "out of order", "cash only",
    "bus stop", "taxi", "fire exit", "first aid", "information", "tickets", "lost and found",
    "fresh bread", "hot coffee", "ice cream", "happy hour", "grand opening", "new arrivals",
    "keep left", "keep right", "road closed", "speed limit", "dead end", "no dogs",
)  # fmt: skip
_PLACES = (
    "street", "avenue", "road", "cafe", "hotel", "market", "bakery", "books", "pizza", "garage",
    "park", "station", "school", "museum", "bar", "grill", "shop", "salon",
)  # fmt: skip
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


@lru_cache(maxsize=1)
def load_vocabulary() -> tuple[str, ...]:
    """Common English words in lower case."""
    text = files("florence2.synthetic").joinpath("words.txt").read_text("utf-8")
    return tuple(dict.fromkeys(text.split()))


def sample_short_text(rng: np.random.Generator, max_length: int = 22) -> str:
    """A random short text of at most ``max_length`` characters."""
    while True:
        make = _SHORT_SAMPLERS[int(rng.choice(len(_SHORT_SAMPLERS), p=_SHORT_SHARES))]
        text = make(rng)
        if len(text) <= max_length:
            return text


def sample_prose(rng: np.random.Generator, lines: int, max_length: int) -> list[str]:
    """A paragraph of random sentences in lines of at most ``max_length`` characters."""
    text_lines = [""]
    starts_sentence = True
    while len(text_lines) <= lines:
        word = _sample_word(rng)
        token = word.capitalize() if starts_sentence else word
        starts_sentence = rng.random() < 0.13
        token += "." if starts_sentence else "," if rng.random() < 0.06 else ""
        longer = f"{text_lines[-1]} {token}".strip()
        if len(longer) <= max_length:
            text_lines[-1] = longer
        else:
            text_lines.append(token[:max_length])
    return text_lines[:lines]


def sample_listing(rng: np.random.Generator, lines: int) -> list[str]:
    """Lines as on a menu or a receipt: one or two words with a number."""
    sample_figure: Callable[[np.random.Generator], str] = (
        _sample_price,
        _sample_number,
        _sample_clock,
    )[int(rng.integers(3))]
    return [
        f"{_sample_case(_sample_words(rng, 1, 2), rng)} {sample_figure(rng)}" for _ in range(lines)
    ]


def _sample_word(rng: np.random.Generator) -> str:
    words = load_vocabulary()
    return words[int(rng.integers(len(words)))]


def _sample_words(rng: np.random.Generator, min_words: int, max_words: int) -> str:
    return " ".join(_sample_word(rng) for _ in range(int(rng.integers(min_words, max_words + 1))))


def _choose(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _sample_case(text: str, rng: np.random.Generator) -> str:
    return (text.upper(), text.title(), text.capitalize(), text)[int(rng.integers(4))]


def _sample_phrase(rng: np.random.Generator) -> str:
    return _sample_case(_sample_words(rng, 1, 3), rng)


def _sample_sign(rng: np.random.Generator) -> str:
    return _sample_case(_choose(rng, _SIGNS), rng)


def _sample_place(rng: np.random.Generator) -> str:
    return _sample_case(f"{_sample_word(rng)} {_choose(rng, _PLACES)}", rng)


def _sample_number(rng: np.random.Generator) -> str:
    return str(int(rng.integers(0, 10 ** int(rng.integers(1, 5)))))


def _sample_price(rng: np.random.Generator) -> str:
    value = f"{int(rng.integers(0, 200))}.{_choose(rng, ('00', '50', '99', '95', '25'))}"
    return f"${value}" if rng.random() < 0.7 else f"{value} €"


def _sample_percentage(rng: np.random.Generator) -> str:
    return f"{5 * int(rng.integers(1, 20))}% {_choose(rng, ('OFF', 'off', 'SALE', 'FREE'))}"


def _sample_clock(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(0, 24))}:{int(rng.integers(0, 60)):02d}"


def _sample_date(rng: np.random.Generator) -> str:
    day, month, year = (int(rng.integers(*ends)) for ends in ((1, 29), (1, 13), (1950, 2040)))
    return _choose(
        rng, (f"{day:02d}/{month:02d}/{year}", f"{year}-{month:02d}-{day:02d}", f"{day}.{month}.")
    )


def _sample_plate(rng: np.random.Generator) -> str:
    characters = "".join(_choose(rng, _LETTERS) for _ in range(int(rng.integers(2, 4))))
    digits = str(int(rng.integers(100, 10000)))
    return f"{characters} {digits}" if rng.random() < 0.5 else f"{digits} {characters}"


def _sample_telephone(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(200, 999))}-{int(rng.integers(0, 10000)):04d}"


_SHORT_TEXTS: dict[Callable[[np.random.Generator], str], float] = {
    _sample_phrase: 0.46,
    _sample_sign: 0.14,
    _sample_place: 0.12,
    _sample_number: 0.06,
    _sample_price: 0.05,
    _sample_percentage: 0.04,
    _sample_clock: 0.03,
    _sample_date: 0.03,
    _sample_plate: 0.04,
    _sample_telephone: 0.03,
}
"""Kinds of short text, and how often each is sampled."""
_SHORT_SAMPLERS, _SHORT_SHARES = tuple(_SHORT_TEXTS), tuple(_SHORT_TEXTS.values())
