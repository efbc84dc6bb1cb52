"""``florence2 demo``: every task on the bundled image with the bundled model, no network."""

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
from ..results.contact_sheet import ContactTile, make_contact_sheet
from ..results.tasks import TASKS
from ..results.types import Answer, Failure, Text
from ..workflows.labeling.label_requests import LabelRequest, RequestInput
from .errors import user_errors
from .loading import load_model

SHEET = "demo.png"
# Limits the time of the demo when the model repeats itself.
MAX_NEW_TOKENS = 160


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Directory for the grid of annotated images.")
    ] = Path("florence2-demo"),
) -> None:
    """Run every task on the bundled image, a scene that is not in the training data.

    The model is the bundled one, nano; no network is needed.
    """
    with user_errors():
        tiles = list(_predict_all())
        content = BytesIO()
        make_contact_sheet(tiles).save(content, "PNG")
        atomic_replace(out / SHEET, content.getvalue())
        typer.echo(f"\nannotated images: {out / SHEET}")


def _predict_all() -> Iterator[ContactTile]:
    """Print the prediction of each task when it is done, and yield it with its image."""
    model = load_model("nano")
    requests = bundled_requests()
    with as_file(files("florence2") / "nano" / "demo.png") as image:
        inputs = [request.with_image(str(image)) for request in requests]
        outcomes = model.stream(inputs, max_new_tokens=MAX_NEW_TOKENS)
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Failure):
                raise ValueError(f"{outcome.source}: {outcome.error}")
            words = _describe(outcome.answer) + (" (truncated)" if outcome.truncated else "")
            typer.echo(f"{request.task.token:<38} {words}")
            yield ContactTile(outcome.draw(), request.task.token, words)


def bundled_requests() -> list[LabelRequest]:
    """Every task with its input for the bundled image."""
    text = (files("florence2") / "nano" / "demo.json").read_text("utf-8")
    inputs: dict[str, str | list[float]] = json.loads(text)["questions"]
    return [LabelRequest(task, _request_input(inputs.get(task.token))) for task in TASKS]


def _request_input(value: str | list[float] | None) -> RequestInput:
    if not isinstance(value, list):
        return value
    x0, y0, x1, y1 = value
    return (x0, y0, x1, y1)


def _describe(answer: Answer) -> str:
    """The prediction in one line."""
    if isinstance(answer, Text):
        return answer.plain_text or "(nothing)"
    names = ", ".join(label for label in answer.labels if label)
    plural = type(answer).__name__.lower()
    singular = "box" if plural == "boxes" else plural.removesuffix("s")
    found = format_count(len(answer), singular, plural)
    return f"{found}: {names}" if names else found
