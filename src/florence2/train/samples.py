"""What the model in training answers, as a picture: one row of fixed examples."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..draw import draw_answer
from ..durable import replacing
from ..image import load_image
from ..predictor import Florence2
from ..records import Record
from .examples import Example

_HEIGHT = 320


def save_samples(
    model: Florence2, records: list[tuple[Record, Example]], path: Path, max_new_tokens: int
) -> None:
    """Write a sheet to ``path``: for every example the label above, the model's answer below."""
    columns = []
    for record, example in records:
        annotation = record.annotations[example.annotation]
        image = load_image(record.image_bytes())
        task, text = annotation.table_task, annotation.question
        found = model(image, task, text, beams=1, max_new_tokens=max_new_tokens)
        pair = [draw_answer(image, annotation.answer), draw_answer(image, found.answer)]
        columns.append([_shrunk(picture) for picture in pair])
    width = sum(max(picture.width for picture in column) for column in columns)
    tallest = [max(column[row].height for column in columns) for row in range(2)]
    sheet = Image.new("RGB", (width, sum(tallest)), "white")
    left = 0
    for column in columns:
        for row, picture in enumerate(column):
            sheet.paste(picture, (left, row * tallest[0]))
        left += max(picture.width for picture in column)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def _shrunk(picture: Image.Image) -> Image.Image:
    factor = _HEIGHT / picture.height
    return picture.resize((max(1, round(picture.width * factor)), _HEIGHT))
