"""A fingerprint of a dataset's files: what a conversion was made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...io.file_types import IMAGE_SUFFIXES
from ...io.files import open_regular

# Label files are hashed; of images and of larger files the size and the time of change count.
_MAX_HASHED = 1024**3
_BY_TIME = frozenset((*IMAGE_SUFFIXES, ".parquet", ".arrow", ".tar", ".zip"))
# A directory with one of these files is an output of florence2 below the dataset.
_RESULTS = frozenset(("manifest.json", "recipe.json", "answers.jsonl", ".florence2-files.jsonl"))


def fingerprint_source(source: Path, others: Iterable[Path] = ()) -> str:
    """The fingerprint of the file or directory ``source``, and of ``others``.

    Args:
        source: The dataset. Hidden files in it do not count, nor do directories of results.
        others: Further files and directories that are read, such as one of images.

    Returns:
        64 hexadecimal digits. Other label files, and other images, give other digits.
    """
    digest = hashlib.sha256()
    for root in (source, *others):
        # A single label file is hashed alone: its images may be anywhere.
        for path in _walk(root) if root.is_dir() else (root,):
            name = os.fsencode(os.path.relpath(path, root))
            digest.update(len(name).to_bytes(4, "big") + name + _fingerprint_file(path))
    return digest.hexdigest()


def _walk(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(directory):
        if Path(parent) != directory and not _RESULTS.isdisjoint(files):
            directories.clear()
            continue
        directories[:] = sorted(each for each in directories if not each.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent, name)


def _fingerprint_file(path: Path) -> bytes:
    try:
        status = path.stat()
        if path.suffix.lower() in _BY_TIME or status.st_size > _MAX_HASHED:
            return f"{status.st_size} {status.st_mtime_ns}".encode()
        digest = hashlib.sha256()
        with open_regular(path) as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
        return digest.digest()
    except (OSError, ValueError):
        return b"unreadable"
