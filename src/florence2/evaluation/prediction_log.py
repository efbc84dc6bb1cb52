"""What became of the cases of a run: one JSON line each, appended so that a kill costs one line.

A line is ``{"id": ..., "answer": {...}, "truncated": false}``, or ``{"id": ..., "failure": "..."}``
for a case that could not be asked.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ..io.atomic import JsonlAppender, complete_lines, truncate_partial_line
from ..results.json_form import answer_from_exact_json, answer_to_exact_json
from ..results.types import Answer
from .locking import exclusive


@dataclass(frozen=True)
class Outcome:
    """What a model answered to the case ``id``, or why it could not be asked."""

    id: str
    answer: Answer | None
    failure: str | None = None
    truncated: bool = False


def file_name(shard: int, shards: int) -> str:
    """The name of the file that one of ``shards`` processes writes, counted from 0."""
    return f"answers-{shard:05}-of-{shards:05}.jsonl"


def read_outcomes(path: Path, ids: Collection[str]) -> dict[str, Outcome]:
    """The outcomes in a file by case, none where there is no file.

    A last line that was cut in the writing is passed over. Raises ``ValueError`` with file and line
    for what is no outcome, for numbers that are not finite, for a case that is not among ``ids``
    or is there twice.
    """
    known = frozenset(ids)
    outcomes: dict[str, Outcome] = {}
    for number, line in enumerate(complete_lines(path), 1):
        place = f"{path}:{number}"
        outcome = _read(line, place)
        if outcome.id not in known:
            raise ValueError(
                f"{place}: {outcome.id!r} is no case of this run: another benchmark, split or "
                "part? Choose another --out"
            )
        if outcome.id in outcomes:
            raise ValueError(f"{place}: case {outcome.id!r} is there twice; delete one line")
        outcomes[outcome.id] = outcome
    return outcomes


class OutcomeFile:
    """Appends the outcomes of one process's cases to ``path``; ``done`` names those there already.

    Of an earlier run, answers are kept; a torn last line is cut off and failures are taken out, so
    that they are tried again. Raises ``ValueError`` where ``read_outcomes`` does, and when another
    process writes to the file.
    """

    def __init__(self, path: Path, ids: Collection[str]) -> None:
        self._locks = ExitStack()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._locks.enter_context(exclusive(path.with_name(f".{path.name}.lock"))):
            raise ValueError(f"another process writes to {path}; wait for it, or end it")
        try:
            outcomes = read_outcomes(path, ids)
            self.done = frozenset(each.id for each in outcomes.values() if each.failure is None)
            pairs = zip(complete_lines(path), outcomes.values(), strict=True)
            truncate_partial_line(
                path, [line for line, outcome in pairs if outcome.failure is None]
            )
            self._file = JsonlAppender(path)
        except BaseException:
            self._locks.close()
            raise

    def __enter__(self) -> OutcomeFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, traceback)
        self._locks.close()

    def append(self, outcome: Outcome) -> None:
        """Write one line in one piece. When the disk refuses a part, none of it stays."""
        self._file.append(_line(outcome))


def _line(outcome: Outcome) -> bytes:
    """Plain ASCII, so that any text returns as it was, half a surrogate pair too."""
    if outcome.answer is None:
        form: dict[str, Any] = {"id": outcome.id, "failure": outcome.failure or "no answer"}
    else:
        try:
            answer = answer_to_exact_json(outcome.answer)
        except ValueError as error:
            raise ValueError(
                f"the answer to case {outcome.id!r} cannot be scored: {error}; numbers overflow "
                "in the model: try --precision fp32"
            ) from error
        form = {"id": outcome.id, "answer": answer, "truncated": outcome.truncated}
    return json.dumps(form).encode("ascii") + b"\n"


def _read(line: bytes, place: str) -> Outcome:
    try:
        form = json.loads(line)
        if "failure" in form:
            return Outcome(str(form["id"]), None, str(form["failure"]))
        answer = answer_from_exact_json(form["answer"])
        return Outcome(str(form["id"]), answer, None, bool(form["truncated"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{place}: {line[:80]!r} is no outcome of a case ({error}); delete the line, and its "
            "case is asked again"
        ) from error
