"""The directory of an export: locked by one process, and of one dataset only.

What a conversion writes is listed in a hidden file of the directory, so that a later one can tell a
set of its own from another, and remove it whole.
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
_PLACES = {
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
    folder: Path,
    format: str,
    origin: Mapping[str, Any],
    *,
    overwrite: bool = False,
    owned: bool = False,
) -> Iterator[Note]:
    """Lock ``folder`` for a dataset of ``format`` made from ``origin`` while the block runs.

    Gives the function that lists a file, by its place in the directory, before it is written. The
    directory is made at the first one.

    Args:
        directory: Where the set is written to.
        format: The format of the set.
        origin: What the set is made from and how; the same again writes the same files again.
        overwrite: Remove the files that an earlier conversion listed, whatever it was of.
        owned: The directory belongs to the caller, whatever it holds.

    Raises:
        RunLockedError: Another process writes there.
        ValueError: The directory holds another set, or files that no conversion listed.
    """
    with lock_run_dir(folder):
        listed = read_files_list(folder)
        plain = json.loads(json.dumps(dict(origin), default=str))
        if listed is not None and "target" in listed["origin"]:
            target = listed["origin"]["target"]
            listed["origin"]["target"] = RENAMED_TARGETS.get(target, target)
        if listed is None and not owned:
            _refuse_unlisted(folder, format)
        elif listed is not None and listed["origin"] != plain and not (overwrite or owned):
            raise ValueError(
                f"{folder} holds a set made from {_describe(listed['origin'], plain)}; choose "
                "another directory, or replace that set with overwrite=True"
            )
        writing = _FilesList(folder, plain, listed)
        try:
            yield writing.add
        finally:
            writing.close()


def read_files_list(folder: Path) -> dict[str, Any] | None:
    """What an earlier conversion listed: its ``origin`` and ``files``; ``None`` where none did."""
    lines = complete_lines(folder / FILES_LIST)
    if not lines:
        return None
    try:
        head, *files = [json.loads(line) for line in lines]
        return {
            "origin": head["origin"],
            "files": [each for each in files if isinstance(each, str)],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / FILES_LIST} is damaged ({error}); choose another directory"
        ) from error


class _FilesList:
    """The list of files. At its first one, the files of the earlier conversion are removed."""

    def __init__(
        self, folder: Path, origin: dict[str, Any], earlier: dict[str, Any] | None
    ) -> None:
        self._folder, self._origin, self._earlier = folder, origin, earlier
        self._file: JsonlAppender | None = None
        self._known: set[str] = set()

    def add(self, place: str) -> None:
        if self._file is None:
            self._file = self._begin()
        if place not in self._known:
            self._known.add(place)
            self._file.append(json.dumps(place).encode() + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.__exit__(None, None, None)

    def _begin(self) -> JsonlAppender:
        path = self._folder / FILES_LIST
        if self._earlier is not None:
            for place in self._earlier["files"]:
                _remove(self._folder, place)
            # The list goes last: a kill in between leaves what is left of the set listed.
            path.unlink()
        file = JsonlAppender(path)
        file.append(json.dumps({"origin": self._origin}).encode() + b"\n")
        return file


def _remove(folder: Path, place: str) -> None:
    """Remove a file that was listed, and the directories that are empty then."""
    try:
        path = confine(folder, place)
        path.unlink()
        for parent in path.parents:
            if parent == folder:
                return
            parent.rmdir()
    except (OSError, ValueError):
        return


def _refuse_unlisted(folder: Path, format: str) -> None:
    family = "yolo" if format.startswith("yolo") else format
    found = [name for name in _PLACES.get(family, ()) if (folder / name).exists()]
    if (folder / "manifest.json").exists():
        found.append("manifest.json")
    if not found and family in _PLACES and folder.is_dir():
        # Images below those of a source would be read as its own from then on.
        names = sorted(os.listdir(folder))
        found = [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES][:1]
    if not found and format in _SUFFIXES and folder.is_dir():
        found = [
            path.relative_to(folder).as_posix()
            for path in folder.rglob(f"*{_SUFFIXES[format]}")
            if path.name != LOCK_FILE
        ][:1]
    if found:
        raise ValueError(
            f"{folder} holds {found[0]!r}, which no conversion of this release wrote: choose "
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
    """The values of an origin, those of a mapping in it by their own names."""
    values: dict[str, Any] = {}
    for name, value in origin.items():
        values |= value if isinstance(value, dict) else {name: value}
    return values
