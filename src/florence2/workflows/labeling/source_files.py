"""What in a directory is a source of a run, and what is passed over and said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ...datasets.exporters.capacity import TARGETS
from ...processing.containers import PDF_SUFFIXES, VIDEO_SUFFIXES

ARCHIVE_SUFFIXES = frozenset({".7z", ".gz", ".parquet", ".rar", ".tar", ".tgz", ".zip", ".zst"})
# Images and videos of formats that are not read: they are counted, not silently left out.
_UNREADABLE_SUFFIXES = frozenset(
    {
        ".3gp",
        ".ai",
        ".apng",
        ".arw",
        ".cr2",
        ".cr3",
        ".djvu",
        ".dng",
        ".emf",
        ".eps",
        ".exr",
        ".flv",
        ".hdr",
        ".heic",
        ".heif",
        ".hif",
        ".icns",
        ".ico",
        ".jxl",
        ".jxr",
        ".m2ts",
        ".mts",
        ".nef",
        ".ogv",
        ".orf",
        ".pcx",
        ".ps",
        ".psd",
        ".raf",
        ".raw",
        ".rw2",
        ".svg",
        ".tga",
        ".ts",
        ".wdp",
        ".wmf",
        ".wmv",
        ".xcf",
    }
)
# What a run writes into its directory besides the directories of its formats.
_RUN_OUTPUTS = frozenset({"pictures", "sidecars", *TARGETS})
_SHOWN_DIRECTORIES = 3


@dataclass
class PassedOver:
    """What a listing left out, by suffix and by directory."""

    suffixes: Counter[str] = field(default_factory=Counter)
    run_outputs: list[Path] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What to tell about it; nothing where everything was taken."""
        told = []
        archives = {each: n for each, n in self.suffixes.items() if each in ARCHIVE_SUFFIXES}
        images = {each: n for each, n in self.suffixes.items() if each not in ARCHIVE_SUFFIXES}
        for found, remedy in (
            (images, "convert them to PNG or JPEG first"),
            (archives, "extract them, or read them with florence2 engine run"),
        ):
            if found:
                count = sum(found.values())
                named = ", ".join(f"{suffix} ({n:,})" for suffix, n in sorted(found.items()))
                files = "1 file" if count == 1 else f"{count:,} files"
                told.append(f"{files} skipped: {named}; {remedy}")
        if self.run_outputs:
            named = ", ".join(map(str, self.run_outputs[:_SHOWN_DIRECTORIES]))
            more = len(self.run_outputs) - _SHOWN_DIRECTORIES
            named += f" and {more:,} more" if more > 0 else ""
            told.append(f"skipped what earlier runs wrote: {named}")
        return told


@cache
def source_suffixes() -> frozenset[str]:
    """The suffixes of the files in a directory that are sources, in lower case."""
    from ...processing.image import IMAGE_SUFFIXES

    return IMAGE_SUFFIXES | PDF_SUFFIXES | VIDEO_SUFFIXES


def is_source_name(name: str) -> bool:
    """Whether a file of this name in a directory is a source; hidden files are none."""
    return not name.startswith(".") and _suffix(name) in source_suffixes()


def walk_directory(
    root: Path, left_out: frozenset[Path], passed_over: PassedOver
) -> Iterator[Path]:
    """The source files below ``root`` in the order of their paths.

    Hidden files and directories, the directories ``left_out`` and what earlier runs wrote are
    passed over.
    """
    found: list[Path] = []
    for parent, directories, names in os.walk(root):
        is_run = "run.json" in names and "answers.jsonl" in names
        kept = []
        for name in directories:
            path = Path(parent, name)
            if name.startswith(".") or (left_out and path.resolve() in left_out):
                continue
            if is_run and name in _RUN_OUTPUTS:
                passed_over.run_outputs.append(path)
                continue
            kept.append(name)
        directories[:] = kept
        for name in names:
            if is_source_name(name):
                found.append(Path(parent, name))
            else:
                note_unread(name, passed_over)
    yield from sorted(found)


def note_unread(name: str, passed_over: PassedOver) -> None:
    """Count a file that looks like images and is not read."""
    suffix = _suffix(name)
    unread = (_UNREADABLE_SUFFIXES - source_suffixes()) | ARCHIVE_SUFFIXES
    if not name.startswith(".") and suffix in unread:
        passed_over.suffixes[suffix] += 1


def check_not_archive(name: str) -> None:
    """Raise ``ValueError`` for an archive named as a source."""
    if _suffix(name) in ARCHIVE_SUFFIXES:
        raise ValueError(
            f"{name} is an archive: extract it and name the directory, or annotate what is in it "
            f"with florence2 engine run --images {name}"
        )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
