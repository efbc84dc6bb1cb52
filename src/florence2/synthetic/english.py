"""English words for things: number words, plurals, articles, colors, lists.

A small vocabulary on purpose: a small model is to learn it.
"""

from __future__ import annotations

from collections.abc import Sequence

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
# What is counted by another word: in pairs, for there is no singular, or in pieces.
_MEASURE_NOUNS = {
    "scissors": ("pair", "scissors"), "skis": ("pair", "skis"), "glasses": ("pair", "glasses"),
    "sunglasses": ("pair", "sunglasses"), "jeans": ("pair", "jeans"), "shorts": ("pair", "shorts"),
    "pants": ("pair", "pants"), "grape": ("bunch", "grapes"), "bread": ("loaf", "bread"),
    "corn": ("ear", "corn"), "broccoli": ("piece", "broccoli"), "cheese": ("piece", "cheese"),
}  # fmt: skip
# Spelled with a vowel and spoken without, and the other way round.
_CONSONANT_SOUNDS = ("uni", "use", "one", "eu", "ukulele")
_VOWEL_SOUNDS = ("hour", "honest", "heir")
_SIBILANTS = ("s", "x", "z", "ch", "sh")

MEASURES = frozenset(measure for measure, _ in _MEASURE_NOUNS.values())
"""Words that count what has no singular: "pair", "piece"."""


def spell_number(count: int) -> str:
    """The word for a count up to twelve, figures above."""
    return NUMBER_WORDS[count] if 0 <= count < len(NUMBER_WORDS) else str(count)


def pluralize(noun: str) -> str:
    """The plural of a singular noun, of whose words the last changes: "police officers"."""
    if noun in _MEASURE_NOUNS:
        return _MEASURE_NOUNS[noun][1]
    before, space, last = noun.rpartition(" ")
    return f"{before}{space}{_pluralize_word(last)}"


def with_article(phrase: str) -> str:
    """The phrase behind its indefinite article: "an apple", "a unicorn"."""
    start = phrase.lower()
    is_vowel = start.startswith(("a", "e", "i", "o", "u")) or start.startswith(_VOWEL_SOUNDS)
    return f"{'an' if is_vowel and not start.startswith(_CONSONANT_SOUNDS) else 'a'} {phrase}"


def format_counted(noun: str, count: int = 1, adjectives: Sequence[str] = ()) -> str:
    """How many of a noun: "a red car", "two small dogs", "a pair of blue skis"."""
    if count == 1:
        return with_article(format_noun(noun, 1, adjectives))
    return f"{spell_number(count)} {format_noun(noun, count, adjectives)}"


def format_definite(noun: str, count: int = 1, adjectives: Sequence[str] = ()) -> str:
    """The ones spoken of before: "the red car", "the two dogs"."""
    number = "" if count == 1 else f"{spell_number(count)} "
    return f"the {number}{format_noun(noun, count, adjectives)}"


def format_noun(noun: str, count: int = 1, adjectives: Sequence[str] = ()) -> str:
    """The noun for a count with its adjectives, without article or number: "small red cars".

    A color that is the noun's own name is left out: nobody says "an orange orange".
    """
    described = [word for word in adjectives if word and word != noun]
    if noun in _MEASURE_NOUNS:
        measure, stuff = _MEASURE_NOUNS[noun]
        measure = measure if count == 1 else _pluralize_word(measure)
        # A color is of the stuff, a size is of the piece.
        sizes = [word for word in described if word in SIZES]
        others = [word for word in described if word not in SIZES]
        return " ".join([*sizes, measure, "of", *others, stuff])
    return " ".join([*described, noun if count == 1 else pluralize(noun)])


SIZES = ("small", "large")
"""The words for sizes."""


def join_phrases(phrases: Sequence[str]) -> str:
    """ "a cat", "a cat and a dog", "a cat, a dog and two cars"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def capitalized(sentence: str) -> str:
    """The sentence with a capital first letter, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def _pluralize_word(word: str) -> str:
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith(_SIBILANTS):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
