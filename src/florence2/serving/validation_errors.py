"""Validation errors as short sentences with the field, the rule and the value."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ..io.messages import find_near_miss

_MAX_ERRORS, _MAX_VALUE_CHARS = 3, 40
# Sentences by pydantic's type of error; placeholders are filled from its context.
_RULES = {
    "missing": "is missing",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} items, got {actual_length}",
    "too_long": "must have at most {max_length} items",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 4,300 digits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be below {lt:g}",
    "literal_error": "must be {expected}",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "value_error": "{error}",
}
# Errors that are shown without the value.
_WITHOUT_VALUE = {
    "missing",
    "too_short",
    "too_long",
    "string_too_long",
    "string_too_short",
    "value_error",
}


def describe_errors(error: ValidationError, known: Iterable[str] = ()) -> str:
    """Describe the first errors; ``known`` are names for suggestions."""
    found = error.errors(include_url=False)
    sentences = [_describe_error(detail, sorted(set(known))) for detail in found[:_MAX_ERRORS]]
    if len(found) > _MAX_ERRORS:
        sentences.append(f"and {len(found) - _MAX_ERRORS} more")
    # Characters that are not valid in UTF-8 are escaped.
    return "; ".join(sentences).encode("utf-8", "backslashreplace").decode()


def format_near_miss(name: str, known: Iterable[str]) -> str:
    """``", did you mean ...?"`` for a name that is similar to one of ``known``, else ""."""
    near = find_near_miss(name[:80], known)
    return "" if near is None else f", did you mean {near!r}?"


def _describe_error(detail: Any, known: list[str]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    location = ".".join(str(part)[:_MAX_VALUE_CHARS] for part in detail["loc"])
    if kind == "json_invalid":
        return f"the body is not valid JSON ({context.get('error', 'unknown')})"
    if kind == "extra_forbidden":
        name = str(detail["loc"][-1])
        return f"{location} is not a field of this request{format_near_miss(name, known)}"
    rule = _RULES.get(kind)
    sentence = str(detail["msg"]) if rule is None else rule.format(**context)
    sentence = sentence.replace("at least 1 items", "at least 1 item")
    if kind not in _WITHOUT_VALUE:
        sentence += format_got(detail.get("input"))
    return f"{location} {sentence}" if location else f"the request {sentence}"


def format_got(value: Any) -> str:
    """``", got ..."`` with the value, shortened; "" for one that is not JSON."""
    if isinstance(value, dict | list):
        return f", got {'an object' if isinstance(value, dict) else 'a list'}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return ""
    return f", got {text if len(text) <= _MAX_VALUE_CHARS else text[:_MAX_VALUE_CHARS] + '...'}"
