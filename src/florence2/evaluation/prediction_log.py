"""The predictions of a run, one JSON line for each example.

A line is ``{"id": ..., "answer": {...}, "truncated": false}``, or ``{"id": ..., "failure": "..."}``
for a request that failed.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..io.atomic import JsonlAppender, complete_lines
from ..io.run_dir import RunDir
from ..results.json_form import answer_from_exact_json, answer_to_exact_json
from ..results.types import Answer


@dataclass(frozen=True)
class LoggedPrediction:
    """What a model predicted for the example ``id``, or why the request failed."""

    id: str
    answer: Answer | None
    failure: str | None = None
    truncated: bool = False


def log_path(directory: Path, shard: int, shards: int) -> Path:
    """The file that process ``shard`` of ``shards`` writes, counted from 0."""
    name = f"{shard:05}-of-{shards:05}.jsonl"
    # The name of release 0.1, in a directory where it is.
    old = directory / f"answers-{name}"
    return old if old.exists() else directory / f"predictions-{name}"


def read_predictions(path: Path, ids: Collection[str]) -> dict[str, LoggedPrediction]:
    """The predictions in a file by example, none without a file.

    A last line that was cut short is ignored. Raises ``ValueError`` with file and line for an
    invalid line, for numbers that are not finite, and for an example that is not among ``ids`` or
    occurs twice.
    """
    known = frozenset(ids)
    predictions: dict[str, LoggedPrediction] = {}
    for number, line in enumerate(complete_lines(path), 1):
        location = f"{path}:{number}"
        prediction = _parse(line, location)
        if prediction.id not in known:
            raise ValueError(
                f"{location}: {prediction.id!r} is not an example of this run but of another "
                "benchmark, split or part; choose another --out"
            )
        if prediction.id in predictions:
            raise ValueError(f"{location}: example {prediction.id!r} occurs twice; delete one line")
        predictions[prediction.id] = prediction
    return predictions


def open_log(run: RunDir, path: Path, ids: Collection[str]) -> tuple[JsonlAppender, frozenset[str]]:
    """The file of one process's predictions, open for appending, and the examples it has.

    Failures of an earlier call are removed, so that they are tried again. Raises ``ValueError``
    where ``read_predictions`` does, and when another process writes to the file.
    """
    predictions = read_predictions(path, ids)
    done = frozenset(each.id for each in predictions.values() if each.failure is None)
    return run.ledger(path.name, keep=lambda line: _parse(line, str(path)).failure is None), done


def to_line(prediction: LoggedPrediction) -> bytes:
    """One line in ASCII, which keeps any text, surrogates included.

    Raises ``ValueError`` for numbers that are not finite.
    """
    if prediction.answer is None:
        payload: dict[str, Any] = {
            "id": prediction.id,
            "failure": prediction.failure or "no answer",
        }
    else:
        try:
            answer = answer_to_exact_json(prediction.answer)
        except ValueError as error:
            raise ValueError(
                f"the prediction for example {prediction.id!r} cannot be scored: {error}; numbers "
                "overflow in the model: try --precision fp32"
            ) from error
        payload = {"id": prediction.id, "answer": answer, "truncated": prediction.truncated}
    return json.dumps(payload).encode("ascii") + b"\n"


def _parse(line: bytes, location: str) -> LoggedPrediction:
    try:
        payload = json.loads(line)
        if "failure" in payload:
            return LoggedPrediction(str(payload["id"]), None, str(payload["failure"]))
        answer = answer_from_exact_json(payload["answer"])
        return LoggedPrediction(str(payload["id"]), answer, None, bool(payload["truncated"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{location}: {line[:80]!r} is not a prediction ({error}); delete the line, and its "
            "example is predicted again"
        ) from error
