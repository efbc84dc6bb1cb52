"""The command line with a small stand-in for the model.

It answers from the file name: no weights, no torch. Run as a script it is the ``florence2``
command, so that a test can kill it; ``STAND_IN_DELAY`` is the time in seconds an answer takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from florence2.results.tasks import Task, find_task
from florence2.results.types import Answer, Boxes, Failure, Quads, Result, Text

BROKEN = "broken"


@dataclass(frozen=True)
class StandInPrediction(Result):
    source: str = ""

    def draw(self) -> Image.Image:
        return Image.new("RGB", self.image_size, "white")


@dataclass
class StandInModel:
    """Remembers what it was asked; fails for files whose name contains ``broken``."""

    trained: bool = False
    requests: list[tuple[Any, ...]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    loaded: dict[str, Any] = field(default_factory=dict)

    def stream(
        self, requests: Iterable[tuple[Any, ...]], **options: Any
    ) -> Iterator[StandInPrediction | Failure]:
        self.options = options
        for request in requests:
            time.sleep(float(os.environ.get("STAND_IN_DELAY", "0")))
            self.requests.append(request)
            yield self.answer(*request)

    def answer(self, image: str, name: str, text: Any = None) -> StandInPrediction | Failure:
        if BROKEN in image or not Path(image).exists():
            return Failure(image, "cannot be read as an image")
        task = find_task(name)
        size = (40, 30)
        words = Path(image).name if text is None else f"{text} in {Path(image).name}"
        return StandInPrediction(task, task.prompt, _answer(task, words, size), size, source=image)

    def load(self, source: str, **options: Any) -> StandInModel:
        if source == "no-such/model":
            raise FileNotFoundError(f"no checkpoint called {source!r}; name a directory")
        self.loaded = {"source": source, **options}
        return self


def _answer(task: Task, words: str, size: tuple[int, int]) -> Answer:
    if task.answer == "text":
        return Text(words)
    if task.answer == "quads":
        return Quads([[[0, 0], [9, 0], [9, 5], [0, 5]]], [words], size, [0.5])
    return Boxes([[1, 2, 20, 21]], [words], size, [0.75])


def predictor(model: StandInModel) -> ModuleType:
    """A module to stand in for ``florence2.inference.predictor``."""
    module = ModuleType("florence2.inference.predictor")
    module.load = model.load  # type: ignore[attr-defined]
    module.resolve_checkpoint = lambda source, revision=None: Path(source)  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    from florence2.cli import main

    sys.modules["florence2.inference.predictor"] = predictor(StandInModel())
    main()
