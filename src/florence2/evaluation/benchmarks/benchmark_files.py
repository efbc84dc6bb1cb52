"""Finds, reads and checks the official files of a benchmark in a directory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...io import files
from ...io.paths import confine
from ..metrics.input_checks import check_unique

Id = str | int
_SHOWN = 200


def find_file(data: Path, names: Iterable[str], source: str) -> Path:
    """The first of ``names`` (paths below ``data``) that exists.

    Raises ``FileNotFoundError`` with all names and ``source``, where they are available.
    """
    candidates = list(names)
    if not data.is_dir():
        raise FileNotFoundError(f"directory {data} does not exist; make it and put there: {source}")
    for name in candidates:
        if (data / name).is_file():
            return data / name
    raise FileNotFoundError(f"{data} has no {' or '.join(candidates)}; what is needed: {source}")


def find_directory(data: Path, names: Iterable[str], source: str) -> Path:
    """The first directory of ``names`` that exists, ``data`` itself for ``"."``."""
    candidates = list(names)
    for name in candidates:
        if (data / name).is_dir():
            return data / name
    raise FileNotFoundError(
        f"{data} has no directory {' or '.join(candidates)}; what is needed: {source}"
    )


def read_json(path: Path, *keys: str) -> Any:
    """The content of a JSON file; ``ValueError`` when it is damaged or lacks ``keys``."""
    try:
        content = files.read_json(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}; get it again") from error
    missing = [key for key in keys if not isinstance(content, Mapping) or key not in content]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: it is not the expected file")
    return content


def get_entries(content: Any, key: str | None, path: Path) -> list[Mapping[str, Any]]:
    """The objects listed under ``key`` of a file's content, or in the content itself.

    Raises ``ValueError`` when it is not a list of objects.
    """
    found = content if key is None else content.get(key)
    what = "the file" if key is None else repr(key)
    if not isinstance(found, list):
        raise ValueError(
            f"{path}: {what} is not a list but {_shorten(found)}: it is not the expected file"
        )
    for number, entry in enumerate(found):
        if not isinstance(entry, Mapping):
            raise ValueError(
                f"{path}: entry {number} of {what} is not an object: {_shorten(entry)}"
            )
    return found


def get_field(entry: Mapping[str, Any], name: str, path: Path) -> Any:
    """One field of an entry; ``ValueError`` with the entry when it is missing."""
    if not isinstance(entry, Mapping) or name not in entry:
        raise ValueError(f"{path}: an entry has no {name!r}: {_shorten(entry)}")
    return entry[name]


def get_id(entry: Mapping[str, Any], name: str, path: Path) -> Id:
    """An id of an entry as in the file: a string or an integer.

    ``1.0``, which some programs write for 1, is 1. Raises ``ValueError`` with file and value for
    another value.
    """
    value = get_field(entry, name, path)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(
        f"{path}: {name} must be an integer or a string, got {_shorten(value)} in {_shorten(entry)}"
    )


def check_ids(ids: Iterable[Id], what: str) -> None:
    """Raise ``ValueError`` that names the ids which occur more than once.

    Ids are compared as text, so that 1 and "1" are equal.
    """
    listed = list(ids)
    check_unique(listed, what)
    check_unique(map(str, listed), what)


def id_sort_key(value: Id) -> tuple[bool, Id]:
    """A key to sort ids by: numbers by value, before strings."""
    return isinstance(value, str), value


def get_integer(entry: Mapping[str, Any], name: str, path: Path) -> int:
    """A field that must be an integer because file names contain it.

    A string of digits is accepted. Raises ``ValueError`` with file and value for another value.
    """
    value = get_id(entry, name, path)
    try:
        return int(value)
    except ValueError:
        raise ValueError(
            f"{path}: {name} must be an integer, as image files are named by it, got {value!r}"
        ) from None


def image_path(directory: Path, name: Any, path: Path) -> Path:
    """The path of the image ``name`` from the file at ``path``, below ``directory``.

    Links in the directory are followed. Raises ``ValueError`` with file and name for a name that
    leads outside.
    """
    try:
        return confine(directory, str(name), follow_links=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def get_box(entry: Mapping[str, Any], path: Path) -> tuple[float, float, float, float]:
    """The ``bbox`` of an annotation: left, top, width and height in pixels.

    Raises ``ValueError`` that names the annotation when it is not four finite numbers.
    """
    values = get_field(entry, "bbox", path)
    if isinstance(values, list | tuple) and len(values) == 4 and all(map(_is_finite, values)):
        left, top, width, height = map(float, values)
        return left, top, width, height
    raise ValueError(
        f"{path}: annotation {entry.get('id')!r} has bbox {_shorten(values)}, which is not four "
        "finite numbers (left, top, width, height): correct or remove the annotation"
    )


def check_split_name(content: Mapping[str, Any], key: str, split: str, path: Path) -> None:
    """Raise ``ValueError`` when the file names another split; some files name none."""
    found = str(content.get(key, split))
    if found != split:
        raise ValueError(f"{path} is of split {found!r}, not {split!r}")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shorten(value: Any) -> str:
    text = str(dict(value)) if isinstance(value, Mapping) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
