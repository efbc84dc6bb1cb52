"""What is written in made pictures: words, signs, prices, dates, plates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np

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
    """Common English words in small letters."""
    text = files("florence2.synthetic").joinpath("words.txt").read_text("utf-8")
    return tuple(dict.fromkeys(text.split()))


def sample_short_text(rng: np.random.Generator, longest: int = 22) -> str:
    """Something short that may be written anywhere, at most ``longest`` characters."""
    while True:
        make = _SHORT[int(rng.choice(len(_SHORT), p=_SHORT_SHARES))]
        text = make(rng)
        if len(text) <= longest:
            return text


def sample_prose(rng: np.random.Generator, lines: int, longest: int) -> list[str]:
    """A paragraph of made-up sentences, broken into lines of at most ``longest`` characters."""
    written = [""]
    starts = True
    while len(written) <= lines:
        word = _sample_word(rng)
        shown = word.capitalize() if starts else word
        starts = rng.random() < 0.13
        shown += "." if starts else "," if rng.random() < 0.06 else ""
        longer = f"{written[-1]} {shown}".strip()
        if len(longer) <= longest:
            written[-1] = longer
        else:
            written.append(shown[:longest])
    return written[:lines]


def sample_listing(rng: np.random.Generator, lines: int) -> list[str]:
    """Lines as on a menu, a receipt or a screen: a word or two with a figure."""
    figure: Callable[[np.random.Generator], str] = (_sample_price, _sample_number, _sample_clock)[
        int(rng.integers(3))
    ]
    return [f"{_sample_case(_sample_words(rng, 1, 2), rng)} {figure(rng)}" for _ in range(lines)]


def _sample_word(rng: np.random.Generator) -> str:
    words = load_vocabulary()
    return words[int(rng.integers(len(words)))]


def _sample_words(rng: np.random.Generator, fewest: int, most: int) -> str:
    return " ".join(_sample_word(rng) for _ in range(int(rng.integers(fewest, most + 1))))


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
    letters = "".join(_choose(rng, _LETTERS) for _ in range(int(rng.integers(2, 4))))
    figures = str(int(rng.integers(100, 10000)))
    return f"{letters} {figures}" if rng.random() < 0.5 else f"{figures} {letters}"


def _sample_telephone(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(200, 999))}-{int(rng.integers(0, 10000)):04d}"


_SHORT: tuple[Callable[[np.random.Generator], str], ...] = (
    _sample_phrase, _sample_sign, _sample_place, _sample_number, _sample_price, _sample_percentage, _sample_clock, _sample_date, _sample_plate, _sample_telephone,
)  # fmt: skip
_SHORT_SHARES = (0.46, 0.14, 0.12, 0.06, 0.05, 0.04, 0.03, 0.03, 0.04, 0.03)
