"""What the model in training answers, as a picture: one row of fixed examples."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..inference.predictor import Florence2
from ..io.atomic import atomic_write
from ..processing.image import load_image
from ..results.draw import draw_answer
from ..results.records import Record
from .examples import Example, check_text

# Of one example, in pixels.
_HEIGHT, _MOST_WIDTH = 320, 1280
_MOST_TOKENS = 4096


def save_samples(
    model: Florence2, records: list[tuple[Record, Example]], path: Path, max_new_tokens: int
) -> list[str]:
    """Write a sheet to ``path``: for every example the label above, the model's answer below.

    What cannot be read, answered or drawn is left out and named in what is returned. Nothing is
    written when nothing is left.
    """
    columns, problems = [], []
    for record, example in records:
        try:
            columns.append(_column(model, record, example, max_new_tokens))
        except Exception as error:  # a sheet of samples is not worth ending a run for
            problems.append(f"{record.id}: {error}")
    if not columns:
        return problems
    width = sum(max(picture.width for picture in column) for column in columns)
    tallest = [max(column[row].height for column in columns) for row in range(2)]
    sheet = Image.new("RGB", (width, sum(tallest)), "white")
    left = 0
    for column in columns:
        for row, picture in enumerate(column):
            sheet.paste(picture, (left, row * tallest[0]))
        left += max(picture.width for picture in column)
    with atomic_write(path) as temporary:
        sheet.save(temporary, format="PNG")
    return problems


def _column(
    model: Florence2, record: Record, example: Example, max_new_tokens: int
) -> list[Image.Image]:
    """One example: the label above, the model's answer below."""
    annotation = record.annotations[example.annotation]
    check_text(annotation, _MOST_TOKENS)
    image = load_image(record.image_bytes())
    task, text = annotation.task_definition, annotation.prompt_input
    found = model(image, task, text, beams=1, max_new_tokens=max_new_tokens)
    return [_shrunk(draw_answer(image, each)) for each in (annotation.answer, found.answer)]


def _shrunk(picture: Image.Image) -> Image.Image:
    factor = min(_HEIGHT / picture.height, _MOST_WIDTH / picture.width)
    return picture.resize(
        (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    )
