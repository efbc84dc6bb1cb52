"""The official files of a benchmark in a user's folder: found, read and checked."""

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
    """The first of ``names`` (paths below ``data``) that is there.

    Raises ``FileNotFoundError`` that names them all and says where they are got.
    """
    wanted = list(names)
    if not data.is_dir():
        raise FileNotFoundError(f"there is no folder {data}; make it and put there: {source}")
    for name in wanted:
        if (data / name).is_file():
            return data / name
    raise FileNotFoundError(f"{data} has no {' or '.join(wanted)}; what is needed: {source}")


def find_folder(data: Path, names: Iterable[str], source: str) -> Path:
    """The first folder of ``names`` that is there, ``data`` itself for ``"."``."""
    wanted = list(names)
    for name in wanted:
        if (data / name).is_dir():
            return data / name
    raise FileNotFoundError(f"{data} has no folder {' or '.join(wanted)}; what is needed: {source}")


def read_json(path: Path, *keys: str) -> Any:
    """What a JSON file holds; a ``ValueError`` when it is damaged or an object without ``keys``."""
    try:
        content = files.read_json(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}; get it again") from error
    missing = [key for key in keys if not isinstance(content, Mapping) or key not in content]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: is it another file by that name?")
    return content


def entries_of(content: Any, key: str | None, path: Path) -> list[Mapping[str, Any]]:
    """The objects listed under ``key`` of a file's content, or in the content itself.

    Raises ``ValueError`` when there is no list, or when it holds anything but objects.
    """
    found = content if key is None else content.get(key)
    what = "the file" if key is None else repr(key)
    if not isinstance(found, list):
        raise ValueError(
            f"{path}: {what} is not a list but {_shown(found)}: is it another file by that name?"
        )
    for number, entry in enumerate(found):
        if not isinstance(entry, Mapping):
            raise ValueError(f"{path}: entry {number} of {what} is not an object: {_shown(entry)}")
    return found


def field_of(entry: Mapping[str, Any], name: str, path: Path) -> Any:
    """One field of an entry; a ``ValueError`` that shows the entry when it is not there."""
    if not isinstance(entry, Mapping) or name not in entry:
        raise ValueError(f"{path}: an entry has no {name!r}: {_shown(entry)}")
    return entry[name]


def id_of(entry: Mapping[str, Any], name: str, path: Path) -> Id:
    """An id of an entry as the file has it: a string, or a whole number.

    ``1.0``, which some programs write for 1, is 1. Raises ``ValueError`` with file and value for
    anything else.
    """
    value = field_of(entry, name, path)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ValueError(
        f"{path}: {name} must be a whole number or a string, got {_shown(value)} in {_shown(entry)}"
    )


def check_ids(ids: Iterable[Id], what: str) -> None:
    """Raise ``ValueError`` that names the ids which occur more than once.

    Cases are told apart by the text of their ids, so that 1 and "1" are one.
    """
    listed = list(ids)
    check_unique(listed, what)
    check_unique(map(str, listed), what)


def order_of_id(value: Id) -> tuple[bool, Id]:
    """A key to sort ids by: numbers by value, before strings."""
    return isinstance(value, str), value


def whole_number_of(entry: Mapping[str, Any], name: str, path: Path) -> int:
    """A field that must be a whole number because file names are made of it.

    A string of digits counts. Raises ``ValueError`` with file and value for anything else.
    """
    value = id_of(entry, name, path)
    try:
        return int(value)
    except ValueError:
        raise ValueError(
            f"{path}: {name} must be a whole number, as image files are named by it, got {value!r}"
        ) from None


def image_path(folder: Path, name: Any, path: Path) -> Path:
    """The image of a name that the file at ``path`` gives, below ``folder``.

    Links that the owner of the data set laid there may lead anywhere; a name may not. Raises
    ``ValueError`` with file and name for one that leads outside.
    """
    try:
        return confine(folder, str(name), follow_links=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def box_of(entry: Mapping[str, Any], path: Path) -> tuple[float, float, float, float]:
    """The ``bbox`` of an annotation: left, top, width and height in pixels.

    Raises ``ValueError`` that names the annotation when it is not four finite numbers.
    """
    values = field_of(entry, "bbox", path)
    if isinstance(values, list | tuple) and len(values) == 4 and all(map(_is_finite, values)):
        left, top, width, height = map(float, values)
        return left, top, width, height
    raise ValueError(
        f"{path}: annotation {entry.get('id')!r} has bbox {_shown(values)}, which is not four "
        "finite numbers (left, top, width, height): correct or remove the annotation"
    )


def check_split_name(content: Mapping[str, Any], key: str, split: str, path: Path) -> None:
    """Raise ``ValueError`` when a file says that it is of another split; some do not say."""
    said = str(content.get(key, split))
    if said != split:
        raise ValueError(f"{path} says it is of split {said!r}, not {split!r}")


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = str(dict(value)) if isinstance(value, Mapping) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
