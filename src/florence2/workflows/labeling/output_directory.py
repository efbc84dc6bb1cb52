"""The output directory of a run: answer lines, annotated images, sidecars, and its settings."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...io.atomic import atomic_replace, replace_json
from ...io.files import read_json
from ...io.run_lock import lock_run_dir
from ...results.types import Failure
from .label_requests import Question
from .output_names import name_outputs
from .prediction_line import Line, make_line, sidecar_text
from .progress_log import Journal
from .sources import Source, is_url

if TYPE_CHECKING:
    from PIL.Image import Image

    from ...inference.predictor import Prediction

ANSWERS = "answers.jsonl"
PICTURES = "pictures"
SIDECARS = "sidecars"
SETTINGS = "run.json"
# Fields of the settings that say where a run was, not how it answers.
_DIRECTORY, _CHECKPOINT = "directory", "checkpoint"
_MAX_JPEG_SIDE = 65_500
_MAX_SETTINGS_BYTES = 2**20
# The disk itself fails: every other image would fail too.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class OutputFolder:
    """Writes what was answered below ``folder``; an image is done when its lines are written.

    ``draw`` and ``sidecars`` ask for annotated images and text files; what cannot be written of
    them is in ``unwritten``, by image. ``settings`` is what shapes the answers: a run is resumed
    only with the settings it began with. ``ValueError`` when they differ, when there are answers
    already and ``resume`` is not set, and when another process writes to the directory.
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
        self.unwritten: dict[str, str] = {}
        self._stack = ExitStack()
        self._stack.enter_context(lock_run_dir(folder))
        try:
            self._begin(sources, {**settings, "draw": draw, "sidecars": sidecars}, resume)
        except BaseException:
            self._stack.close()
            raise

    def _begin(self, sources: Sequence[Source], settings: dict[str, Any], resume: bool) -> None:
        answers = self._folder / ANSWERS
        begun = answers.exists() and answers.stat().st_size > 0
        if begun and not resume:
            raise ValueError(
                f"{answers} holds answers already; add --resume to go on with that run, "
                "or choose another --out"
            )
        before = _read_settings(self._folder / SETTINGS) if begun else {}
        self._fresh = not begun
        self._model_before = before.get("model", settings.get("model"))
        if _CHECKPOINT in before:
            # The weights are compared when they are there: a name is only a place.
            before["model"] = settings.get("model")
        _compare_settings(self._folder, before, settings)
        self._settings = {
            **settings,
            _DIRECTORY: os.getcwd(),
            **({_CHECKPOINT: before[_CHECKPOINT]} if _CHECKPOINT in before else {}),
        }
        self._stamps = {source.image: _stamp(source) for source in sources}
        journal = Journal(answers, self._is_stale)
        self._journal = self._stack.enter_context(journal)
        self.repeated, self.changed = journal.repeated, sorted(journal.stale)
        self._names = name_outputs(sources, journal.output_names)
        replace_json(self._folder / SETTINGS, self._settings)

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and self._fresh:
            # Nothing was answered: the directory is as if the command had not been called.
            (self._folder / SETTINGS).unlink(missing_ok=True)
            (self._folder / ANSWERS).unlink(missing_ok=True)
        self._stack.__exit__(kind, error, traceback)

    @property
    def has_other_model_name(self) -> bool:
        """Whether the run was begun with a model of another name, which may be the same weights."""
        return bool(self._model_before != self._settings.get("model"))

    def check_checkpoint(self, digest: str | None) -> None:
        """Keep the digest of the weights. ``ValueError`` when the run was begun with others."""
        before = self._settings.get(_CHECKPOINT)
        if before is not None and digest is not None and before != digest:
            raise ValueError(
                f"{self._folder} was begun with model {self._model_before} of other weights "
                f"({before[:12]}, not {digest[:12]}); resume with the same, or choose another --out"
            )
        if before is None and digest is not None:
            self._settings[_CHECKPOINT] = digest
            replace_json(self._folder / SETTINGS, self._settings)

    def pending(self, source: Source) -> list[Question]:
        """The questions about ``source`` that have no answer yet."""
        return [each for each in self._questions if not self._journal.has(source.image, each)]

    def save(
        self, source: Source, answers: Sequence[tuple[Question, Prediction | Failure]]
    ) -> None:
        """Write images, then the sidecar, then the lines of one image, in this order."""
        makes_files = self._draw or self._sidecars
        lines: dict[str, Line] = {}
        for question, outcome in answers:
            line = make_line(source.image, question, outcome, source.place)
            if not isinstance(outcome, Failure):
                if makes_files:
                    line["name"] = self._names[source.image]
                stamp = self._stamps.get(source.image)
                if stamp is not None:
                    line["source"] = stamp
                if self._draw:
                    self._save_picture(source, question, outcome)
            lines[question.key] = line
        if self._sidecars and not any("error" in line for line in lines.values()):
            self._save_sidecar(source, lines)
        self._journal.append(list(lines.values()))
        self._fresh = False

    def _is_stale(self, line: Line) -> bool:
        """Whether the file of an answered image was changed since."""
        stamp = self._stamps.get(line["image"])
        return None not in (stamp, line.get("source")) and stamp != line["source"]

    def _save_picture(self, source: Source, question: Question, prediction: Prediction) -> None:
        name = f"{self._names[source.image]}.{question.file_name}.jpg"
        try:
            content = BytesIO()
            drawn = prediction.draw().convert("RGB")
            if question.region is not None:
                _outline(drawn, question.region)
            if max(drawn.size) > _MAX_JPEG_SIDE:
                drawn.thumbnail((_MAX_JPEG_SIDE, _MAX_JPEG_SIDE))
            drawn.save(content, "JPEG", quality=92)
            atomic_replace(self._folder / PICTURES / name, content.getvalue())
        except (OSError, ValueError) as error:
            self._note_unwritten(source, f"{PICTURES}/{name}", error)

    def _save_sidecar(self, source: Source, fresh: dict[str, Line]) -> None:
        """Write the words of all the run's questions; answers of an earlier run are read back."""
        lines = [
            fresh.get(question.key) or self._journal.read(source.image, question)
            for question in self._questions
        ]
        name = f"{self._names[source.image]}.txt"
        try:
            content = sidecar_text(lines).encode("utf-8", "backslashreplace")
            atomic_replace(self._folder / SIDECARS / name, content)
        except (OSError, ValueError) as error:
            self._note_unwritten(source, f"{SIDECARS}/{name}", error)

    def _note_unwritten(self, source: Source, name: str, error: Exception) -> None:
        """Remember what one image lacks. Raises the error of a disk that takes nothing more."""
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.unwritten.setdefault(source.image, f"{name} is not written ({reason})")


def _outline(image: Image, region: tuple[float, ...]) -> None:
    """Draw the box that was asked about, white on black so that it shows on any image."""
    from PIL import ImageDraw

    canvas = ImageDraw.Draw(image)
    width = max(1, round((image.width * image.height) ** 0.5 / 300))
    box = [round(value) for value in region]
    canvas.rectangle(box, outline="black", width=3 * width)
    inner = [box[0] + width, box[1] + width, box[2] - width, box[3] - width]
    if inner[0] <= inner[2] and inner[1] <= inner[3]:
        canvas.rectangle(inner, outline="white", width=width)


def _stamp(source: Source) -> dict[str, int] | None:
    """What changes when the file of a source is written again; ``None`` where it is no file."""
    if is_url(source.image):
        return None
    try:
        status = os.stat(source.file or source.image)
    except (OSError, ValueError):
        return None
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    settings = read_json(path, _MAX_SETTINGS_BYTES)
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings of a run; choose another --out")
    return settings


def _compare_settings(folder: Path, before: dict[str, Any], settings: dict[str, Any]) -> None:
    """``ValueError`` when the run that wrote ``before`` had other settings."""
    ours = {name: value for name, value in before.items() if name not in (_DIRECTORY, _CHECKPOINT)}
    for name in sorted(ours.keys() | settings.keys()) if before else ():
        if ours.get(name) != settings.get(name):
            raise ValueError(
                f"{folder} was begun with {name} {ours.get(name)}, not "
                f"{settings.get(name)}; resume with the same, or choose another --out"
            )
