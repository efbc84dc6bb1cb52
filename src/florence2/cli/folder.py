"""The output folder of a run: answer lines, annotated pictures, sidecars, and its settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..durable import replace_file, replace_json
from ..results import Failure
from .journal import Journal
from .lines import Line, make_line, sidecar_text
from .names import name_outputs
from .questions import Question
from .sources import Source

if TYPE_CHECKING:
    from ..predictor import Prediction

ANSWERS = "answers.jsonl"
PICTURES = "pictures"
SIDECARS = "sidecars"
SETTINGS = "run.json"


class OutputFolder:
    """Writes what was answered below ``folder``; an image is done when its lines are written.

    ``draw`` and ``sidecars`` ask for annotated pictures and text files. ``settings`` is what
    shapes the answers: a run is resumed only with the settings it began with. ``ValueError``
    when they differ, and when there are answers already and ``resume`` is not set.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        questions: Sequence[Question],
        *,
        settings: dict[str, Any],
        resume: bool = False,
        draw: bool = False,
        sidecars: bool = False,
    ) -> None:
        self._folder = folder
        self._questions = questions
        self._draw = draw
        self._sidecars = sidecars
        answers = folder / ANSWERS
        begun = _is_begun(answers)
        if begun and not resume:
            raise ValueError(
                f"{answers} holds answers already; add --resume to go on with that run, "
                "or choose another --out"
            )
        settings = {**settings, "draw": draw, "sidecars": sidecars}
        if begun:
            _compare_settings(folder / SETTINGS, settings)
        replace_json(folder / SETTINGS, settings)
        self._journal = Journal(answers)
        self._names = name_outputs(sources, self._journal.output_names)

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._journal.__exit__(kind, error, traceback)

    def pending(self, source: Source) -> list[Question]:
        """The questions about ``source`` that have no answer yet."""
        return [each for each in self._questions if not self._journal.has(source.image, each)]

    def save(
        self, source: Source, answers: Sequence[tuple[Question, Prediction | Failure]]
    ) -> None:
        """Write pictures, then the sidecar, then the lines of one image, in this order."""
        makes_files = self._draw or self._sidecars
        lines: dict[str, Line] = {}
        for question, outcome in answers:
            line = make_line(source.image, question, outcome, source.place)
            if not isinstance(outcome, Failure):
                if makes_files:
                    line["name"] = self._names[source.image]
                if self._draw:
                    self._save_picture(source, question, outcome)
            lines[question.key] = line
        if self._sidecars and not any("error" in line for line in lines.values()):
            self._save_sidecar(source, lines)
        self._journal.append(list(lines.values()))

    def _save_picture(self, source: Source, question: Question, prediction: Prediction) -> None:
        name = f"{self._names[source.image]}.{question.file_name}.jpg"
        content = BytesIO()
        prediction.draw().convert("RGB").save(content, "JPEG", quality=92)
        replace_file(self._folder / PICTURES / name, content.getvalue())

    def _save_sidecar(self, source: Source, fresh: dict[str, Line]) -> None:
        """Write the words of all the run's questions; answers of an earlier run are read back."""
        lines = [
            fresh.get(question.key) or self._journal.read(source.image, question)
            for question in self._questions
        ]
        path = self._folder / SIDECARS / f"{self._names[source.image]}.txt"
        replace_file(path, sidecar_text(lines).encode("utf-8", "backslashreplace"))


def _is_begun(answers: Path) -> bool:
    folder = answers.parent
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; name a folder")
    return answers.exists() and answers.stat().st_size > 0


def _compare_settings(path: Path, settings: dict[str, Any]) -> None:
    """``ValueError`` when the run that wrote ``path`` had other settings."""
    if not path.exists():
        return
    before = json.loads(path.read_bytes())
    for name in sorted(before.keys() | settings.keys()):
        if before.get(name) != settings.get(name):
            raise ValueError(
                f"{path.parent} was begun with {name} {before.get(name)}, not "
                f"{settings.get(name)}; resume with the same, or choose another --out"
            )
