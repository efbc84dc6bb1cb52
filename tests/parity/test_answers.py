"""Answers as Microsoft's own processor reads them, but for its named faults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from florence2.processing import grammar
from florence2.processing.tokenizer import Tokenizer
from florence2.results.tasks import find_task
from florence2.results.types import Result


class Fault(NamedTuple):
    """A fault of the released code: how it shows in a case, and what is answered instead."""

    name: str
    shows: Callable[[str, Any], bool]
    mended: Callable[[Any], Any]


def relabelled(pattern: str) -> Callable[[Any], Any]:
    """Drops ``pattern`` from the front of every label and leaves all else as it is."""
    return lambda answer: {
        **answer, "labels": [re.sub(pattern, "", label) for label in answer["labels"]]
    }  # fmt: skip


def any_label(pattern: str) -> Callable[[str, Any], bool]:
    return lambda _, answer: (
        isinstance(answer, dict)
        and any(re.match(pattern, label) for label in answer.get("labels", []))
    )


FAULTS = (
    Fault(
        "<pad> is left in a text: only <s> and </s> are taken out of it",
        lambda text, answer: isinstance(answer, str) and "<pad>" in text,
        lambda answer: answer.replace("<pad>", ""),
    ),
    Fault(
        "</s>, the decoder's start token, is read as part of the first line of text",
        any_label("</s>"),
        relabelled("^</s>"),
    ),
    Fault(
        "the last location of a box without a label is read as part of the next label",
        any_label(r"loc_\d+>"),
        relabelled(r"^loc_\d+>"),
    ),
    Fault(
        "a task marker in front of a label is read as part of it",
        any_label("od>"),
        relabelled("^od>"),
    ),
)


@pytest.fixture(scope="module")
def tokenizer(shared: Path) -> Tokenizer:
    return Tokenizer.from_file(shared / "goldens" / "tiny" / "tokenizer.json")


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[dict[str, Any]]:
    cases = json.loads((shared / "goldens" / "answers.json").read_text(encoding="utf-8"))
    assert isinstance(cases, list)
    return cases


def read(case: dict[str, Any], tokenizer: Tokenizer) -> Any:
    """The answer of a case in the form of the released processor."""
    task, size = find_task(case["task"]), tuple(case["image_size"])
    token_ids = tokenizer.encode(case["text"])
    answer = grammar.read(token_ids, task.answer, size, tokenizer, ascii_labels=True)
    return Result(task, task.prompt, answer, size).to_dict()[task.token]


def test_answers_are_the_released_ones(tokenizer: Tokenizer, cases: list[dict[str, Any]]) -> None:
    assert len(cases) == 210
    for case in cases:
        expected = case["expected"][case["task"]]
        for fault in FAULTS:
            if fault.shows(case["text"], expected):
                expected = fault.mended(expected)
        assert read(case, tokenizer) == expected, case["text"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_shows(fault: Fault, tokenizer: Tokenizer, cases: list[dict[str, Any]]) -> None:
    expected = [(case, case["expected"][case["task"]]) for case in cases]
    showing = [(case, answer) for case, answer in expected if fault.shows(case["text"], answer)]
    assert showing
    for case, answer in showing:
        assert read(case, tokenizer) != answer


def test_few_cases_need_a_fault(cases: list[dict[str, Any]]) -> None:
    answers = [(case["text"], case["expected"][case["task"]]) for case in cases]
    structured = [pair for pair in answers if isinstance(pair[1], dict)]
    faulty = [pair for pair in structured if any(fault.shows(*pair) for fault in FAULTS)]
    assert len(structured) == 112
    assert len(faulty) < 20
