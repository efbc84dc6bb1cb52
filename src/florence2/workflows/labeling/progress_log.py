"""The file of answer lines: what a killed run had finished is in it, once and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ...io.atomic import JsonlAppender, complete_lines, truncate_partial_line
from .label_requests import Question, question_key
from .output_names import check_output_name
from .prediction_line import Line, encode_lines


class Journal:
    """Answer lines appended to ``path``, and the knowledge of which are there.

    The lines of an earlier run are kept, except a last line that was cut in the writing, error
    lines (their images are asked again), a second answer to the same question about the same
    image, and those that ``is_stale`` rejects. All of them go in one replacement of the file
    before anything is appended. Raises ``ValueError`` when the file holds what is no answer line.
    """

    def __init__(self, path: Path, is_stale: Callable[[Line], bool] = lambda line: False) -> None:
        self._path = path
        self._offsets: dict[tuple[str, str], int] = {}
        self._taken_names: dict[str, str] = {}
        self.repeated = 0
        self.stale: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        truncate_partial_line(path, self._kept(complete_lines(path), is_stale))
        self._file = JsonlAppender(path)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, traceback)

    @property
    def answered(self) -> int:
        """How many answers of an earlier run were kept."""
        return len(self._offsets)

    @property
    def output_names(self) -> Mapping[str, str]:
        """The image that each output name (``Line["name"]``) of an earlier run belongs to."""
        return dict(self._taken_names)

    def has(self, image: str, question: Question) -> bool:
        """Whether the answer to ``question`` about ``image`` was written in an earlier run."""
        return (image, question.key) in self._offsets

    def read(self, image: str, question: Question) -> Line:
        """The line of an earlier run that answers ``question`` about ``image``."""
        with self._path.open("rb") as stream:
            stream.seek(self._offsets[image, question.key])
            return _parse(stream.readline(), self._path)

    def append(self, lines: Sequence[Line]) -> None:
        """Write ``lines`` in one piece. When the disk refuses a part, none of it stays."""
        self._file.append(encode_lines(lines))

    def _kept(self, lines: Sequence[bytes], is_stale: Callable[[Line], bool]) -> list[bytes]:
        kept: list[bytes] = []
        offset = 0
        for raw in lines:
            line = _parse(raw, self._path)
            key = (line["image"], question_key(line))
            if "error" in line:
                continue
            if key in self._offsets:
                self.repeated += 1
                continue
            if is_stale(line):
                self.stale.add(line["image"])
                continue
            self._offsets[key] = offset
            if "name" in line:
                name = _checked_name(line, self._path)
                self._taken_names[name] = line["image"]
            offset += len(raw)
            kept.append(raw)
        return kept


def _checked_name(line: Line, path: Path) -> str:
    try:
        return check_output_name(line["name"], path.parent)
    except ValueError as error:
        raise ValueError(
            f"{path} names an output of {line['image']!r:.100} outside its directory ({error}); "
            "mend it, or choose another --out"
        ) from error


def _parse(raw: bytes, path: Path) -> Line:
    try:
        line = json.loads(raw)
        if isinstance(line, dict) and isinstance(line.get("image"), str) and "task" in line:
            return line
    except (ValueError, RecursionError):
        pass
    raise ValueError(
        f"{path} holds something that is no answer line: {raw[:80]!r}; "
        "mend it, or choose another --out"
    )
