"""Small parts of messages: counts with their nouns, near misses, shortened values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# Max characters of a value in a sentence.
MAX_VALUE_CHARS = 200
# Length of the note on skipped characters: a cut must save more.
_NOTE_CHARS = 50
# Min similarity of a name that is suggested for another.
_CUTOFF = 0.6


def format_count(count: int, noun: str, plural: str | None = None) -> str:
    """``count`` with its noun: "1 image", "1,234 images", "2 boxes" with ``plural="boxes"``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def shorten(text: str, limit: int = MAX_VALUE_CHARS) -> str:
    """``text`` with at most about ``limit`` characters: the middle of a longer one is skipped."""
    if len(text) <= limit + _NOTE_CHARS:
        return text
    head = limit * 2 // 3
    tail = limit - head
    left_out = len(text) - head - tail
    return f"{text[:head]} ... ({left_out:,} characters skipped) ... {text[len(text) - tail :]}"


def find_near_miss(name: str, choices: Iterable[str]) -> str | None:
    """The one of ``choices`` that ``name`` was probably meant to be, or None.

    Case, dashes and underscores make no difference. A name that is the start of one choice only
    is taken for that choice.
    """
    by_key: dict[str, str] = {}
    for choice in choices:
        by_key.setdefault(_key(choice), choice)
    key = _key(name)
    if key in by_key:
        return by_key[key]
    close = get_close_matches(key, by_key, n=1, cutoff=_CUTOFF)
    if close:
        return by_key[close[0]]
    starting = [choice for other, choice in by_key.items() if key and other.startswith(key)]
    return starting[0] if len(starting) == 1 else None


def suggest(name: str, choices: Iterable[str]) -> str:
    """``"; did you mean 'yolo'?"`` for a near miss of one of ``choices``, else nothing."""
    near = find_near_miss(name, choices)
    return "" if near is None else f"; did you mean {near!r}?"


def describe_choice(value: str, choices: Sequence[str]) -> str:
    """What is wrong with a value that is not one of ``choices``."""
    near = suggest(value, choices)
    return f"{shorten(value)!r} is not one of {', '.join(choices)}{near}"


def describe_number(kind: type, low: float | None, high: float | None) -> str:
    """What a number must be: "a whole number from 1 to 100", "a number of at least 0"."""
    words = "a whole number" if kind is int else "a number"
    if low is not None and high is not None:
        return f"{words} from {low:,} to {high:,}"
    if low is not None:
        return f"{words} of at least {low:,}"
    return words if high is None else f"{words} of at most {high:,}"


def _key(name: str) -> str:
    return name.casefold().replace("_", "-").strip()
