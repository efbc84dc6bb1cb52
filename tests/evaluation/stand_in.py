"""A benchmark of colored images, and a model that answers without looking.

Two questions about each image; the ground truth of each is known from its id. Run as a script it
evaluates (``DATA OUT I/N``), so that a test can kill it; ``STAND_IN_DELAY`` is the time in seconds
that an answer takes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from florence2.evaluation.benchmark import (
    Benchmark,
    BenchmarkExample,
    BenchmarkScores,
    ExamplePrediction,
    PaperResult,
    Table,
)
from florence2.evaluation.metric import mean_metric
from florence2.evaluation.runner import evaluate
from florence2.results.tasks import Task, custom_task, find_task
from florence2.results.types import Answer, Failure, Result, Text

QUESTIONS = ("color?", "shape?")


def read(data: Path, split: str) -> list[BenchmarkExample]:
    """Questions of the one kind come before those of the other: neighbours are other images."""
    images = json.loads((data / f"{split}.json").read_text())
    return [
        BenchmarkExample(
            f"{name}-{number}",
            data / f"{name}.png",
            name,
            custom_task("<VQA>"),
            question,
            None if split == "hidden" else f"{name} {question}",
        )
        for number, question in enumerate(QUESTIONS)
        for name in images
    ]


def score(predictions: Sequence[ExamplePrediction]) -> BenchmarkScores:
    right = [
        isinstance(each.answer, Text) and each.answer.text == each.example.ground_truth
        for each in predictions
    ]
    images = [each.example.image_id for each in predictions]
    wrong = Table("Wrong by question", ("question", "wrong"), tuple(
        (question, sum(not good for good, each in zip(right, predictions, strict=True)
                       if each.example.prompt_input == question))
        for question in QUESTIONS
    ))  # fmt: skip
    return BenchmarkScores(
        (mean_metric("accuracy", right, images),), tuple(map(float, right)), (wrong,)
    )


def official(predictions: Sequence[ExamplePrediction], directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "results.json"
    path.write_text(
        json.dumps([[each.example.id, each.answer is not None] for each in predictions])
    )
    return [path]


BENCHMARK = Benchmark(
    name="colors",
    title="Colors",
    splits=("val", "hidden", "other"),
    protocol="Two questions an image.",
    source="val.json and images",
    read=read,
    score=score,
    official=official,
    reported={"val": {"accuracy": PaperResult(50.0, 60.0, None, 80.5)}},
    options={"max_new_tokens": 8},
)


@dataclass
class StandInModel:
    """Answers by ``answer(example id's image, question)``; remembers what it was asked."""

    answer: Callable[[Path, str], Answer | None]
    name: str = "stand-in"
    trained: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)

    def stream(
        self, requests: Iterable[tuple[Path, Task, str]], /, **options: Any
    ) -> Iterator[Result | Failure]:
        self.options = options
        for image, task, question in requests:
            time.sleep(float(os.environ.get("STAND_IN_DELAY", "0")))
            self.asked.append((image.stem, question))
            self.tasks.append(task)
            answer = self.answer(image, question)
            if answer is None:
                yield Failure(str(image), "cannot be read as an image")
            else:
                yield Result(task, task.prompt, answer, (8, 6), truncated="5" in image.stem)


def mostly_right(image: Path, question: str) -> Text:
    """Right but for the shapes of every third image."""
    wrong = question == "shape?" and int(image.stem) % 3 == 0
    return Text("square" if wrong else f"{image.stem} {question}", 0.1)


if __name__ == "__main__":
    part, parts = map(int, sys.argv[3].split("/"))
    assert find_task("<VQA>")
    evaluate(BENCHMARK, StandInModel(mostly_right), sys.argv[1], sys.argv[2], shard=(part, parts))
