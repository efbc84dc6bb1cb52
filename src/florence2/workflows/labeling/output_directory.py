"""The outputs of labeling: a run directory that can be resumed, or a stream of lines."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...io.atomic import atomic_replace
from ...io.run_dir import RunDir, RunFormat, read_run_settings
from ...results.types import Failure
from .label_requests import LabelRequest
from .output_names import name_outputs
from .prediction_line import Line, encode_lines, make_line, sidecar_text
from .progress_log import ProgressLog
from .sources import Source, is_url

if TYPE_CHECKING:
    from PIL.Image import Image

    from ...inference.predictor import Prediction

ANSWERS = "answers.jsonl"
# Not "images": a run directory may also hold the source images.
ANNOTATED_IMAGES = "pictures"
SIDECARS = "sidecars"
_CHECKPOINT = "checkpoint"
# ``directory`` is where the run was started: relative paths of images are relative to it.
FORMAT = RunFormat(
    changeable=frozenset({"directory", _CHECKPOINT}),
    renamed={"order_corners": "fix_inverted_boxes"},
    has_results=lambda directory: _has_lines(directory / ANSWERS),
    allow_other_files=True,
    remedy="resume with the same, or choose another --out",
)
_MAX_JPEG_SIDE = 65_500
# Errors of the disk: files of other images would fail too.
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
Outcomes = Sequence[tuple[LabelRequest, "Prediction | Failure"]]


class LineStream:
    """Writes the lines of each image to a binary stream as soon as it is predicted."""

    def __init__(self, stream: BinaryIO, requests: Sequence[LabelRequest]) -> None:
        self._stream = stream
        self._requests = list(requests)

    def pending(self, source: Source) -> list[LabelRequest]:
        """All requests: a stream is not resumed."""
        return self._requests

    def save(self, source: Source, outcomes: Outcomes) -> None:
        """Write the lines of one image."""
        lines = [make_line(source, request, outcome) for request, outcome in outcomes]
        self._stream.write(encode_lines(lines))
        self._stream.flush()


class LabelDirectory:
    """The directory of a run: prediction lines, annotated images, sidecars and settings.

    An image is done when its lines are written. ``unwritten`` maps an image to the error of a file
    that could not be written. ``open`` creates an instance.
    """

    def __init__(
        self, run: RunDir, sources: Sequence[Source], requests: Sequence[LabelRequest]
    ) -> None:
        self._run = run
        self._requests = requests
        self._is_new = not _has_lines(run.path / ANSWERS)
        self._draw, self._sidecars = run.settings["draw"], run.settings["sidecars"]
        self.unwritten: dict[str, str] = {}
        self._stamps = {source.image: _stamp(source) for source in sources}
        self._log = ProgressLog(run, ANSWERS, self._is_stale)
        self._names = name_outputs(sources, self._log.output_names)
        self.repeated, self.changed = self._log.repeated, sorted(self._log.stale)
        self._stored_model = run.settings["model"]

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        sources: Sequence[Source],
        requests: Sequence[LabelRequest],
        *,
        settings: Mapping[str, Any],
        resume: bool = False,
    ) -> Iterator[LabelDirectory]:
        """Open ``path`` for the predictions of ``requests`` about ``sources``.

        Args:
            path: the directory.
            sources: the images of the run.
            requests: what is predicted for each image.
            settings: options that affect the predictions, with ``model``, ``draw`` and
                ``sidecars``; a run is resumed with the same settings only. A model of another name
                is accepted here when the hash of its weights is stored; see
                ``check_checkpoint``.
            resume: accept predictions that are there already.

        Raises:
            ValueError: the settings differ, there are predictions already and ``resume`` is not
                set, or another process writes to the directory.
        """
        if not resume and _has_lines(path / ANSWERS):
            raise ValueError(
                f"{path / ANSWERS} holds predictions already; add --resume to continue that run, "
                "or choose another --out"
            )
        stored = read_run_settings(path, FORMAT) if path.is_dir() else {}
        hashed = {"model"} if _CHECKPOINT in stored else set()
        format = replace(FORMAT, changeable=FORMAT.changeable | hashed)
        with ExitStack() as stack:
            run = stack.enter_context(
                RunDir.open(path, {**settings, "directory": os.getcwd()}, format)
            )
            output = cls(run, sources, requests)
            output._stored_model = stored.get("model", output._stored_model)
            run.save()
            try:
                yield output
            except BaseException:
                output._discard_empty()
                raise

    def list_paths(self) -> Iterator[Path]:
        """The files and directories with results that exist."""
        for name in (ANSWERS, ANNOTATED_IMAGES, SIDECARS):
            if (self._run.path / name).exists():
                yield self._run.path / name

    @property
    def has_other_model_name(self) -> bool:
        """Whether the run was started with a model of another name, maybe of the same weights."""
        return bool(self._stored_model != self._run.settings["model"])

    def check_checkpoint(self, digest: str | None) -> None:
        """Store the hash of the weights. ``ValueError`` when the run was started with others."""
        before = self._run.settings.get(_CHECKPOINT)
        if before is not None and digest is not None and before != digest:
            raise ValueError(
                f"{self._run.path} was started with model {self._stored_model} of other weights "
                f"({before[:12]}, not {digest[:12]}); {FORMAT.remedy}"
            )
        if before is None and digest is not None:
            self._run.save(**{_CHECKPOINT: digest})

    def pending(self, source: Source) -> list[LabelRequest]:
        """The requests about ``source`` that have no prediction yet."""
        return [each for each in self._requests if not self._log.has(source.image, each)]

    def save(self, source: Source, outcomes: Outcomes) -> None:
        """Write the annotated images, then the sidecar, then the lines of one image."""
        has_files = self._draw or self._sidecars
        lines: dict[str, Line] = {}
        for request, outcome in outcomes:
            line = make_line(source, request, outcome)
            if not isinstance(outcome, Failure):
                if has_files:
                    line["name"] = self._names[source.image]
                stamp = self._stamps.get(source.image)
                if stamp is not None:
                    line["source"] = stamp
                if self._draw:
                    self._save_drawing(source, request, outcome)
            lines[request.key] = line
        if self._sidecars and not any("error" in line for line in lines.values()):
            self._save_sidecar(source, lines)
        self._log.append(list(lines.values()))
        self._is_new = False

    def _discard_empty(self) -> None:
        """Leave the directory as it was, when nothing was predicted."""
        if self._is_new:
            self._run.discard()
            (self._run.path / ANSWERS).unlink(missing_ok=True)

    def _is_stale(self, line: Line) -> bool:
        """Whether the file of a predicted image was changed since."""
        stamp = self._stamps.get(line["image"])
        return None not in (stamp, line.get("source")) and stamp != line["source"]

    def _save_drawing(self, source: Source, request: LabelRequest, prediction: Prediction) -> None:
        name = f"{self._names[source.image]}.{request.file_name}.jpg"
        try:
            content = BytesIO()
            drawn = prediction.draw().convert("RGB")
            if request.region is not None:
                _draw_region(drawn, request.region)
            if max(drawn.size) > _MAX_JPEG_SIDE:
                drawn.thumbnail((_MAX_JPEG_SIDE, _MAX_JPEG_SIDE))
            drawn.save(content, "JPEG", quality=92)
            atomic_replace(self._run.path / ANNOTATED_IMAGES / name, content.getvalue())
        except (OSError, ValueError) as error:
            self._note_unwritten(source, f"{ANNOTATED_IMAGES}/{name}", error)

    def _save_sidecar(self, source: Source, new: dict[str, Line]) -> None:
        """Write the words of all requests; lines of an earlier run are read again."""
        lines = [
            new.get(request.key) or self._log.read(source.image, request)
            for request in self._requests
        ]
        name = f"{self._names[source.image]}.txt"
        try:
            content = sidecar_text(lines).encode("utf-8", "backslashreplace")
            atomic_replace(self._run.path / SIDECARS / name, content)
        except (OSError, ValueError) as error:
            self._note_unwritten(source, f"{SIDECARS}/{name}", error)

    def _note_unwritten(self, source: Source, name: str, error: Exception) -> None:
        """Note a file that could not be written. Raises the error of a disk that is full."""
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.unwritten.setdefault(source.image, f"{name} is not written ({reason})")


def _has_lines(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _draw_region(image: Image, region: tuple[float, ...]) -> None:
    """Draw the box of a region task, white on black so that it shows on any image."""
    from PIL import ImageDraw

    canvas = ImageDraw.Draw(image)
    width = max(1, round((image.width * image.height) ** 0.5 / 300))
    box = [round(value) for value in region]
    canvas.rectangle(box, outline="black", width=3 * width)
    inner = [box[0] + width, box[1] + width, box[2] - width, box[3] - width]
    if inner[0] <= inner[2] and inner[1] <= inner[3]:
        canvas.rectangle(inner, outline="white", width=width)


def _stamp(source: Source) -> dict[str, int] | None:
    """Size and time of a source's file, which change when it is written; ``None`` for a URL."""
    if is_url(source.image):
        return None
    try:
        status = os.stat(source.file or source.image)
    except (OSError, ValueError):
        return None
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}
