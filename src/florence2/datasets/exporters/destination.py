"""The directory of an export: locked by one process, and of one dataset only.

A conversion lists its files in a hidden file of the directory, so that a later conversion can
recognize the dataset and remove all of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...io.atomic import JsonlAppender, complete_lines
from ...io.file_types import IMAGE_SUFFIXES
from ...io.paths import confine
from ...io.run_lock import LOCK_FILE, lock_run_dir
from .capacity import RENAMED_TARGETS

FILES_LIST = ".florence2-files.jsonl"
_IMAGES = "images"
# Files and directories of a dataset in the format.
_FILES = {
    "coco": ("annotations", _IMAGES, "results.json"),
    "yolo": ("data.yaml", "labels", _IMAGES),
    "voc": ("Annotations", "JPEGImages", "ImageSets", "labelmap.txt"),
    "cvat": ("annotations.xml", _IMAGES),
    "label-studio": ("tasks.json", "config.xml", _IMAGES),
    "jsonl": ("answers.jsonl", _IMAGES),
    "csv": ("answers.csv", "classes.json", _IMAGES),
}
# Formats with a file beside each image, by its suffix.
_SUFFIXES = {"sidecars": ".txt", "hocr": ".hocr", "pdf": ".pdf"}
Note = Callable[[str], None]


@contextmanager
def claim_directory(
    directory: Path,
    format: str,
    origin: Mapping[str, Any],
    *,
    overwrite: bool = False,
    owned: bool = False,
) -> Iterator[Note]:
    """Lock ``directory`` for a dataset of ``format`` made from ``origin`` while the block runs.

    Yields the function that lists a file, by its path in the directory, before it is written. The
    directory is made at the first file.

    Args:
        directory: The output directory.
        format: The format of the set.
        origin: What the dataset is made from and how. The same origin gives the same files.
        overwrite: Remove the files that an earlier conversion listed, whatever its origin.
        owned: The directory belongs to the caller: its content is not checked.

    Raises:
        RunLockedError: Another process writes there.
        ValueError: The directory holds another dataset, or files that no conversion listed.
    """
    with lock_run_dir(directory):
        listed = read_files_list(directory)
        plain = json.loads(json.dumps(dict(origin), default=str))
        if listed is not None and "target" in listed["origin"]:
            target = listed["origin"]["target"]
            listed["origin"]["target"] = RENAMED_TARGETS.get(target, target)
        if listed is None and not owned:
            _refuse_unlisted(directory, format)
        elif listed is not None and listed["origin"] != plain and not (overwrite or owned):
            raise ValueError(
                f"{directory} holds a dataset made from {_describe(listed['origin'], plain)}; "
                "choose another directory, or replace it with overwrite=True"
            )
        writing = _FilesList(directory, plain, listed)
        try:
            yield writing.add
        finally:
            writing.close()


def read_files_list(directory: Path) -> dict[str, Any] | None:
    """The ``origin`` and ``files`` that an earlier conversion listed; ``None`` without a list."""
    lines = complete_lines(directory / FILES_LIST)
    if not lines:
        return None
    try:
        head, *files = [json.loads(line) for line in lines]
        return {
            "origin": head["origin"],
            "files": [name for name in files if isinstance(name, str)],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{directory / FILES_LIST} is damaged ({error}); choose another directory"
        ) from error


class _FilesList:
    """The list of files. Its first file removes the files of the earlier conversion."""

    def __init__(
        self, directory: Path, origin: dict[str, Any], earlier: dict[str, Any] | None
    ) -> None:
        self._directory, self._origin, self._earlier = directory, origin, earlier
        self._file: JsonlAppender | None = None
        self._known: set[str] = set()

    def add(self, name: str) -> None:
        if self._file is None:
            self._file = self._begin()
        if name not in self._known:
            self._known.add(name)
            self._file.append(json.dumps(name).encode() + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.__exit__(None, None, None)

    def _begin(self) -> JsonlAppender:
        path = self._directory / FILES_LIST
        if self._earlier is not None:
            for name in self._earlier["files"]:
                _remove(self._directory, name)
            # The list is removed last: after a kill, the remaining files are still listed.
            path.unlink()
        file = JsonlAppender(path)
        file.append(json.dumps({"origin": self._origin}).encode() + b"\n")
        return file


def _remove(directory: Path, name: str) -> None:
    """Remove a listed file, and the directories that are empty without it."""
    try:
        path = confine(directory, name)
        path.unlink()
        for parent in path.parents:
            if parent == directory:
                return
            parent.rmdir()
    except (OSError, ValueError):
        return


def _refuse_unlisted(directory: Path, format: str) -> None:
    family = "yolo" if format.startswith("yolo") else format
    found = [name for name in _FILES.get(family, ()) if (directory / name).exists()]
    if (directory / "manifest.json").exists():
        found.append("manifest.json")
    if not found and family in _FILES and directory.is_dir():
        # The source would later be read with the images that are written below it.
        names = sorted(os.listdir(directory))
        found = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES][:1]
    if not found and format in _SUFFIXES and directory.is_dir():
        found = [
            path.relative_to(directory).as_posix()
            for path in directory.rglob(f"*{_SUFFIXES[format]}")
            if path.name != LOCK_FILE
        ][:1]
    if found:
        raise ValueError(
            f"{directory} holds {found[0]!r}, which no conversion of this release wrote: choose "
            "another directory"
        )


def _describe(found: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    found, given = _flatten(found), _flatten(given)
    names = dict.fromkeys((*found, *given))
    differing = {name: found.get(name) for name in names if found.get(name) != given.get(name)}
    if differing.keys() == {"content"}:
        return f"{found.get('source')} before it was changed"
    return ", ".join(f"{name} {value}" for name, value in differing.items() if name != "content")


def _flatten(origin: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an origin; those of a nested mapping get their own names."""
    values: dict[str, Any] = {}
    for name, value in origin.items():
        values |= value if isinstance(value, dict) else {name: value}
    return values
