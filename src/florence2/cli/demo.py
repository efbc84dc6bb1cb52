"""``florence2 demo``: every task on the bundled picture with the bundled model, no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from ..io.atomic import atomic_replace
from ..io.messages import format_count
from ..results.tasks import TASKS
from ..results.types import Answer, Failure, Text
from ..workflows.labeling.label_requests import Question, QuestionInput
from .errors import user_errors
from .loading import load_model
from .sheet import Tile, make_sheet

SHEET = "demo.png"
# The demonstration is to end in seconds, whatever a small model rambles on about.
LONGEST_ANSWER = 160


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the sheet of annotated pictures.")
    ] = Path("florence2-demo"),
) -> None:
    """Run every task on the bundled picture, a scene that the model never saw.

    The model is the bundled one, nano; no network is needed.
    """
    with user_errors():
        tiles = list(_answer_all())
        content = BytesIO()
        make_sheet(tiles).save(content, "PNG")
        atomic_replace(out / SHEET, content.getvalue())
        typer.echo(f"\nannotated pictures: {out / SHEET}")


def _answer_all() -> Iterator[Tile]:
    """Print the answer to each task as it comes, and yield it with its picture."""
    model = load_model("nano")
    questions = bundled_questions()
    with as_file(files("florence2") / "nano" / "demo.png") as picture:
        requests = [question.request(str(picture)) for question in questions]
        outcomes = model.stream(requests, max_new_tokens=LONGEST_ANSWER)
        for question, outcome in zip(questions, outcomes, strict=True):
            if isinstance(outcome, Failure):
                raise ValueError(f"{outcome.source}: {outcome.error}")
            words = _words(outcome.answer) + (" (cut at the limit)" if outcome.truncated else "")
            typer.echo(f"{question.task.token:<38} {words}")
            yield Tile(outcome.draw(), question.task.token, words)


def bundled_questions() -> list[Question]:
    """Every task with what it is asked about the bundled picture."""
    text = (files("florence2") / "nano" / "demo.json").read_text("utf-8")
    inputs: dict[str, str | list[float]] = json.loads(text)["questions"]
    return [Question(task, _input(inputs.get(task.token))) for task in TASKS]


def _input(value: str | list[float] | None) -> QuestionInput:
    if not isinstance(value, list):
        return value
    x0, y0, x1, y1 = value
    return (x0, y0, x1, y1)


def _words(answer: Answer) -> str:
    """The answer in one line."""
    if isinstance(answer, Text):
        return answer.plain_text or "(nothing)"
    names = ", ".join(label for label in answer.labels if label)
    plural = type(answer).__name__.lower()
    singular = "box" if plural == "boxes" else plural.removesuffix("s")
    found = format_count(len(answer), singular, plural)
    return f"{found}: {names}" if names else found
