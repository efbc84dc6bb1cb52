"""Words of a caption as the COCO caption scorers split them.

BLEU, ROUGE, CIDEr and METEOR in the literature use captions that Stanford's PTBTokenizer 3.4.1 (a
Java program) has split by the conventions of the Penn Treebank, in lower case and without
punctuation. This module reimplements it in Python from its observed outputs. Odd outputs are kept,
since metrics depend on them: brackets stay as ``-lrb-``, pounds become ``#``, ``3 1/2`` is one word
with a no-break space in it.

Text is tokenized from the left. Of all kinds of token that match at a position the longest is
taken, counted with the context it needs to its right; of equally long ones, the first in
``_kinds``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

# Words that always keep their period.
_ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bhd bldg blvd brig bros calif capt
    cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc
    ext feb fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky
    lieut lt ltd maj mar md messrs mfg mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb
    nev nov oct okla penn pfc ph plc ppte ppty pres prof pte ptes pty ptys pvt rd rep reps rev rt
    sen sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu tue tues univ va vs vt wed
    wis wisc wm wyo
"""
_CAPITAL_ABBREVIATIONS = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_ABBREVIATIONS_OF_NUMBERS = "art ca fig figs no nos op pp prop"
# Before one of these a letter with a period ends a sentence; elsewhere it is an initial.
_SENTENCE_STARTS = """
    A About According Additionally After An As At But Earlier He Her Here However If In It Last Many
    More Mr. Ms. Now Once One Other Our She Since So Some Such That The Their Then There These They
    This We What When While Yet You
"""
_SPLIT_WORDS = "can|not gon|na got|ta wan|na lem|me gim|me"

_MARKS = (
    r"\u00ad\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0903"
    r"\u093a-\u094f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
)
# Python counts superscripts and fractions as word characters; here they are single tokens.
_NO_DIGITS = r"\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u218b"
# Other symbols (emoji, new currencies, most scripts' own punctuation) are dropped.
_SYMBOLS = (
    r"!-/:-@\[-`{-~\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7"
    r"\u00f7\u02c2-\u02c5\u02d2-\u02ff\u037e-\u0387\u03f6\u055a-\u055f\u0589\u05be-\u05f4"
    r"\u0606-\u060c\u061b-\u061f\u066a\u066d\u06d4\u0700-\u070d\u0964\u0965\u0e3f\u0e4f\u1fbd"
    r"\u2013-\u2024\u2026-\u2044\u2046\u207a-\u207e\u208a-\u208e\u20a0\u20a4\u20a6\u20ac\u20ae\u2103-\u214f"
    r"\u2192-\u2426\u2440-\u244a\u249c-\u24e9\u2500-\u2775\u2794-\u2bff\u3003\u3004\u3008\u3014"
    r"\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffe9"
)
_LETTER = rf"(?:[^\W\d_{_NO_DIGITS}]|[{_MARKS}])"
_ALNUM = rf"(?:[^\W_{_NO_DIGITS}]|[{_MARKS}])"
_END = rf"(?!{_ALNUM})"
_WORD = rf"{_LETTER}{_ALNUM}*"
_PART = rf"{_ALNUM}+(?:_{_ALNUM}+)*"
_DOTTED = rf"{_WORD}(?:\.{_WORD})+"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_QUOTE = "['\u2019]"
_SUFFIX = rf"{_QUOTE}(?i:[sdm]|ll|re|ve){_END}"
_NUMBER = r"(?:\d*(?:[.,:]\d+)+|\d+)"
_PHONE = (
    r"(?:\(\d{2,3}\)[ \xa0]?|(?:\+\+?)?(?:\d{2,4}[- \xa0])?\d{2,4}[- \xa0])"
    r"\d{3,4}[- \xa0]?\d{3,5}"
)
_NAME = r"[A-Za-z][A-Za-z0-9_:.-]*"
_VALUE = r"(?:\"[^\"\r\n]*\"|'[^'\r\n]*'|[A-Za-z0-9_:.-]+)"
_FACE_SIDE = r"[-^x=~<>']"
_IN_ADDRESS = r"[^\s\xa0\"<>|(){}]"

Rewrite = Callable[[str], list[str]]


class _Kind(NamedTuple):
    """A kind of token: group ``token`` is the token, the whole match decides which kind wins."""

    pattern: re.Pattern[str]
    rewrite: Rewrite


def tokenize(caption: str) -> list[str]:
    """The words of a caption: lower case, without punctuation.

    Each caption is tokenized by itself. The Java program reads whole files, where the next line
    can decide whether a last ``b.`` is an initial.
    """
    words: list[str] = []
    plain, blank, kinds = _plain_word(), _blank(), _kinds()
    position = 0
    while position < len(caption):
        if found := plain.match(caption, position):
            words.append(found[0].lower())
            position = found.end()
        elif found := blank.match(caption, position):
            position = found.end()
        else:
            new, position = _take(kinds, caption, position)
            words.extend(word.lower() for word in new if word)
    return words


def _take(kinds: list[_Kind], text: str, position: int) -> tuple[list[str], int]:
    """The words at a position, and the position after them."""
    best: re.Match[str] | None = None
    rewrite: Rewrite = _drop
    for kind in kinds:
        found = kind.pattern.match(text, position)
        if found and (best is None or found.end() > best.end()):
            best, rewrite = found, kind.rewrite
    if best is None:
        return [], position + 1
    end = best.end("token")
    return rewrite(text[position:end]), max(end, position + 1)


@cache
def _plain_word() -> re.Pattern[str]:
    """ASCII letters before a blank: nearly every word of a caption, without special cases."""
    odd = "|".join(_SPLIT_WORDS.replace("|", "").split())
    return re.compile(rf"(?!(?i:{odd})\s)[A-Za-z]+(?=\s|\Z)(?!\s+['\u2019])")


@cache
def _blank() -> re.Pattern[str]:
    return re.compile(r"(?:\s|[\u200b-\u200f\ufeff\u2060])+|&nbsp;")


@cache
def _kinds() -> list[_Kind]:
    """All kinds of token; of equally long ones the first is taken."""
    return [*_markup(), *_apostrophes(), *_words(), *_numbers(), *_symbols()]


def _markup() -> list[_Kind]:
    address = rf"{_IN_ADDRESS}*{_IN_ADDRESS.replace('[^', '[^.,;:!?')}"
    return [
        _kind(rf"</?{_NAME}(?:[ \xa0]+{_NAME}(?: *= *{_VALUE})?)*[ \xa0]*/?>", _joined),
        _kind(r"<[!?][A-Za-z-][^<>\r\n]*>", _joined),
        _kind(rf"https?://{_IN_ADDRESS}+\.{address}", _as_it_is),
        _kind(rf"www\.(?:{_PART}\.)+[A-Za-z]{{2,4}}(?:/{address})?", _as_it_is),
        _kind(rf"(?:{_WORD}\.)+(?:com|net|org|edu)/{_IN_ADDRESS}{address}", _as_it_is),
        _kind(rf"<?[A-Za-z0-9]{_IN_ADDRESS}*@{_IN_ADDRESS}*[^\s\xa0\"<>|(){{}}.]>?", _as_it_is),
        _kind(r"@[A-Za-z_]\w*", _as_it_is),
        _kind(rf"\#{_LETTER}+", _as_it_is),
        _kind(r"&(?:amp|AMP);", lambda _: ["&"]),
        _kind(r"&(?:lt|LT);", lambda _: ["<"]),
        _kind(r"&(?:gt|GT);", lambda _: [">"]),
        _kind(r"&(?:quot|apos|mdash|ndash);", _drop),
        _kind(r"&\#\d+;", _as_it_is),
    ]


def _apostrophes() -> list[_Kind]:
    split = "|".join(rf"{word.replace('|', '')}" for word in _SPLIT_WORDS.split())
    return [
        _kind(rf"(?i:{split}){_END}", _split_word),
        _kind(rf"(?P<token>{_LETTER}{_ALNUM}*)(?i:n{_QUOTE}t)", _clean),
        _kind(rf"(?i:n{_QUOTE}t){_END}", _straight),
        _kind(_SUFFIX, _straight),
        _kind(rf"(?i:[dlno]){_QUOTE}(?!(?i:ll|re|ve){_END}){_LETTER}{{2,}}", _straight),
        _kind(rf"{_LETTER}{_ALNUM}+(?<=[aeiouyAEIOUY]){_QUOTE}(?i:[aeiou]){_LETTER}*", _straight),
        _kind(
            rf"(?i:c{_QUOTE}est|c{_QUOTE}mon|e{_QUOTE}er|li{_QUOTE}l|somethin{_QUOTE})", _straight
        ),
        _kind(rf"(?i:[djl]|ol){_QUOTE}", _straight),
        _kind(rf"(?i:y){_QUOTE}(?=(?i:[a-ce-ln-rt-z]))", _straight),
        _kind(r"'(?i:em|til|cause)", _as_it_is),
        _kind(rf"'(?i:n)(?:'|{_END})", _as_it_is),
        _kind(r"(?P<token>'(?i:t))(?i:is|was)", _as_it_is),
        _kind(r"'\d\d(?![\w'\"\u2019])|'\d\ds(?!\w)", _as_it_is),
    ]


def _words() -> list[_Kind]:
    kept = "|".join(_ABBREVIATIONS.split())
    capital = "|".join(f"{name[0]}(?i:{name[1:]})" for name in _CAPITAL_ABBREVIATIONS.split())
    starts = "|".join(f"{word[0]}(?i:{re.escape(word[1:])})" for word in _SENTENCE_STARTS.split())
    numbered = "|".join(_ABBREVIATIONS_OF_NUMBERS.split())
    abbreviation = rf"(?:(?i:{kept})|{capital})\."
    first = rf"(?:{_ACRONYM}\.|[A-Za-z]\.|{abbreviation}|{_DOTTED}|{_PART}|\d+(?:[.,]\d+)+|\d+\.)"
    with_hyphens = rf"{_ALNUM}+(?:-{_ALNUM}+)*"
    return [
        _kind(rf"{_ACRONYM}\.?", _as_it_is),
        _kind(rf"(?P<token>[A-Za-z])\.\s+(?:{starts})\s", _as_it_is),
        _kind(r"[A-Za-z]\.|(?i:ph\.d\.)", _as_it_is),
        _kind(abbreviation, _as_it_is),
        _kind(rf"(?P<token>(?i:{numbered})\.)\s*\d", _as_it_is),
        _kind(rf"(?P<token>{_ALNUM}+\.)[,;:]", _clean),
        _kind(rf"{first}(?:-{_PART})*-{_ACRONYM}\.", _clean),
        _kind(rf"{first}(?:-{_PART})+", _clean),
        _kind(rf"{with_hyphens}(?:/{with_hyphens}){{1,2}}", _clean),
        _kind(r"[A-Z]+(?:(?:[&+]|&amp;)[A-Z]+)+", lambda word: [word.replace("&amp;", "&")]),
        _kind(r"[Cc]\+\+|[CcFf]\#", _as_it_is),
        _kind(rf"(?:{_DOTTED}|{_WORD})(?:[!?]{_WORD})+", _clean),
        _kind(_DOTTED, _clean),
        _kind(_PART, _clean),
    ]


def _numbers() -> list[_Kind]:
    return [
        _kind(rf"{_PHONE}", _joined),
        _kind(r"(?:\d{1,4}[- \xa0])?\d{1,4}[/\u2044]\d{1,4}", _joined),
        _kind(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}", _as_it_is),
        _kind(rf"[-+]?{_NUMBER}", _as_it_is),
        _kind(r"\d+(?:\.\d+)*\.[xX]", _as_it_is),
        _kind("[½¼¾⅓⅔]", lambda sign: [_FRACTIONS[sign]]),
    ]


def _symbols() -> list[_Kind]:
    return [
        _kind(r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])", _joined),
        _kind(rf"{_FACE_SIDE}_{_FACE_SIDE}|\({_FACE_SIDE}[_.]?{_FACE_SIDE}\)", _joined),
        _kind(r"[A-Z]+\$", _as_it_is),
        _kind(r"[!?]{2,}|\*+|_+|\#+|@+|<<|>>", _as_it_is),
        _kind(r"\\\*|-{5,}", _as_it_is),
        _kind(r"[()\[\]{}£€¢]", lambda sign: [_NAMES[sign]]),
        _kind(
            r"--+|\.{2,}|[-.?!,:;'\"`\u2010-\u2015\u2018\u2019\u201b-\u201d\u2026\u2039\u203a«»]",
            _drop,
        ),
        _kind(rf"[{_SYMBOLS}{_NO_DIGITS}]", _as_it_is),
    ]


_FRACTIONS = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_NAMES = {
    "(": "-lrb-",
    ")": "-rrb-",
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "£": "#",
    "€": "$",
    "¢": "cents",
}


def _kind(pattern: str, rewrite: Rewrite) -> _Kind:
    body = pattern if "(?P<token>" in pattern else f"(?P<token>{pattern})"
    return _Kind(re.compile(body), rewrite)


def _as_it_is(token: str) -> list[str]:
    return [token]


def _drop(_: str) -> list[str]:
    return []


def _clean(token: str) -> list[str]:
    return [token.replace("\u00ad", "")]


def _straight(token: str) -> list[str]:
    return [token.replace("\u2019", "'")]


def _joined(token: str) -> list[str]:
    """One token from text with blanks or brackets."""
    for bracket in "()":
        token = token.replace(bracket, _NAMES[bracket])
    return [token.replace(" ", "\xa0")]


def _split_word(token: str) -> list[str]:
    parts = next(word for word in _SPLIT_WORDS.split() if word.replace("|", "") == token.lower())
    return parts.split("|")
