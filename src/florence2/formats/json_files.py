"""JSON as other programs write it: decoded with problems that name the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .problems import LabelError


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in the file. Raises ``LabelError`` when it is missing or holds none."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabelError("missing-file", f"{path} cannot be read: {error}") from error
    return parse_json_object(content)


def parse_json_object(content: bytes) -> dict[str, Any]:
    """The object in UTF-8 ``content``. Raises ``LabelError`` when it holds none."""
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LabelError("malformed", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise LabelError("malformed", f"a JSON object is wanted, got {type(value).__name__}")
    return value


def text_field(values: dict[str, Any], name: str) -> str:
    """The string called ``name``. Raises ``LabelError`` when it is missing or no string."""
    value = values.get(name)
    if not isinstance(value, str):
        raise LabelError("malformed", f"{name!r} should be a string, got {value!r}")
    return value


def numbers_field(values: dict[str, Any], name: str) -> list[float]:
    """The list of numbers called ``name``. Raises ``LabelError`` for anything else."""
    value = values.get(name)
    if not isinstance(value, list) or not all(_is_number(each) for each in value):
        raise LabelError("malformed", f"{name!r} should be a list of numbers, got {value!r:.80}")
    return [float(each) for each in value]


def list_field(values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in the list called ``name``; none when it is left out.

    Raises ``LabelError`` when it is no list, or holds something that is no object.
    """
    value = values.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise LabelError("malformed", f"{name!r} should be a list of objects")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
