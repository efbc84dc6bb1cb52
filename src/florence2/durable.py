"""Files that are there whole or not at all, also after the power fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
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


def synchronise(path: Path) -> None:
    """Make the disk hold what was written to a file, or what was renamed in a folder."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
