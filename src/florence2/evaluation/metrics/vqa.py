"""Visual question answering: VQA accuracy, ANLS and exact match.

Each function returns one score per question; the metric is the mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .edit_distance import edit_distance
from .input_checks import check_not_empty, check_same_length

Protocol = Literal["vqav2", "textvqa", "vizwiz"]
FloatArray = NDArray[np.float64]

_NUMBERS = {
    "none": "0",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
# Words in which the official script restores a missing apostrophe.
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't
    mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've
    should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
    someone'll someone's something'd something'd've something'll that's there'd there'd've there're
    there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll
    what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll
    why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll
    you're you've
"""


def vqa_scores(
    predictions: Sequence[str],
    answers: Sequence[Sequence[str]],
    protocol: Protocol = "vqav2",
) -> FloatArray:
    """VQA accuracy ``float[questions]`` (Antol et al. 2015; Goyal et al. 2017).

    A prediction that equals the answers of k people scores ``min(k / 3, 1)``, averaged over leaving
    out each person in turn. ``"vqav2"`` and ``"vizwiz"`` normalize as the VQA script does, which
    changes nothing where all people agree; ``"textvqa"`` always normalizes.
    """
    check_not_empty(predictions, "questions")
    check_same_length(predictions, answers, "predictions and sets of answers")
    scores = np.zeros(len(predictions))
    for index, (prediction, given) in enumerate(zip(predictions, answers, strict=True)):
        if not given or isinstance(given, str):
            raise ValueError(f"question {index} needs a list of answers, got {given!r}")
        guess, people = _comparable(prediction, given, protocol)
        agreeing = np.asarray([person == guess for person in people])
        others = agreeing.sum() - agreeing
        scores[index] = np.minimum(others / 3, 1).mean()
    return scores


def anls_scores(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], threshold: float = 0.5
) -> FloatArray:
    """ANLS ``float[questions]``: one minus the edit distance over the longer text's length, of the
    best answer.

    Case and runs of white space do not matter. A similarity below ``threshold`` scores 0; one equal
    to it is kept, as by the DocVQA server (equation 1 of Biten et al. 2019 drops it).
    """
    check_not_empty(predictions, "questions")
    check_same_length(predictions, answers, "predictions and sets of answers")
    scores = np.zeros(len(predictions))
    for index, (prediction, given) in enumerate(zip(predictions, answers, strict=True)):
        if not given or isinstance(given, str):
            raise ValueError(f"question {index} needs a list of answers, got {given!r}")
        best = max(_similarity(prediction, answer) for answer in given)
        scores[index] = best if best >= threshold else 0.0
    return scores


def exact_matches(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> FloatArray:
    """1 or 0 ``float[questions]``: whether an answer equals the prediction, but for case and
    spaces."""
    check_not_empty(predictions, "questions")
    check_same_length(predictions, answers, "predictions and sets of answers")
    return np.asarray(
        [
            float(_fold(prediction) in {_fold(answer) for answer in given})
            for prediction, given in zip(predictions, answers, strict=True)
        ]
    )


def normalize_vqa(answer: str) -> str:
    """The answer as the VQA script compares it: without punctuation and articles, with digits."""
    return _normalize_words(_strip_punctuation(_one_line(answer)))


def normalize_textvqa(answer: str) -> str:
    """The answer as TextVQA's scorer compares it: the possessive is a word of its own."""
    folded = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return normalize_vqa(folded)


def _comparable(prediction: str, given: Sequence[str], protocol: str) -> tuple[str, list[str]]:
    if protocol == "textvqa":
        return normalize_textvqa(prediction), [normalize_textvqa(answer) for answer in given]
    if protocol not in ("vqav2", "vizwiz"):
        raise ValueError(f"protocol must be 'vqav2', 'textvqa' or 'vizwiz', got {protocol!r}")
    people = [_one_line(answer) for answer in given]
    if len(set(people)) == 1:
        return _one_line(prediction).lower(), [person.lower() for person in people]
    return normalize_vqa(prediction), [normalize_vqa(person) for person in people]


def _one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _strip_punctuation(text: str) -> str:
    """Text without punctuation: a mark beside a space is removed, others become a space.

    In a text with a number such as 1,000 all marks are removed. Periods stay before digits.
    """
    has_number = _COMMA_IN_NUMBER.search(text) is not None
    stripped = text
    for mark in _PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        stripped = stripped.replace(mark, "" if beside_space or has_number else " ")
    return _FULL_STOP.sub("", stripped)


def _normalize_words(text: str) -> str:
    words = [_NUMBERS.get(word, word) for word in text.lower().split()]
    apostrophes = _missing_apostrophes()
    return " ".join(apostrophes.get(word, word) for word in words if word not in _ARTICLES)


@cache
def _missing_apostrophes() -> dict[str, str]:
    """Each contraction by its spellings that lack one apostrophe."""
    spellings = {
        whole[:index] + whole[index + 1 :]: whole
        for whole in _CONTRACTIONS.split()
        for index, character in enumerate(whole)
        if character == "'"
    }
    # The official table reverses this entry, and published scores depend on it.
    return spellings | {"somebody'd": "somebodyd"}


def _similarity(prediction: str, answer: str) -> float:
    length = max(len(prediction), len(answer))
    distance = edit_distance(_fold(prediction), _fold(answer))
    return 1 - distance / length if length else 1.0


def _fold(text: str) -> str:
    return " ".join(text.lower().split())
