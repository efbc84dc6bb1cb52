"""The file of prediction lines, with which a killed run is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...io.run_dir import RunDir
from .label_requests import LabelRequest, request_key
from .output_names import check_output_name
from .prediction_line import Line, encode_lines


class ProgressLog:
    """Prediction lines appended to a file of a run directory, with an index of those it has.

    The lines of an earlier run are kept, except a partial last line, error lines (their images are
    tried again), a second prediction of the same request about the same image, and those that
    ``is_stale`` rejects. They are removed in one replacement of the file before anything is
    appended.

    Raises:
        ValueError: the file holds something that is not a prediction line.
    """

    def __init__(
        self, run: RunDir, name: str, is_stale: Callable[[Line], bool] = lambda line: False
    ) -> None:
        self._path = run.path / name
        self._is_stale = is_stale
        self._offsets: dict[tuple[str, str], int] = {}
        self._size = 0
        self._image_by_name: dict[str, str] = {}
        self.repeated = 0
        self.stale: set[str] = set()
        self._file = run.ledger(name, self._keep)

    @property
    def output_names(self) -> Mapping[str, str]:
        """The image that each output name (``Line["name"]``) of an earlier run belongs to."""
        return dict(self._image_by_name)

    def has(self, image: str, request: LabelRequest) -> bool:
        """Whether an earlier run wrote the prediction of ``request`` about ``image``."""
        return (image, request.key) in self._offsets

    def read(self, image: str, request: LabelRequest) -> Line:
        """The line of an earlier run for ``request`` about ``image``."""
        with self._path.open("rb") as stream:
            stream.seek(self._offsets[image, request.key])
            return _parse(stream.readline(), self._path)

    def append(self, lines: Sequence[Line]) -> None:
        """Write ``lines`` whole, or none of them when the disk is full."""
        self._file.append(encode_lines(lines))

    def _keep(self, raw: bytes) -> bool:
        line = _parse(raw, self._path)
        key = (line["image"], request_key(line))
        if "error" in line:
            return False
        if key in self._offsets:
            self.repeated += 1
            return False
        if self._is_stale(line):
            self.stale.add(line["image"])
            return False
        if "name" in line:
            self._image_by_name[_checked_name(line, self._path)] = line["image"]
        self._offsets[key] = self._size
        self._size += len(raw)
        return True


def _checked_name(line: Line, path: Path) -> str:
    try:
        return check_output_name(line["name"], path.parent)
    except ValueError as error:
        raise ValueError(
            f"{path} names an output of {line['image']!r:.100} outside its directory ({error}); "
            "fix the file, or pass another --out"
        ) from error


def _parse(raw: bytes, path: Path) -> Line:
    try:
        line = json.loads(raw)
        if isinstance(line, dict) and isinstance(line.get("image"), str) and "task" in line:
            return line
    except (ValueError, RecursionError):
        pass
    raise ValueError(
        f"{path} holds something that is not a prediction line: {raw[:80]!r}; "
        "fix the file, or pass another --out"
    )
