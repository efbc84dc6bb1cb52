"""The files in a directory that are sources of a run, and those that are skipped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...datasets.exporters.capacity import RENAMED_TARGETS, TARGETS
from ...io.file_types import (
    ARCHIVE_SUFFIXES,
    IMAGE_SUFFIXES,
    PDF_SUFFIXES,
    UNSUPPORTED_SUFFIXES,
    VIDEO_SUFFIXES,
)

# The suffixes of the files in a directory that are sources.
SOURCE_SUFFIXES = IMAGE_SUFFIXES | PDF_SUFFIXES | VIDEO_SUFFIXES
# What a run writes into its directory besides the directories of its formats.
_RUN_OUTPUTS = frozenset({"pictures", "sidecars", *TARGETS, *RENAMED_TARGETS})
_SHOWN_DIRECTORIES = 3


@dataclass
class SkippedFiles:
    """The files that a listing skipped, by suffix, and the directories of earlier runs."""

    suffixes: Counter[str] = field(default_factory=Counter)
    run_outputs: list[Path] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """Sentences that report them; none when nothing was skipped."""
        sentences = []
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
                sentences.append(f"{files} skipped: {named}; {remedy}")
        if self.run_outputs:
            named = ", ".join(map(str, self.run_outputs[:_SHOWN_DIRECTORIES]))
            more = len(self.run_outputs) - _SHOWN_DIRECTORIES
            named += f" and {more:,} more" if more > 0 else ""
            sentences.append(f"skipped the output of earlier runs: {named}")
        return sentences


def is_source_name(name: str) -> bool:
    """Whether a file of this name in a directory is a source; hidden files are not."""
    return not name.startswith(".") and _suffix(name) in SOURCE_SUFFIXES


def walk_directory(root: Path, excluded: frozenset[Path], skipped: SkippedFiles) -> Iterator[Path]:
    """The source files below ``root``, sorted by path.

    Hidden files and directories, the directories ``excluded`` and the output of earlier runs are
    skipped.
    """
    found: list[Path] = []
    for parent, directories, names in os.walk(root):
        is_run = "run.json" in names and "answers.jsonl" in names
        kept = []
        for name in directories:
            path = Path(parent, name)
            if name.startswith(".") or (excluded and path.resolve() in excluded):
                continue
            if is_run and name in _RUN_OUTPUTS:
                skipped.run_outputs.append(path)
                continue
            kept.append(name)
        directories[:] = kept
        for name in names:
            if is_source_name(name):
                found.append(Path(parent, name))
            else:
                count_unread(name, skipped)
    yield from sorted(found)


def count_unread(name: str, skipped: SkippedFiles) -> None:
    """Count a file that may hold images and is not read."""
    suffix = _suffix(name)
    unread = UNSUPPORTED_SUFFIXES | ARCHIVE_SUFFIXES
    if not name.startswith(".") and suffix in unread:
        skipped.suffixes[suffix] += 1


def check_not_archive(name: str) -> None:
    """Raise ``ValueError`` for an archive named as a source."""
    if _suffix(name) in ARCHIVE_SUFFIXES:
        raise ValueError(
            f"{name} is an archive: extract it and name the directory, or annotate its images "
            f"with florence2 engine run --images {name}"
        )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()
