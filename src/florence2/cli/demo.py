"""``florence2 demo``: every task on the bundled picture with the bundled model, no network."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from ..durable import replace_file
from ..results import Answer, Failure, Text
from ..tasks import TASKS
from .errors import mendable_errors
from .questions import Question, QuestionInput
from .run import UNTRAINED_NOTICE
from .sheet import Tile, make_sheet

SHEET = "demo.png"
# What is in the bundled picture, for the tasks that want to be told.
INPUTS: dict[str, QuestionInput] = {
    "<CAPTION_TO_PHRASE_GROUNDING>": "a red car parked in front of a house",
    "<REFERRING_EXPRESSION_SEGMENTATION>": "the red car",
    "<REGION_TO_SEGMENTATION>": (466.0, 110.0, 630.0, 330.0),
    "<OPEN_VOCABULARY_DETECTION>": ("ball", "car"),
    "<REGION_TO_CATEGORY>": (62.0, 308.0, 274.0, 409.0),
    "<REGION_TO_DESCRIPTION>": (130.0, 108.0, 396.0, 333.0),
    "<REGION_TO_OCR>": (389.0, 276.0, 485.0, 327.0),
}
# The demonstration is to end in seconds, whatever an untrained model rambles on about.
LONGEST_ANSWER = 64


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the sheet of annotated pictures.")
    ] = Path("florence2-demo"),
) -> None:
    """Run every task on the bundled picture.

    The model is the bundled one, nano; no network is needed.
    """
    with mendable_errors():
        tiles = list(_answer_all())
        content = BytesIO()
        make_sheet(tiles).save(content, "PNG")
        replace_file(out / SHEET, content.getvalue())
        typer.echo(f"\nannotated pictures: {out / SHEET}")


def _answer_all() -> Iterator[Tile]:
    """Print the answer to each task as it comes, and yield it with its picture."""
    from ..predictor import load

    model = load("nano")
    if not model.trained:
        typer.echo(f"florence2: {UNTRAINED_NOTICE}", err=True)
    questions = [Question(task, INPUTS.get(task.token)) for task in TASKS]
    with as_file(files("florence2") / "nano" / "demo.png") as picture:
        requests = [question.request(str(picture)) for question in questions]
        outcomes = model.stream(requests, max_new_tokens=LONGEST_ANSWER)
        for question, outcome in zip(questions, outcomes, strict=True):
            if isinstance(outcome, Failure):
                raise ValueError(f"{outcome.source}: {outcome.error}")
            words = _words(outcome.answer) + (" (cut at the limit)" if outcome.truncated else "")
            typer.echo(f"{question.task.token:<38} {words}")
            yield Tile(outcome.draw(), question.task.token, words)


def _words(answer: Answer) -> str:
    """The answer in one line."""
    if isinstance(answer, Text):
        return answer.plain or "(nothing)"
    names = ", ".join(label for label in answer.labels if label)
    found = f"{len(answer)} {type(answer).__name__.lower()}"
    return f"{found}: {names}" if names else found
