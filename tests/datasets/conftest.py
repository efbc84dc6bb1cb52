"""An image directory, and an import context that collects problems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from florence2.datasets import ImportContext, ImportProblem, LabelError
from florence2.results.tasks import Task
from florence2.results.types import Answer, Boxes, ImageSize, Text

Draw = Callable[..., Path]


def read_suffix(suffix: str, task: Task, image_size: ImageSize) -> Answer:
    """Replaces the grammar: a text is a text, a name is an object that fills the image."""
    if "bad" in suffix:
        raise LabelError("unreadable-suffix", f"cannot read {suffix!r}")
    if task.answer == "text":
        return Text(suffix)
    return Boxes([[0, 0, *image_size]], [suffix], image_size)


@pytest.fixture
def problems() -> list[ImportProblem]:
    """The problems that were reported."""
    return []


@pytest.fixture
def context(problems: list[ImportProblem]) -> ImportContext:
    """An import context that accepts every annotation and reports problems to ``problems``."""
    return ImportContext(problems.append, read_suffix=read_suffix)


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """``draw(name, size)``: the path of a new image in the test's directory."""

    def make(name: str, size: ImageSize = (100, 80), **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "navy").save(path, **options)  # type: ignore[arg-type]
        return path

    return make
