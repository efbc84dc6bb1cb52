"""The grammar of answers: both ways, damaged and unfinished ids, scores."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import florence2
from florence2.processing.grammar import STOP_PHRASES, read, write
from florence2.processing.tokenizer import Tokenizer
from florence2.results.locations import dequantize, quantize
from florence2.results.tasks import AnswerKind
from florence2.results.types import Answer, Boxes, ImageSize, Polygons, Quads, Text

TOKENIZER = Tokenizer.from_file(Path(florence2.__file__).parent / "nano" / "tokenizer.json")
KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
THOUSAND = (1000, 1000)

SIZES = st.tuples(st.integers(1, 8000), st.integers(1, 8000))
COORDINATES = st.floats(-50, 9000, width=32)
POINTS = st.tuples(COORDINATES, COORDINATES)
BOXES = st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES)
LABELS = st.one_of(
    st.sampled_from(["car", "door handle", "a<b", "two\nlines", "café", "日本", "<loc_5>", "</s>"]),
    st.text(min_size=1, max_size=12),
).filter(lambda label: bool(label.strip()))
PHRASES = LABELS.filter(lambda label: label.strip() not in STOP_PHRASES)


@st.composite
def regions(
    draw: st.DrawFn, shape: st.SearchStrategy[Any], labels: st.SearchStrategy[str]
) -> tuple[list[Any], list[str], ImageSize]:
    pairs = draw(st.lists(st.tuples(shape, labels), max_size=6))
    return [each for each, _ in pairs], [label for _, label in pairs], draw(SIZES)


def polygons(labels: st.SearchStrategy[str], least: int) -> st.SearchStrategy[Polygons]:
    parts = st.lists(st.lists(POINTS, min_size=1, max_size=7), min_size=1, max_size=3)
    found = regions(parts, labels).filter(lambda drawn: len(drawn[0]) >= least)
    return found.map(lambda drawn: Polygons(*drawn))


def quads(labels: st.SearchStrategy[str]) -> st.SearchStrategy[Quads]:
    return regions(st.lists(POINTS, min_size=4, max_size=4), labels).map(
        lambda drawn: Quads(*drawn)
    )


def boxes(labels: st.SearchStrategy[str]) -> st.SearchStrategy[Boxes]:
    return regions(BOXES, labels).map(lambda drawn: Boxes(*drawn))


TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from(["car", " ", "<loc_0>", "<loc_999>", "<s>"])).map("".join)
)
ANSWERS: dict[AnswerKind, st.SearchStrategy[Answer]] = {
    "text": TEXTS.map(Text),
    "boxes": boxes(LABELS),
    "phrases": boxes(PHRASES),
    "proposals": boxes(st.just("")),
    "quads": quads(LABELS),
    "polygons": polygons(st.just(""), 0),
    "boxes_or_polygons": st.one_of(boxes(LABELS), polygons(LABELS, 1)),
}


def quantised(answer: Answer) -> Answer:
    """The answer that tokens can hold: coordinates at the centers of bins, labels stripped."""
    if isinstance(answer, Text):
        return answer

    def centres(values: Any) -> Any:
        return dequantize(quantize(values, answer.image_size), answer.image_size)

    labels = tuple(label.strip() for label in answer.labels)
    if isinstance(answer, Boxes):
        return replace(answer, xyxy=centres(answer.xyxy), labels=labels)
    if isinstance(answer, Quads):
        return replace(answer, corners=centres(answer.corners), labels=labels)
    parts = tuple(tuple(map(centres, each)) for each in answer.polygons)
    return replace(answer, polygons=parts, labels=labels)


def said(*pieces: str | int, end: bool = True) -> list[int]:
    """Ids as a model gives them: the start token, ``<s>``, words and locations, ``</s>``."""
    ids = [TOKENIZER.eos, TOKENIZER.bos]
    for piece in pieces:
        is_bin = isinstance(piece, int)
        ids += [TOKENIZER.first_location + piece] if is_bin else TOKENIZER.encode(str(piece))
    return [*ids, TOKENIZER.eos] if end else ids


def read_thousand(kind: AnswerKind, *pieces: str | int, **options: Any) -> Any:
    return read(said(*pieces), kind, THOUSAND, TOKENIZER, **options)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_what_is_written_reads_back_quantised(kind: AnswerKind, data: st.DataObject) -> None:
    answer = data.draw(ANSWERS[kind])
    ids = write(answer, kind, TOKENIZER)
    assert ids[0] == TOKENIZER.bos and ids[-1] == TOKENIZER.eos
    size = THOUSAND if isinstance(answer, Text) else answer.image_size
    for before in ([], [TOKENIZER.eos], [TOKENIZER.eos, TOKENIZER.bos, TOKENIZER.bos]):
        again = read([*before, *ids, TOKENIZER.pad], kind, size, TOKENIZER)
        assert again == quantised(answer)


def some_ids() -> st.SearchStrategy[list[int]]:
    first = TOKENIZER.first_location
    shape = [TOKENIZER.separator, TOKENIZER.polygon_open, TOKENIZER.polygon_close]
    likely = st.one_of(
        st.integers(first, first + 999),
        st.sampled_from([*shape, TOKENIZER.bos, TOKENIZER.eos, TOKENIZER.pad]),
        st.sampled_from(TOKENIZER.encode_plain("two dogs<and>the image")),
        st.integers(0, TOKENIZER.vocab_size - 1),
    )
    return st.one_of(st.lists(likely, max_size=80), st.lists(st.integers(-(2**70), 2**70)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300, deadline=None)
@given(ids=some_ids(), truncated=st.booleans(), ascii_labels=st.booleans())
def test_any_ids_are_an_answer(
    kind: AnswerKind, ids: list[int], truncated: bool, ascii_labels: bool
) -> None:
    logprobs = [-0.5] * len(ids)
    answer = read(
        ids, kind, (640, 480), TOKENIZER,
        token_logprobs=logprobs, truncated=truncated, ascii_labels=ascii_labels,
    )  # fmt: skip
    if isinstance(answer, Text):
        return
    assert answer.scores is not None and len(answer.scores) == len(answer)
    assert np.allclose(answer.scores, math.exp(-0.5))
    assert answer.bounds.min(initial=0) >= 0 and answer.bounds.max(initial=0) < 640


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=300, deadline=None)
@given(ids=some_ids())
def test_what_is_read_can_be_written(kind: AnswerKind, ids: list[int]) -> None:
    answer = read(ids, kind, (640, 480), TOKENIZER)
    blank = not isinstance(answer, Text) and "" in answer.labels
    if blank and kind not in ("proposals", "polygons"):
        return  # words of white space alone: the released processor has them as empty labels
    if isinstance(answer, Polygons) and kind == "boxes_or_polygons" and not len(answer):
        answer = Boxes([], (), answer.image_size)
    assert read(write(answer, kind, TOKENIZER), kind, (640, 480), TOKENIZER) == answer


def test_boxes_of_one_label_share_it() -> None:
    answer = Boxes([[0, 0, 500.5, 500.5]] * 3, ("car", "car ", "dog"), THOUSAND)
    first = TOKENIZER.first_location
    box = [first, first, first + 500, first + 500]
    car, dog = TOKENIZER.encode_plain("car"), TOKENIZER.encode_plain("dog")
    expected = [TOKENIZER.bos, *car, *box, *box, *dog, *box, TOKENIZER.eos]
    assert write(answer, "boxes", TOKENIZER) == expected


def test_polygons_are_written_as_released() -> None:
    def shown(parts: list[Any], kind: AnswerKind = "polygons", label: str = "") -> str:
        answer = Polygons(parts, [label] * len(parts), THOUSAND)
        text = TOKENIZER.decode(write(answer, kind, TOKENIZER))
        return text.replace("loc_", "")

    one, two = [[(1, 2), (3, 4)]], [[(1, 2), (3, 4)], [(5, 6)]]
    assert shown([one]) == "<s><1><2><3><4></s>"
    assert shown([two]) == "<s><1><2><3><4><sep><5><6></s>"
    assert shown([one, two]) == (
        "<s><poly><1><2><3><4></poly><poly><1><2><3><4><sep><5><6></poly></s>"
    )
    assert shown([one, one], "boxes_or_polygons", "cat") == (
        "<s>cat<poly><1><2><3><4></poly><poly><1><2><3><4></poly></s>"
    )
    # Two tokens alone are too few for the released parser.
    assert shown([[[(1, 2)]]]) == "<s><poly><1><2></poly></s>"


@pytest.mark.parametrize(
    ("answer", "kind", "said_of_it"),
    [
        (Text("words"), "boxes", "'boxes' cannot be Text"),
        (Boxes([[0, 0, 1, 1]], ["car"], (2, 2)), "quads", "'quads' cannot be Boxes"),
        (Boxes([[0, 0, 1, 1]], ["car"], (2, 2)), "proposals", r"\['car'\]"),
        (Boxes([[0, 0, 1, 1]], [" "], (2, 2)), "boxes", "not blank"),
        (Boxes([[0, 0, 1, 1]], ["the image"], (2, 2)), "phrases", "'the image'"),
        (Boxes([[0, 0, math.nan, 1]], ["car"], (2, 2)), "boxes", "finite"),
        (Quads([[[0, 0]] * 4], [""], (2, 2)), "quads", "not blank"),
        (Polygons([[[(0, 0)]]], ["car"], (2, 2)), "polygons", r"\['car'\]"),
        (Polygons([[[(0, 0)]]], [""], (2, 2)), "boxes_or_polygons", "not blank"),
        (Polygons([[]], [""], (2, 2)), "polygons", "with points"),
        (Polygons([[[(0, 0)], []]], [""], (2, 2)), "polygons", "with points"),
    ],
)
def test_what_would_not_read_back_is_refused(
    answer: Answer, kind: AnswerKind, said_of_it: str
) -> None:
    with pytest.raises(ValueError, match=said_of_it):
        write(answer, kind, TOKENIZER)


def test_bin_1000_is_no_location() -> None:
    assert read_thousand("boxes", "sky", 0, 0, "<loc_1000>", 300).labels == ()


@pytest.mark.parametrize(
    ("kind", "pieces", "labels"),
    [
        # Boxes without a label, before a labeled one and alone.
        ("boxes", (1, 2, 3, 4, "cat", 1, 2, 3, 4), ("cat",)),
        ("phrases", (1, 2, 3, 4), ()),
        # Labels that the released patterns cannot hold.
        ("boxes", ("a<b", 1, 2, 3, 4, "two\nlines", 1, 2, 3, 4), ("a<b", "two\nlines")),
        ("quads", ("two\nlines", *range(8)), ("two\nlines",)),
        # Task markers beside a label.
        ("boxes", ("<od>car", 1, 2, 3, 4, "dog</od>", 1, 2, 3, 4), ("car", "dog")),
        # The ninth location belongs to no quad, and to no label either.
        ("quads", ("a", *range(9), "b", *range(8)), ("a", "b")),
        ("quads", ("a", *range(16)), ("a",)),
        ("quads", ("a", *range(7), "b", *range(8)), ("b",)),
        # A marker parts locations: no box is made of two rests.
        ("boxes", ("cat", 1, 2, "<sep>", 3, 4), ()),
        ("proposals", ("cat", 1, 2, 3, 4, 5, "dog", 1, 2, 3), ("",)),
        # One <poly> makes all polygons.
        ("boxes_or_polygons", ("cat", 1, 2, 3, 4, "dog<poly>", 1, 2, "</poly>"), ("cat", "dog")),
        # Fewer than four tokens are no polygon; neither are separators alone.
        ("polygons", (1, 2), ()),
        ("polygons", (1, "<sep><sep><sep>"), ()),
        ("polygons", ("he", 1, 2, 3, 4, 5, 6), ("",)),
        # Locations outside a closed pair.
        ("polygons", (9, 9, "<poly>", 1, 2, 3, 4, "</poly>", 9, 9, "<poly>", 9), ("",)),
    ],
)
def test_odd_answers(kind: AnswerKind, pieces: tuple[str | int, ...], labels: Any) -> None:
    assert read_thousand(kind, *pieces).labels == labels


def test_the_answer_ends_at_the_first_end() -> None:
    ids = [*said("cat"), *TOKENIZER.encode("dog"), TOKENIZER.eos]
    assert read(ids, "text", THOUSAND, TOKENIZER) == Text("cat")
    ids = [TOKENIZER.eos, TOKENIZER.bos, TOKENIZER.bos, TOKENIZER.bos, *said(" cat \n")[2:]]
    assert read([*ids, TOKENIZER.pad], "text", THOUSAND, TOKENIZER) == Text(" cat \n")
    assert read([], "text", THOUSAND, TOKENIZER) == Text("")


def test_ascii_labels_leave_text_lines_and_polygons_alone() -> None:
    assert read_thousand("boxes", "日本", 1, 2, 3, 4, ascii_labels=True).labels == ("",)
    assert read_thousand("quads", "déjà", *range(8), ascii_labels=True).labels == ("déjà",)
    pieces = ("déjà<poly>", 1, 2, "</poly>")
    assert read_thousand("boxes_or_polygons", *pieces, ascii_labels=True).labels == ("déjà",)
    # What names nothing is judged before characters are dropped.
    assert read_thousand("phrases", "ité", 1, 2, 3, 4, ascii_labels=True).labels == ("it",)


@pytest.mark.parametrize(
    ("kind", "pieces", "whole", "cut"),
    [
        ("boxes", ("car", 1, 2, 3, 4, 5, 6), 1, 1),
        ("boxes", ("car", 1, 2, 3, 4, "do"), 1, 1),
        ("proposals", (1, 2, 3, 4, 5, 6, 7), 1, 1),
        ("quads", ("a", *range(8), "b", *range(5)), 1, 1),
        ("quads", ("a", *range(8)), 1, 1),
        ("polygons", ("<poly>", 1, 2, 3, 4, "</poly><poly>", 1, 2, 3, 4), 1, 1),
        ("polygons", ("<poly>", 1, 2, 3, 4, "<sep>", 1, 2), 2, 0),
        ("polygons", ("<poly>", 1, 2, 3, 4, "</poly>"), 1, 1),
        ("polygons", (1, 2, 3, 4, 5, 6), 1, 0),
        ("polygons", (1, 2, 3, 4, "<sep>", 5, 6), 2, 1),
        ("polygons", (1, 2, 3, 4, "<sep>"), 1, 1),
        ("boxes_or_polygons", ("cat<poly>", 1, 2, "</poly>dog<poly>", 1, 2, 3, 4), 2, 1),
        ("boxes_or_polygons", ("cat<poly>", 1, 2, "</poly>do"), 1, 1),
    ],
)
def test_unfinished_polygons_are_kept_out(
    kind: AnswerKind, pieces: tuple[str | int, ...], whole: int, cut: int
) -> None:
    def count(truncated: bool) -> int:
        answer = read_thousand(kind, *pieces, truncated=truncated)
        return sum(map(len, answer.polygons)) if isinstance(answer, Polygons) else len(answer)

    assert (count(False), count(True)) == (whole, cut)


def test_scores_are_of_the_tokens_own_positions() -> None:
    """Several ``<s>`` lead, surplus locations follow: no score takes a token of another item."""
    car, dog = TOKENIZER.encode_plain("car"), TOKENIZER.encode_plain("dog")
    first = TOKENIZER.first_location
    lead = [TOKENIZER.eos, TOKENIZER.bos, TOKENIZER.bos, TOKENIZER.bos]
    ids = [*lead, *car, *[first] * 4, *[first] * 4, first, *dog, *[first] * 4, TOKENIZER.eos]
    logprobs = [
        0.0, 0.0, -9.0, -9.0, *[-0.7] * len(car), -0.1, -0.2, -0.3, -0.4, *[-0.5] * 4, -8.0,
        *[-0.9] * len(dog), 0.0, -0.4, 0.0, -0.4, -7.0,
    ]  # fmt: skip
    answer = read(ids, "boxes", THOUSAND, TOKENIZER, token_logprobs=logprobs)
    expected = Boxes(
        np.full((3, 4), 0.5), ("car", "car", "dog"), THOUSAND,
        np.exp([-0.25, -0.5, -0.2]), np.exp([-0.7, -0.7, -0.9]),
    )  # fmt: skip
    assert answer.labels == expected.labels
    assert np.allclose(answer.scores, expected.scores)
    assert np.allclose(answer.label_scores, expected.label_scores)


def test_scores_of_the_other_kinds() -> None:
    ids = said("<poly>", 1, 2, 3, "<sep>", 4, 5, "</poly>")
    logprobs = [-9.0, -9.0, -9.0, -0.1, -0.3, -9.0, -9.0, -0.2, -0.6, -9.0, -9.0]
    mask = read(ids, "polygons", THOUSAND, TOKENIZER, token_logprobs=logprobs)
    assert np.allclose(mask.scores, [math.exp(-0.3)]) and mask.label_scores is None

    ids = said("a", *range(8))
    logprobs = [-9.0, -9.0, -0.4, *[-0.2] * 4, *[-0.4] * 4, -9.0]
    line = read(ids, "quads", THOUSAND, TOKENIZER, token_logprobs=logprobs)
    assert np.allclose(line.scores, [math.exp(-0.3)])
    assert np.allclose(line.label_scores, [math.exp(-0.4)])

    ids = said("cat", 5)
    logprobs = [-9.0] * 2 + [-0.5] * (len(ids) - 3) + [-9.0]
    text = read(ids, "text", THOUSAND, TOKENIZER, token_logprobs=logprobs)
    assert text.text == "cat<loc_5>" and text.score == pytest.approx(math.exp(-0.5))
    assert read([], "text", THOUSAND, TOKENIZER, token_logprobs=[]) == Text("", 1.0)
    assert read(ids, "text", THOUSAND, TOKENIZER).score is None


def test_another_number_of_log_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match="2 ids need as many log-probabilities, got 1"):
        read([0, 2], "boxes", THOUSAND, TOKENIZER, token_logprobs=[0.0])


def test_the_list_of_empty_phrases_is_the_released_one() -> None:
    assert len(STOP_PHRASES) == 72
    assert {"it", "the image", "a set", "I"} <= STOP_PHRASES
    assert not {"It", "i", "The image"} & STOP_PHRASES
