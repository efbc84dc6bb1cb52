"""Text files of labels: decoded and split into lines the way other programs write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...io.files import FileRefusedError, open_regular, read_text
from .problems import LabelError

# A larger file is not a label file.
MAX_LABEL_BYTES = 16 * 2**20
MAX_LIST_BYTES = 512 * 2**20
MAX_LINE_BYTES = 16 * 2**20
_LINE_END = re.compile(r"\r\n|\n|\r")


def read_label_text(path: Path, max_bytes: int = MAX_LABEL_BYTES) -> str:
    """Read a text file: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises ``LabelError`` for a file that is missing, not a regular file, too large or not text.
    """
    try:
        return read_text(path, max_bytes)
    except FileNotFoundError as error:
        raise LabelError("missing-file", f"{path} is missing") from error
    except FileRefusedError as error:
        raise LabelError("malformed", str(error)) from error
    except (OSError, ValueError) as error:
        raise LabelError("malformed", f"{path} cannot be read: {error}") from error


def split_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, stripped, with their numbers from 1.

    A line ends with LF, CRLF or CR. Unlike ``str.splitlines``, other separators are text.
    """
    for number, line in enumerate(_LINE_END.split(text), start=1):
        stripped = line.strip()
        if stripped:
            yield number, stripped


def stream_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that may be large, as UTF-8 bytes with their numbers from 1.

    A line over ``MAX_LINE_BYTES`` is cut to one byte more than that. Raises the errors of
    ``read_text``.
    """
    with open_regular(path) as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            text = read_text(path, MAX_LIST_BYTES)
            for number, line in enumerate(_LINE_END.split(text), start=1):
                yield number, line.encode("utf-8", "surrogatepass")
            return
        stream.seek(0)
        number = 0
        while content := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            yield number, content
            while len(content) > MAX_LINE_BYTES and not content.endswith(b"\n"):
                content = stream.readline(MAX_LINE_BYTES + 1)
