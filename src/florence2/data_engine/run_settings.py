"""What a run of the engine was started with, kept in its directory: it resumes with no other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.atomic import replace_json
from ..io.files import read_json
from ..io.messages import shorten

SETTINGS_FILE = "run.json"
_NAMED = "specialists"


def check_settings(directory: Path, settings: Mapping[str, Any]) -> None:
    """Compare ``settings`` with those that a run in ``directory`` has, if there is one.

    Raises ``ValueError`` that names the first setting that differs, with both values. A setting
    that the run has not stated yet may have any value; of the specialists of a run by an earlier
    version, which stated none, the names are compared.
    """
    path = directory / SETTINGS_FILE
    if not path.exists():
        return
    before = read_json(path)
    if not isinstance(before, dict):
        raise ValueError(f"{path} does not hold settings: choose another folder")
    now = _plain(settings)
    if _NAMED not in before and _NAMED in now:
        annotators = directory / "round-00" / "annotators"
        before[_NAMED] = {each.name: now[_NAMED].get(each.name) for each in annotators.glob("*")}
        if not before[_NAMED].keys() - now[_NAMED].keys():
            del before[_NAMED]  # all that spoke are among those of now
    for name in now.keys() & before.keys():
        held, given = _comparable(name, before[name]), _comparable(name, now[name])
        if held != given:
            field, was, wanted = _first_difference(name, held, given)
            raise ValueError(
                f"{directory} holds a run with {field} {shorten(str(was))}, not "
                f"{shorten(str(wanted))}: call it with the same, or choose another folder"
            )


def write_settings(directory: Path, settings: Mapping[str, Any]) -> None:
    """Put ``settings`` to those that the run in ``directory`` has."""
    path = directory / SETTINGS_FILE
    before = read_json(path) if path.exists() else {}
    merged = {**before, **_plain(settings)}
    if merged != before:
        replace_json(path, merged)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives them back: tuples have become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return plain


def _comparable(name: str, value: Any) -> Any:
    # A path may be written in several ways.
    is_path = name == "source" and isinstance(value, str) and "://" not in value
    return os.path.abspath(value) if is_path else value


def _first_difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """The innermost name under which two values differ, with what each has there."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return name, before, now
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            inner = f"{name}.{key}" if name != _NAMED else f"specialist {key}"
            was, wanted = (each.get(key, "(none)") for each in (before, now))
            return _first_difference(inner, was, wanted)
    return name, before, now
