"""The file of answer lines: what a killed run had finished is in it, once and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from ..durable import LineFile, keep_lines, whole_lines
from .lines import Line, encode_lines
from .questions import Question, question_key


class Journal:
    """Answer lines appended to ``path``, and the knowledge of which are there.

    The lines of an earlier run are kept, but for a last line that was cut in the writing and for
    error lines: their images are asked again. Both go in one replacement of the file before
    anything is appended. Raises ``ValueError`` when the file holds what is no answer line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = whole_lines(path)
        keep_lines(path, [line for line in lines if "error" not in _parse(line, path)])
        self._offsets: dict[tuple[str, str], int] = {}
        self._taken_names: dict[str, str] = {}
        self._index()
        self._file = LineFile(path)

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
    def output_names(self) -> dict[str, str]:
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

    def _index(self) -> None:
        offset = 0
        for raw in self._raw_lines():
            line = _parse(raw, self._path)
            self._offsets[line["image"], question_key(line)] = offset
            if "name" in line:
                self._taken_names[line["name"]] = line["image"]
            offset += len(raw)

    def _raw_lines(self) -> Iterator[bytes]:
        if self._path.exists():
            with self._path.open("rb") as stream:
                yield from stream


def _parse(raw: bytes, path: Path) -> Line:
    try:
        line = json.loads(raw)
        if isinstance(line, dict) and {"image", "task"} <= line.keys():
            return line
    except ValueError:
        pass
    raise ValueError(
        f"{path} holds something that is no answer line: {raw[:80]!r}; "
        "mend it, or choose another --out"
    )
