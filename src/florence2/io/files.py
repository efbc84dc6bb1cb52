"""Reading files from other sources: regular files only, within a size limit."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON_BYTES = 2**30
MAX_TEXT_BYTES = 2**24


class FileRefusedError(ValueError):
    """A path that is not a regular file, or a file over its size limit."""


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading.

    A FIFO, a socket, a device or a directory is refused without opening it, so that nothing blocks
    and nothing endless is read. A file that claims zero bytes is given as an empty stream: files
    of ``/proc`` claim that and then block or never end.

    Raises:
        FileNotFoundError: There is no such file.
        FileRefusedError: The path is invalid, or not that of a regular file.
        OSError: The file cannot be opened.
    """
    name = os.fspath(path)
    try:
        _check_regular(os.stat(name), name)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(name, flags)
    except ValueError as error:  # a NUL, or characters that the system cannot encode
        if isinstance(error, FileRefusedError):
            raise
        raise FileRefusedError(f"{name!r} is not a path: {error}") from error
    try:
        # The file may have been replaced since the first check.
        status = os.fstat(descriptor)
        _check_regular(status, name)
    except BaseException:
        os.close(descriptor)
        raise
    if status.st_size == 0:
        os.close(descriptor)
        return io.BytesIO()
    return os.fdopen(descriptor, "rb")


def read_regular(path: str | Path, max_bytes: int) -> bytes:
    """Read a regular file of at most ``max_bytes`` bytes.

    Raises what ``open_regular`` raises, and ``FileRefusedError`` for a larger file.
    """
    with open_regular(path) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > max_bytes:
            raise FileRefusedError(f"{path} has {size} bytes; the limit is {max_bytes}")
        stream.seek(0)
        # A read allocates its maximum size, so that is the size of the file.
        content = stream.read(size + 1)
    if len(content) > max_bytes:
        raise FileRefusedError(f"{path} has more than {max_bytes} bytes")
    return content


def read_text(path: str | Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a text file: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises what ``read_regular`` raises, and ``ValueError`` for other encodings.
    """
    content = read_regular(path, max_bytes)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error


def read_json(path: str | Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file of at most ``max_bytes`` bytes.

    Raises what ``read_text`` raises, and ``ValueError`` with the line for text that is not JSON or
    is nested too deeply.
    """
    text = read_text(path, max_bytes)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply to be read as JSON") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    except ValueError as error:  # an integer of thousands of digits
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error


def _check_regular(status: os.stat_result, name: str) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    kind = next((words for test, words in kinds if test(mode)), "a special file")
    raise FileRefusedError(f"{name} is {kind}, not a regular file; name a file")
