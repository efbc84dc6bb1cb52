"""The predictions of the model in training, drawn as one row of fixed examples."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import cast

from PIL import Image

from ..inference.predictor import Florence2
from ..io.atomic import atomic_write
from ..processing.image import load_image
from ..results.draw import draw_answer
from ..results.records import Record
from .examples import TrainingExample, TrainingRecords, check_text, list_examples
from .streaming import IterableRecords

# The examples of a grid.
_SAMPLES = 6
# The size of one example in pixels.
_HEIGHT, _MAX_WIDTH = 320, 1280
_MAX_TOKENS = 4096


def choose_samples(
    records: TrainingRecords | IterableRecords,
) -> list[tuple[Record, TrainingExample]]:
    """Examples at equal distances; of an endless source the first ones.

    Records that cannot be read are skipped.
    """
    if hasattr(records, "__len__"):
        examples = list_examples(cast(TrainingRecords, records))
        spaced = (examples[len(examples) * index // _SAMPLES] for index in range(_SAMPLES))
        chosen = list(dict.fromkeys(spaced))
    else:
        chosen = [TrainingExample(number, 0, "") for number in range(_SAMPLES)]
    samples = []
    for example in chosen:
        with suppress(ValueError, OSError):
            samples.append((records[example.record], example))
    return samples


def save_samples(
    model: Florence2, samples: list[tuple[Record, TrainingExample]], path: Path, max_new_tokens: int
) -> list[str]:
    """Write a grid to ``path``: for every example the label above, the model's prediction below.

    Returns the errors of examples that were left out. Without any example left nothing is written.
    """
    columns, problems = [], []
    for record, example in samples:
        try:
            columns.append(_draw_column(model, record, example, max_new_tokens))
        except Exception as error:  # a grid of samples is not worth ending a run for
            problems.append(f"{record.id}: {error}")
    if not columns:
        return problems
    width = sum(max(image.width for image in column) for column in columns)
    heights = [max(column[row].height for column in columns) for row in range(2)]
    grid = Image.new("RGB", (width, sum(heights)), "white")
    left = 0
    for column in columns:
        for row, image in enumerate(column):
            grid.paste(image, (left, row * heights[0]))
        left += max(image.width for image in column)
    with atomic_write(path) as temporary:
        grid.save(temporary, format="PNG")
    return problems


def _draw_column(
    model: Florence2, record: Record, example: TrainingExample, max_new_tokens: int
) -> list[Image.Image]:
    """One example: the label above, the model's prediction below."""
    annotation = record.annotations[example.annotation]
    check_text(annotation, _MAX_TOKENS)
    image = load_image(record.image_bytes())
    task, text = annotation.task_definition, annotation.prompt_input
    predicted = model(image, task, text, beams=1, max_new_tokens=max_new_tokens)
    return [_shrink(draw_answer(image, each)) for each in (annotation.answer, predicted.answer)]


def _shrink(image: Image.Image) -> Image.Image:
    factor = min(_HEIGHT / image.height, _MAX_WIDTH / image.width)
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
