"""JSON as other programs write it: decoded, with problems that name the file and the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...io.files import FileRefusedError, read_json
from .problems import ImportContext, LabelError, check_text

# The largest label files in use (LVIS, Objects365) have one to a few GB.
MAX_JSON_BYTES = 8 * 2**30


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in the file. Raises ``LabelError`` when it is missing or holds none."""
    try:
        value = read_json(path, MAX_JSON_BYTES)
    except FileRefusedError as error:
        raise LabelError("malformed", str(error)) from error
    except OSError as error:
        raise LabelError("missing-file", f"{path} cannot be read: {error}") from error
    except ValueError as error:
        raise LabelError("malformed", f"not JSON: {error}") from error
    return _as_object(value)


def parse_json_object(content: bytes | str) -> dict[str, Any]:
    """The object in UTF-8 ``content``. Raises ``LabelError`` when it holds none."""
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        value = json.loads(text)
    except RecursionError as error:
        raise LabelError("malformed", "not JSON: it is nested too deeply") from error
    except ValueError as error:
        hint = "; it ends in a comma" if content.rstrip()[-1:] in (b",", ",") else ""
        raise LabelError("malformed", f"not JSON: {error}{hint}") from error
    return _as_object(value)


def text_field(values: dict[str, Any], name: str) -> str:
    """The string called ``name``. Raises ``LabelError`` when it is missing or no string."""
    value = values.get(name)
    if not isinstance(value, str):
        raise LabelError("malformed", f"{name!r} should be a string, got {value!r:.80}")
    return check_text(value, repr(name))


def numbers_field(values: dict[str, Any], name: str) -> list[float]:
    """The list of numbers called ``name``. Raises ``LabelError`` for anything else."""
    value = values.get(name)
    if not isinstance(value, list) or not all(is_number(number) for number in value):
        raise LabelError("malformed", f"{name!r} should be a list of numbers, got {value!r:.80}")
    try:
        return [float(number) for number in value]
    except OverflowError as error:
        raise LabelError("malformed", f"{name!r} holds a number without end") from error


def object_items(
    values: dict[str, Any], name: str, file: Path, context: ImportContext
) -> Iterator[dict[str, Any]]:
    """The objects in the list called ``name``; what is not an object is reported.

    A missing list is an empty one. Raises ``LabelError`` when ``name`` is something else.
    """
    value = values.get(name)
    if value is not None and not isinstance(value, list):
        raise LabelError("malformed", f"{name!r} should be a list of objects, got {value!r:.80}")
    for number, item in enumerate(value or (), start=1):
        with context.collect_errors(file, item=f"{name} {number}"):
            if not isinstance(item, dict):
                raise LabelError("malformed", f"expected an object, got {item!r:.80}")
            yield item


def is_number(value: object) -> bool:
    """Whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LabelError("malformed", f"expected a JSON object, got {type(value).__name__}")
    return value
