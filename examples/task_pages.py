"""Write the page of every task: what it asks, what it answers, and a picture of a right answer.

    python examples/task_pages.py --art FOLDER

The pictures are made scenes and the answers their labels, not a model's. ``FOLDER`` is what
``florence2 scenes fetch`` filled.
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
SETTINGS = SceneSettings(size=(480, 360), objects=(3, 4), sides=(0.28, 0.5), visible=0.8,
                         texts=1.0, effects=0.2, pages=0.0, num_text_groups=(1, 2),
                         repeats=0.0)  # fmt: skip
WORDS = {
    "text": "The words go into the prompt: a caption, an expression, or class names.",
    "region": "The region is a box in pixels; the prompt holds it as four location tokens.",
    "none": "It takes nothing but the picture.",
}


def scene(art: Path) -> Record:
    """The first scene with an answer to every task and three kinds of things."""
    records = SceneRecords(load_library(art, "test"), "test", stages=[(0, SETTINGS)], series=7)
    for number in range(500):
        record = records[number]
        tasks = {each.task for each in record.kept()}
        labels = [each.answer.labels for each in record.kept() if each.task == "<OD>"]  # type: ignore[union-attr]
        if {task.token for task in TASKS} <= tasks and len(set(labels[0])) > 2:
            return record
    raise SystemExit("no scene answers every task")


def chosen(record: Record, task: Task) -> Annotation:
    """The annotation to show: of several the one with the longest question."""
    found = [each for each in record.kept() if each.task == task.token]
    if task.token == "<OPEN_VOCABULARY_DETECTION>":
        found = [each for each in found if len(each.answer.labels)] or found  # type: ignore[union-attr]
    if task.token == "<CAPTION_TO_PHRASE_GROUNDING>":
        return max(found, key=lambda each: len(each.answer.labels))  # type: ignore[union-attr]
    return max(found, key=lambda each: len(each.text))


def picture(record: Record, annotation: Annotation) -> Image.Image:
    """The scene with the answer on it, and below it the words of a text."""
    image = Image.open(io.BytesIO(record.image_bytes())).convert("RGB")
    if annotation.region is not None:
        asked = Boxes([annotation.region], ["the region"], record.image_size)
        image = draw_answer(image, asked)
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


def page(record: Record, task: Task) -> str:
    """The page of a task."""
    annotation = chosen(record, task)
    question = annotation.prompt_input
    asked = "" if question is None else f", {json.dumps(question)}"
    if isinstance(question, tuple):
        asked = f", ({', '.join(f'{at:g}' for at in question)})"
    result = Result(task, "", annotation.answer, record.image_size)
    answer = json.dumps(rounded(result.to_dict()[task.token]), ensure_ascii=False)
    if len(answer) > 500:
        answer = f"{answer[:480]} ..."
    names = ", ".join(f"`{name}`" for name in (task.token, task.name, *task.aliases))
    return f"""# {task.name.replace("-", " ").capitalize()}

![{task.name}: a made scene with the right answer]({task.name}.jpg)

{task.summary[0].upper()}{task.summary[1:]}. {WORDS[task.input]}

| | |
|---|---|
| called | {names} |
| prompt | `{task.prompt}` |
| answer | {KINDS[task.answer]} |

```python
model("scene.png", "{task.name}"{asked})
```
```sh
florence2 run scene.png --task {task.name}{arguments(question)}
```

The right answer to this made scene, as `result.to_dict()["{task.token}"]` has it:

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
    "boxes_or_polygons": "`Boxes`, or `Polygons` where the model outlines",
}


def arguments(question: Any) -> str:
    if isinstance(question, tuple):
        return f" --region {','.join(f'{at:g}' for at in question)}"
    return "" if question is None else f' --text "{question}"'


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, list):
        return [rounded(each) for each in value]
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, required=True)
    record = scene(parser.parse_args().art)
    PAGES.mkdir(exist_ok=True)
    for task in TASKS:
        (PAGES / f"{task.name}.md").write_text(page(record, task), encoding="utf-8")
        picture(record, chosen(record, task)).save(PAGES / f"{task.name}.jpg", quality=86)
    index = "".join(f"- [{each.name}]({each.name}.md): {each.summary}\n" for each in TASKS)
    (PAGES / "index.md").write_text(
        "# Tasks\n\nOne page a task, each with a made scene and the right answer to it (its label, "
        f"not a model's answer).\n\n{index}", encoding="utf-8",
    )  # fmt: skip


if __name__ == "__main__":
    main()
