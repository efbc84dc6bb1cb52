"""Write the page of every task, with its prompt, its call and an image with its ground truth.

    python examples/task_pages.py --art DIRECTORY

The images are synthetic, and what is drawn on them is their ground truth, not a prediction.
``DIRECTORY`` is what ``florence2 scenes fetch`` filled.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from florence2.results.draw import draw_answer
from florence2.results.records import Annotation, Record
from florence2.results.tasks import TASKS, Task
from florence2.results.types import Boxes, Result, Text
from florence2.synthetic.scene import SceneSettings
from florence2.synthetic.scene_records import SceneRecords
from florence2.synthetic.sprite_library import load_library

PAGES = Path(__file__).resolve().parents[1] / "docs" / "tasks"
SETTINGS = SceneSettings(
    size=(480, 360),
    objects=(3, 4),
    sides=(0.28, 0.5),
    visible=0.8,
    texts=1.0,
    effects=0.2,
    pages=0.0,
    num_text_groups=(1, 2),
    repeats=0.0,
)
WORDS = {
    "text": "The text goes into the prompt: a caption, an expression, or class names.",
    "region": "The region is a box in pixels; the prompt holds it as four location tokens.",
    "none": "It takes the image alone.",
}


def find_scene(art: Path) -> Record:
    """The first scene with labels for every task and three categories of objects."""
    records = SceneRecords(load_library(art, "test"), "test", stages=[(0, SETTINGS)], series=7)
    for number in range(500):
        record = records[number]
        tasks = {each.task for each in record.kept()}
        labels = [each.answer.labels for each in record.kept() if each.task == "<OD>"]  # type: ignore[union-attr]
        if {task.token for task in TASKS} <= tasks and len(set(labels[0])) > 2:
            return record
    raise SystemExit("no scene has labels for every task")


def choose_annotation(record: Record, task: Task) -> Annotation:
    """The annotation to show: of several the one with the longest prompt."""
    found = [each for each in record.kept() if each.task == task.token]
    if task.token == "<OPEN_VOCABULARY_DETECTION>":
        found = [each for each in found if len(each.answer.labels)] or found  # type: ignore[union-attr]
    if task.token == "<CAPTION_TO_PHRASE_GROUNDING>":
        return max(found, key=lambda each: len(each.answer.labels))  # type: ignore[union-attr]
    return max(found, key=lambda each: len(each.text))


def draw_page_image(record: Record, annotation: Annotation) -> Image.Image:
    """The scene with its ground truth drawn on it, and below it the words of a text."""
    image = Image.open(io.BytesIO(record.image_bytes())).convert("RGB")
    if annotation.region is not None:
        region = Boxes([annotation.region], ["the region"], record.image_size)
        image = draw_answer(image, region)
    if not isinstance(annotation.answer, Text):
        return draw_answer(image, annotation.answer)
    font = ImageFont.load_default(17)
    lines = [""]
    for word in annotation.answer.plain_text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > image.width - 24:
            lines.append(word)
        else:
            lines[-1] = longer
    page = Image.new("RGB", (image.width, image.height + 20 + 24 * len(lines)), "white")
    page.paste(image)
    for row, line in enumerate(lines):
        ImageDraw.Draw(page).text((12, image.height + 10 + 24 * row), line, "black", font)
    return page


def write_page(record: Record, task: Task) -> str:
    """The page of a task."""
    annotation = choose_annotation(record, task)
    text = annotation.prompt_input
    argument = "" if text is None else f", {json.dumps(text)}"
    if isinstance(text, tuple):
        argument = f", ({', '.join(f'{value:g}' for value in text)})"
    result = Result(task, "", annotation.answer, record.image_size)
    answer = json.dumps(round_numbers(result.to_dict()[task.token]), ensure_ascii=False)
    if len(answer) > 500:
        answer = f"{answer[:480]} ..."
    names = ", ".join(f"`{name}`" for name in (task.token, task.name, *task.aliases))
    return f"""# {task.name.replace("-", " ").capitalize()}

![{task.name}: a synthetic image with its ground truth]({task.name}.jpg)

{task.summary[0].upper()}{task.summary[1:]}. {WORDS[task.input]}

| | |
|---|---|
| names | {names} |
| prompt | `{task.prompt}` |
| prediction | {KINDS[task.answer]} |

```python
model("scene.png", "{task.name}"{argument})
```
```sh
florence2 run scene.png --task {task.name}{format_arguments(text)}
```

The ground truth of this image, in the form of `result.to_dict()["{task.token}"]`:

```json
{answer}
```
"""


KINDS = {
    "text": "`Text(text, score)`",
    "boxes": "`Boxes(xyxy, labels, image_size, scores, label_scores)`",
    "phrases": "`Boxes`, a label for each phrase and its boxes",
    "proposals": "`Boxes` without labels",
    "quads": "`Quads(corners, labels, image_size, scores, label_scores)`",
    "polygons": "`Polygons(polygons, labels, image_size, scores)`",
    "boxes_or_polygons": "`Boxes`, or `Polygons` where the model segments",
}


def format_arguments(text: Any) -> str:
    """The options of ``florence2 run`` for the input of a task."""
    if isinstance(text, tuple):
        return f" --region {','.join(f'{value:g}' for value in text)}"
    return "" if text is None else f' --text "{text}"'


def round_numbers(value: Any) -> Any:
    """``value`` with numbers of one decimal."""
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, list):
        return [round_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: round_numbers(each) for name, each in value.items()}
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, required=True)
    record = find_scene(parser.parse_args().art)
    PAGES.mkdir(exist_ok=True)
    for task in TASKS:
        (PAGES / f"{task.name}.md").write_text(write_page(record, task), encoding="utf-8")
        draw_page_image(record, choose_annotation(record, task)).save(
            PAGES / f"{task.name}.jpg", quality=86
        )
    index = "".join(f"- [{each.name}]({each.name}.md): {each.summary}\n" for each in TASKS)
    (PAGES / "index.md").write_text(
        "# Tasks\n\nOne page a task, each with a synthetic image and its ground truth (its label, "
        f"not a prediction).\n\n{index}", encoding="utf-8",
    )  # fmt: skip


if __name__ == "__main__":
    main()
