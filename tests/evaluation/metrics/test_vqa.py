"""VQA accuracy, ANLS and exact match on examples worked out from the papers' definitions."""

from __future__ import annotations

import pytest

from florence2.evaluation.metrics.vqa import (
    anls_scores,
    exact_matches,
    normalize_textvqa,
    normalize_vqa,
    vqa_scores,
)


@pytest.mark.parametrize(
    ("agreeing", "score"),
    # k of 10 agree: k rounds leave one of them out, the other 10 - k leave all k in.
    [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)],
)
@pytest.mark.parametrize("protocol", ["vqav2", "textvqa", "vizwiz"])
def test_accuracy_leaves_one_person_out(agreeing: int, score: float, protocol: str) -> None:
    answers = ["red"] * agreeing + [f"color {index}" for index in range(10 - agreeing)]
    assert vqa_scores(["red"], [answers], protocol)[0] == pytest.approx(score)


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("The two dogs.", "2 dogs"),
        ("None", "0"),
        ("dont know", "don't know"),
        ("couldnt've", "couldn't've"),
        ("1,000", "1,000".replace(",", "")),
        ("3.5 miles", "3.5 miles"),
        ("black/white", "black white"),
        ("yes, it is!", "yes it is"),
        ("a\nb", "b"),
        ("t-shirt", "t shirt"),
        ("somebody'd", "somebodyd"),
    ],
)
def test_normalisation(raw: str, normal: str) -> None:
    assert normalize_vqa(raw) == normal


def test_textvqa_parts_the_possessive() -> None:
    assert normalize_textvqa("Joe's, bar?") == "joe 's bar"


def test_unanimous_answers_are_left_as_they_are() -> None:
    # The official script normalizes only where people differ.
    assert vqa_scores(["the dog"], [["dog"] * 10])[0] == 0
    assert vqa_scores(["the dog"], [["dog"] * 9 + ["cat"]])[0] == 1
    assert vqa_scores(["the dog"], [["dog"] * 10], "textvqa")[0] == 1
    assert vqa_scores(["Dog"], [["dog"] * 10])[0] == 1


@pytest.mark.parametrize(
    ("prediction", "answers", "score"),
    [
        ("Wallace", ["wallace"], 1),
        ("walace", ["wallace"], 1 - 1 / 7),
        ("wall", ["wallace"], 4 / 7),
        ("abcd", ["abxy"], 0.5),
        ("abc", ["wxyz"], 0),
        ("a  b", ["x", "A B"], 1),
        ("", ["a"], 0),
        ("", [""], 1),
    ],
)
def test_anls(prediction: str, answers: list[str], score: float) -> None:
    assert anls_scores([prediction], [answers])[0] == pytest.approx(score, abs=1e-12)


def test_exact_match() -> None:
    assert exact_matches(["A dog", "cat"], [["a  dog"], ["dog", "cow"]]).tolist() == [1, 0]


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="differ in length: 1 and 2"):
        vqa_scores(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="question 0 needs a list of answers, got 'red'"):
        vqa_scores(["red"], ["red"])
    with pytest.raises(ValueError, match="got 'gqa'"):
        vqa_scores(["red"], [["red"]], "gqa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"got \[\]"):
        anls_scores(["red"], [[]])
