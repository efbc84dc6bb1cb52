"""The errors of a validation as one short sentence each, with the field, the value and the rule."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from ..io.messages import find_near_miss

# At most so many errors are shown, and so many characters of a value.
_MOST, _LONGEST = 3, 40
# By pydantic's type of the error; the braces are filled with its context.
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
# Errors whose sentence says all; the value is added to the others.
_WHOLE = {"missing", "too_short", "too_long", "string_too_long", "string_too_short", "value_error"}


def describe_errors(error: ValidationError, known: Iterable[str] = ()) -> str:
    """The first few errors in words; ``known`` are the names that a wrong one may have meant."""
    found = error.errors(include_url=False)
    words = [_describe(each, sorted(set(known))) for each in found[:_MOST]]
    if len(found) > _MOST:
        words.append(f"and {len(found) - _MOST} more")
    # What cannot be written as UTF-8 is escaped.
    return "; ".join(words).encode("utf-8", "backslashreplace").decode()


def near_miss(name: str, known: Iterable[str]) -> str:
    """``", did you mean ...?"`` for a name that is nearly one of ``known``, else nothing."""
    near = find_near_miss(name[:80], known)
    return "" if near is None else f", did you mean {near!r}?"


def _describe(each: Any, known: list[str]) -> str:
    kind, context = each["type"], each.get("ctx", {})
    place = ".".join(str(part)[:_LONGEST] for part in each["loc"])
    if kind == "json_invalid":
        return f"the body is not valid JSON ({context.get('error', 'unknown')})"
    if kind == "extra_forbidden":
        name = str(each["loc"][-1])
        return f"{place} is not a field of this request{near_miss(name, known)}"
    rule = _RULES.get(kind)
    sentence = str(each["msg"]) if rule is None else rule.format(**context)
    sentence = sentence.replace("at least 1 items", "at least 1 item")
    if kind not in _WHOLE:
        sentence += shown(each.get("input"))
    return f"{place} {sentence}" if place else f"the request {sentence}"


def shown(value: Any) -> str:
    """``", got ..."`` for a value that is short enough to be shown, else nothing."""
    if isinstance(value, dict | list):
        return f", got {'an object' if isinstance(value, dict) else 'a list'}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return ""
    return f", got {text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}"
