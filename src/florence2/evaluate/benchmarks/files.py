"""The official files of a benchmark in a user's folder: found, read and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


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
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}; get it again") from error
    missing = [key for key in keys if not isinstance(content, Mapping) or key not in content]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: is it another file by that name?")
    return content


def field_of(entry: Mapping[str, Any], name: str, path: Path) -> Any:
    """One field of an entry; a ``ValueError`` that shows the entry when it is not there."""
    if name not in entry:
        raise ValueError(f"{path}: an entry has no {name!r}: {str(dict(entry))[:200]}")
    return entry[name]


def check_split_name(content: Mapping[str, Any], key: str, split: str, path: Path) -> None:
    """Raise ``ValueError`` when a file says that it is of another split; some do not say."""
    said = str(content.get(key, split))
    if said != split:
        raise ValueError(f"{path} says it is of split {said!r}, not {split!r}")
