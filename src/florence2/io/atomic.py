"""Files that are written completely or not at all, even after a power failure."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# With less free space than this, an unexplained write error is a full disk.
_NEARLY_FULL_BYTES = 2**20


class DiskFullError(OSError):
    """The disk is full; the message names the directory, what is kept and the remedy."""


@contextmanager
def explain_full_disk(directory: Path, kept: str = "") -> Iterator[None]:
    """A block that writes below ``directory``: a full disk ends it with ``DiskFullError``.

    ``kept`` is a sentence about what is not lost. Other errors pass.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        unexplained = _is_writing(error) and _free_bytes(directory) < _NEARLY_FULL_BYTES
        if not _is_full(error) and not unexplained:
            raise
        raise DiskFullError(full_disk_message(directory, kept)) from error


def full_disk_message(directory: Path, kept: str = "") -> str:
    """The message for a full disk of ``directory``."""
    free = _free_bytes(directory) / 2**20
    kept = f" {kept}" if kept else ""
    return (
        f"no space left on the disk that holds {directory} ({free:,.1f} MiB free).{kept} "
        "Free some space, then run the same command again"
    )


def _free_bytes(directory: Path) -> int:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return _NEARLY_FULL_BYTES


def _is_writing(error: BaseException) -> bool:
    """Whether torch failed to write; its error has no reason."""
    return isinstance(error, RuntimeError) and "writ" in str(error)


def _is_full(error: BaseException | None) -> bool:
    """Whether an error or one of its causes is that of a full disk."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def add_path_to_errors(path: Path) -> Iterator[None]:
    """A block whose ``OSError`` gets the file name ``path`` if it has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` when the block ends without an error.

    Readers see the old file or the new one, never a part. The temporary name is always the same,
    so that a killed run leaves at most one file, which the next run overwrites.
    Directories on the way are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with add_path_to_errors(path):
            yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync(temporary)
    temporary.replace(path)
    fsync(path.parent)


def atomic_replace(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` atomically, text as UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def replace_json(path: Path, values: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write ``values`` to ``path`` atomically, as indented JSON."""
    atomic_replace(path, json.dumps(values, indent=2) + "\n")


def file_hash(path: Path) -> str:
    """The SHA-256 of the file at ``path``, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open directories
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class JsonlAppender:
    """A file that grows by whole lines: a kill loses at most the line in progress.

    The end of the block flushes it to the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def __enter__(self) -> JsonlAppender:
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
        """Write lines in one call. When the disk refuses a part, all of it is removed."""
        size = os.fstat(self._file).st_size
        try:
            with add_path_to_errors(self._path):
                written = os.write(self._file, content)
                while written < len(content):
                    written += os.write(self._file, content[written:])
        except OSError:
            os.ftruncate(self._file, size)
            raise


def complete_lines(path: Path) -> list[bytes]:
    """The lines of a file with their line ends, without an incomplete last one.

    Returns an empty list where there is no file.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def truncate_partial_line(path: Path, lines: Iterable[bytes]) -> None:
    """Replace a file by ``lines`` if its content differs; does nothing without a file."""
    kept = b"".join(lines)
    if path.exists() and path.read_bytes() != kept:
        atomic_replace(path, kept)
