from __future__ import annotations

from pathlib import Path

import pytest

from florence2.evaluation.prediction_log import Outcome, OutcomeFile, read_outcomes
from florence2.results.types import Boxes, Text

IDS = ("a", "b", "c")
GOOD = [
    Outcome("a", Text("one", 0.25)),
    Outcome("b", Boxes([[0, 0, 1, 1]], ["x"], (4, 4), [0.1]), truncated=True),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "answers.jsonl"
    with OutcomeFile(path, IDS) as file:
        for outcome in GOOD:
            file.append(outcome)
    return path


def test_lines_return(path: Path) -> None:
    assert list(read_outcomes(path, IDS).values()) == GOOD
    assert read_outcomes(path.with_name("none.jsonl"), IDS) == {}


@pytest.mark.parametrize("torn", [b"{", b'{"id": "c", "answer": {"text": "wh', b"\xff\xfe"])
def test_a_torn_last_line_is_passed_over_and_then_cut_off(path: Path, torn: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert set(read_outcomes(path, IDS)) == {"a", "b"}
    with OutcomeFile(path, IDS) as file:
        assert file.done == {"a", "b"}
        file.append(Outcome("c", Text("three")))
    assert path.read_bytes().startswith(whole)
    assert set(read_outcomes(path, IDS)) == {"a", "b", "c"}


def test_failures_are_tried_again(path: Path) -> None:
    with OutcomeFile(path, IDS) as file:
        file.append(Outcome("c", None, "cannot be read"))
    assert read_outcomes(path, IDS)["c"].failure == "cannot be read"
    with OutcomeFile(path, IDS) as file:
        assert file.done == {"a", "b"}
    assert set(read_outcomes(path, IDS)) == {"a", "b"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "z", "failure": "x"}', r"answers.jsonl:3: 'z' is no case of this run"),
        ('{"id": "a", "failure": "x"}', r"answers.jsonl:3: case 'a' is there twice"),
        ('{"id": "c", "answer": {"text": "t", "score": NaN}, "truncated": false}',
         r"answers.jsonl:3: .*score must be finite numbers, got nan"),
        ("[]", r"answers.jsonl:3: .*is no outcome of a case"),
        ("no json", r"answers.jsonl:3: .*is no outcome of a case"),
        ('{"id": "c", "answer": {"text": "t"}}', r"answers.jsonl:3: .*truncated"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(path: Path, line: str, message: str) -> None:
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=message):
        read_outcomes(path, IDS)
    with pytest.raises(ValueError, match=message):
        OutcomeFile(path, IDS)


def test_an_answer_that_is_not_finite_is_never_written(path: Path) -> None:
    before = path.read_bytes()
    with OutcomeFile(path, IDS) as file, pytest.raises(ValueError, match=r"'c'.*fp32"):
        file.append(Outcome("c", Text("t", float("nan"))))
    assert path.read_bytes() == before


def test_one_writer_at_a_time(path: Path) -> None:
    with OutcomeFile(path, IDS), pytest.raises(ValueError, match="another process writes"):
        OutcomeFile(path, IDS)
    with OutcomeFile(path, IDS) as file:
        assert file.done == {"a", "b"}
