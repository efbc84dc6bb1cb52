"""Files that are there whole or not at all, also after the power fails."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` when the block ends without an error.

    Whoever looks finds the old file or the new one, never a part. The temporary name is always
    the same one, so that a killed run leaves at most one behind and the next run writes over it.
    Folders on the way are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    synchronise(temporary)
    temporary.replace(path)
    synchronise(path.parent)


def replace_file(path: Path, content: bytes | str) -> None:
    """Put ``content`` at ``path``, text as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def replace_json(path: Path, values: Mapping[str, Any] | Sequence[Any]) -> None:
    """Put ``values`` at ``path`` as indented JSON."""
    replace_file(path, json.dumps(values, indent=2) + "\n")


def file_hash(path: Path) -> str:
    """The SHA-256 of the file at ``path``, in hexadecimal, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def synchronise(path: Path) -> None:
    """Make the disk hold what was written to a file, or what was renamed in a folder."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LineFile:
    """A file that grows by whole lines: a kill costs at most the line in the making.

    Leaving the block puts what was written on the disk.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def append(self, content: bytes) -> None:
        """Write lines in one piece. When the disk refuses a part, none of it stays."""
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, content)
            while written < len(content):
                written += os.write(self._file, content[written:])
        except OSError:
            os.ftruncate(self._file, size)
            raise


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file with their ends, without a last one that was cut in the writing.

    None where there is no file.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def keep_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Replace a file by ``lines`` if it holds anything else; a file that is not there stays so."""
    kept = b"".join(lines)
    if path.exists() and path.read_bytes() != kept:
        replace_file(path, kept)
