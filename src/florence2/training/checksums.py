"""Checksums of a directory: written last, so that whatever they list was whole."""

from __future__ import annotations

import json
from pathlib import Path

from ..io.atomic import file_hash, replace_json

CHECKSUMS_FILE = "checksums.json"
_VERSION = 1


def write_checksums(directory: Path) -> None:
    """List every file of ``directory`` with its size and SHA-256 in ``checksums.json``."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name != CHECKSUMS_FILE
    }
    replace_json(directory / CHECKSUMS_FILE, {"version": _VERSION, "files": files})


def find_damage(directory: Path) -> str | None:
    """What is wrong with the files that ``checksums.json`` lists; ``None`` when all are as written.

    Raises ``FileNotFoundError`` when the directory has no checksums.
    """
    path = directory / CHECKSUMS_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    if not path.is_file():
        return f"{path} is not a file"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        listed = {
            str(name): (int(each["bytes"]), str(each["sha256"]))
            for name, each in values["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{path} is damaged ({error})"
    present = {each.name for each in directory.iterdir()} - {CHECKSUMS_FILE}
    for name in sorted(present - listed.keys()):
        return f"{directory / name} is not listed in {CHECKSUMS_FILE}"
    for name, (size, digest) in listed.items():
        file = directory / name
        if name not in present or not file.is_file():
            return f"{file} is missing"
        if file.stat().st_size != size:
            return f"{file} has {file.stat().st_size:,} bytes and should have {size:,}"
        if file_hash(file) != digest:
            return f"{file} is damaged: its SHA-256 is not the one that was written"
    return None
