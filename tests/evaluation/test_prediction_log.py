from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from florence2.evaluation.eval_settings import EVALUATION_RUN
from florence2.evaluation.prediction_log import (
    LoggedPrediction,
    log_path,
    open_log,
    read_predictions,
    to_line,
)
from florence2.io.atomic import JsonlAppender
from florence2.io.run_dir import RunDir
from florence2.results.types import Boxes, Text

IDS = ("a", "b", "c")
GOOD = [
    LoggedPrediction("a", Text("one", 0.25)),
    LoggedPrediction("b", Boxes([[0, 0, 1, 1]], ["x"], (4, 4), [0.1]), truncated=True),
]


@contextmanager
def opened(path: Path) -> Iterator[tuple[JsonlAppender, frozenset[str]]]:
    """The log at ``path`` for appending, in a directory that processes share."""
    with RunDir.open(path.parent, {"benchmark": "x"}, EVALUATION_RUN, lock=False) as run:
        yield open_log(run, path, IDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "log.jsonl"
    with opened(path) as (log, _):
        for prediction in GOOD:
            log.append(to_line(prediction))
    return path


def test_lines_return(path: Path) -> None:
    assert list(read_predictions(path, IDS).values()) == GOOD
    assert read_predictions(path.with_name("none.jsonl"), IDS) == {}


@pytest.mark.parametrize("torn", [b"{", b'{"id": "c", "answer": {"text": "wh', b"\xff\xfe"])
def test_a_torn_last_line_is_ignored_and_then_removed(path: Path, torn: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert set(read_predictions(path, IDS)) == {"a", "b"}
    with opened(path) as (log, done):
        assert done == {"a", "b"}
        log.append(to_line(LoggedPrediction("c", Text("three"))))
    assert path.read_bytes().startswith(whole)
    assert set(read_predictions(path, IDS)) == {"a", "b", "c"}


def test_failures_are_tried_again(path: Path) -> None:
    with opened(path) as (log, _):
        log.append(to_line(LoggedPrediction("c", None, "cannot be read")))
    assert read_predictions(path, IDS)["c"].failure == "cannot be read"
    with opened(path) as (_, done):
        assert done == {"a", "b"}
    assert set(read_predictions(path, IDS)) == {"a", "b"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "z", "failure": "x"}', r"log.jsonl:3: 'z' is not an example of this run"),
        ('{"id": "a", "failure": "x"}', r"log.jsonl:3: example 'a' occurs twice"),
        ('{"id": "c", "answer": {"text": "t", "score": NaN}, "truncated": false}',
         r"log.jsonl:3: .*score must be finite"),
        ("[]", r"log.jsonl:3: .*is not a prediction"),
        ("no json", r"log.jsonl:3: .*is not a prediction"),
        ('{"id": "c", "answer": {"text": "t"}}', r"log.jsonl:3: .*truncated"),
    ],
)  # fmt: skip
def test_an_invalid_line_is_named(path: Path, line: str, message: str) -> None:
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ValueError, match=message):
        read_predictions(path, IDS)
    with pytest.raises(ValueError, match=message), opened(path):
        pass


def test_an_answer_that_is_not_finite_has_no_line() -> None:
    with pytest.raises(ValueError, match=r"'c'.*fp32"):
        to_line(LoggedPrediction("c", Text("t", float("nan"))))


def test_one_writer_at_a_time(path: Path) -> None:
    with (
        opened(path),
        pytest.raises(ValueError, match="another process writes"),
        opened(path),
    ):
        pass
    with opened(path) as (_, done):
        assert done == {"a", "b"}


def test_a_log_of_release_0_1_keeps_its_name(tmp_path: Path) -> None:
    assert log_path(tmp_path, 0, 2).name == "predictions-00000-of-00002.jsonl"
    (tmp_path / "answers-00000-of-00002.jsonl").write_bytes(b"")
    assert log_path(tmp_path, 0, 2).name == "answers-00000-of-00002.jsonl"
    assert log_path(tmp_path, 1, 2).name == "predictions-00001-of-00002.jsonl"
