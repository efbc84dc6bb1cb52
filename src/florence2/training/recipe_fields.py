"""The fields of a recipe: their values, checked by type, choice and range.

``--set NAME=VALUE`` is parsed by the field's type, as in ``1e-4``, ``none`` and ``true``.
``florence2 train --list-fields`` prints ``list_fields``.
"""

from __future__ import annotations

import ast
import difflib
import math
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..io.deprecation import warn_renamed
from .field_rules import ALIASES, RULES, FieldRule
from .recipe import GROUPS, RENAMED_FIELDS, Recipe, rename_value

_BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_EXAMPLES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclass(frozen=True)
class RecipeField:
    """One field: its ``path`` (``optimizer.learning_rate``), type, default, and rule."""

    path: str
    type: Any
    default: Any
    rule: FieldRule

    @property
    def allowed(self) -> str:
        """The allowed values in words: ``one of adamw, muon``, ``a number above 0``."""
        return _describe(self.type, self.rule)

    def parse(self, text: str) -> Any:
        """The value of ``text``. Raises ``ValueError`` with the allowed values."""
        return self.check(_parse(text.strip(), self.type))

    def check(self, value: Any) -> Any:
        """``value`` as the field's type. Raises ``ValueError`` with the allowed values."""
        try:
            return _check(rename_value(self.path, value), self.type, self.rule)
        except _WrongValueError as error:
            raise ValueError(
                f"{self.path} must be {self.allowed}, got {_short(value)}{error}"
            ) from None


class _WrongValueError(Exception):
    """A value that a field does not allow; the text is appended to the message."""


def list_fields(recipe: Recipe | None = None) -> list[RecipeField]:
    """Every field in order; the defaults are those of ``recipe``."""
    return list(_walk(recipe or Recipe(), ""))


def apply_settings(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with ``a.b=value`` settings applied.

    Of several settings for one field the last one applies. Raises ``ValueError`` for a field that
    does not exist (with the nearest one), and for a value that the field does not allow.
    """
    known = {each.path: each for each in list_fields(recipe)}
    for setting in settings:
        path, separator, text = setting.partition("=")
        path = current_path(path.strip(), stacklevel=3)
        if not separator:
            raise ValueError(f"a setting is written NAME=VALUE, got {setting!r}")
        field = known.get(path)
        mapping, entry = _mapping_entry(path, known)
        if field is None and mapping is None:
            raise ValueError(_describe_unknown(path, known))
        if mapping is not None:
            value = {**_get_value(recipe, mapping.path), **mapping.check({entry: _number(text)})}
            recipe = _replace_value(recipe, mapping.path, value)
        elif field is not None:
            recipe = _replace_value(recipe, path, field.parse(text))
    return recipe


def find_repeated(settings: Iterable[str]) -> list[tuple[str, str]]:
    """Settings that a later setting replaces, each with that later one."""
    given: dict[str, str] = {}
    replaced = []
    for setting in settings:
        path = current_path(setting.partition("=")[0].strip())
        for other in [each for each in given if each == path or _is_below(each, path)]:
            replaced.append((given.pop(other), setting))
        given[path] = setting
    return replaced


def current_path(path: str, stacklevel: int = 0) -> str:
    """``path`` with current names; with ``stacklevel`` a name of release 0.1 gives a warning."""
    head, dot, rest = path.partition(".")
    group = GROUPS.get(head, head)
    current = f"{group}{dot}{RENAMED_FIELDS.get(group, {}).get(rest, rest)}"
    if current != path and stacklevel:
        warn_renamed(path, current, stacklevel + 1)
    return current


def check_recipe(recipe: Recipe) -> None:
    """Raise ``ValueError`` that names the first field with a value that it does not allow."""
    for field in list_fields(recipe):
        field.check(field.default)


def _walk(node: Any, prefix: str) -> Iterator[RecipeField]:
    hints = get_type_hints(type(node))
    for each in fields(node):
        path, value = f"{prefix}{each.name}", getattr(node, each.name)
        if is_dataclass(hints[each.name]):
            if not isinstance(value, hints[each.name]):
                name = hints[each.name].__name__
                raise ValueError(f"{path} must be a {name}, got {_short(value)}")
            yield from _walk(value, f"{path}.")
        else:
            yield RecipeField(path, hints[each.name], value, RULES[path])


def _mapping_entry(path: str, known: Mapping[str, RecipeField]) -> tuple[RecipeField | None, str]:
    """The mapping that ``path`` is an entry of, as in ``task_weights.<OD>``, and the entry."""
    head, dot, entry = path.partition(".")
    field = known.get(head)
    if dot and entry and field is not None and get_origin(field.type) is Mapping:
        return field, entry
    return None, ""


def _is_below(path: str, group: str) -> bool:
    return path.startswith(f"{group}.")


def _describe_unknown(path: str, known: Mapping[str, RecipeField]) -> str:
    members = [each for each in known if _is_below(each, path)]
    if members:
        hint = f"did you mean {ALIASES.get(path, members[0])}?"
        return f"{path} is a group of fields; {hint} It has {', '.join(members)}"
    near = _nearest(path, known)
    hint = f"; did you mean {near}?" if near else ""
    return f"no field {path!r} in a recipe{hint} (florence2 train --list-fields lists all)"


def _nearest(path: str, known: Mapping[str, RecipeField]) -> str | None:
    """The field that ``path`` probably means; None without a similar one."""
    plain = path.lower().replace("-", "_").lstrip("_")
    leaf = plain.rpartition(".")[2]
    for name in (plain, leaf):
        if name in ALIASES:
            return ALIASES[name]
    leaves: dict[str, str] = {}
    for each in known:
        leaves.setdefault(each.rpartition(".")[2], each)
    if leaf in leaves:
        return leaves[leaf]
    close = difflib.get_close_matches(plain, known, n=1, cutoff=0.7)
    if close:
        return close[0]
    close = difflib.get_close_matches(leaf, [*leaves, *ALIASES], n=1, cutoff=0.7)
    return (leaves.get(close[0]) or ALIASES[close[0]]) if close else None


def _get_value(node: Any, path: str) -> Any:
    for name in path.split("."):
        node = getattr(node, name)
    return node


def _replace_value(node: Any, path: str, value: Any) -> Any:
    head, dot, rest = path.partition(".")
    return replace(
        node, **{head: _replace_value(getattr(node, head), rest, value) if dot else value}
    )


def _union_members(kind: Any) -> tuple[tuple[Any, ...], bool]:
    """The members of a union without ``None``, and whether ``None`` is one of them."""
    if get_origin(kind) in (Union, types.UnionType):
        members = get_args(kind)
        return tuple(each for each in members if each is not type(None)), type(None) in members
    return (kind,), False


def _parse(text: str, kind: Any) -> Any:
    """``text`` as a value for ``kind``; ``_check`` decides whether it is allowed."""
    (inner, *_), optional = _union_members(kind)
    if optional and text.lower() in ("none", "null"):
        return None
    if get_origin(inner) is Literal or inner is str:
        return _unquote(text)
    if inner is bool:
        return _BOOLEANS.get(text.lower(), text)
    if inner in (int, float):
        return _number(text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        if get_origin(inner) is tuple:
            return tuple(_unquote(each.strip()) for each in text.strip("()[]").split(",") if each)
        return text


def _number(text: str) -> int | float | str:
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _check(value: Any, kind: Any, rule: FieldRule) -> Any:
    (inner, *_), optional = _union_members(kind)
    if value is None:
        if optional:
            return None
        raise _WrongValueError
    origin = get_origin(inner)
    if origin is Literal:
        return _check_choice(value, get_args(inner))
    if origin is tuple:
        return _check_tuple(value, get_args(inner), rule)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise _WrongValueError
        return {str(name): _check(each, float, rule) for name, each in value.items()}
    return _check_scalar(value, inner, rule)


def _check_choice(value: Any, choices: Sequence[str]) -> Any:
    if value in choices:
        return value
    close = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.6)
    raise _WrongValueError(f"; did you mean {close[0]}?" if close else "")


def _check_tuple(value: Any, kinds: tuple[Any, ...], rule: FieldRule) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _WrongValueError
    if kinds[-1] is Ellipsis:
        checked = tuple(_check(each, kinds[0], rule) for each in value)
        if rule.choices and (not checked or not set(checked) <= set(rule.choices)):
            raise _WrongValueError
        return checked
    if len(value) != len(kinds):
        raise _WrongValueError
    return tuple(_check(each, kind, rule) for each, kind in zip(value, kinds, strict=True))


def _check_scalar(value: Any, kind: type, rule: FieldRule) -> Any:
    if kind is str:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise _WrongValueError
        return value
    if kind is bool or isinstance(value, bool):
        if kind is bool and isinstance(value, bool):
            return value
        raise _WrongValueError
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise _WrongValueError
    if kind is int and value != int(value):
        raise _WrongValueError
    if not rule.holds(value):
        raise _WrongValueError
    return kind(value)


def _describe(kind: Any, rule: FieldRule) -> str:
    (inner, *_), optional = _union_members(kind)
    origin = get_origin(inner)
    if origin is Literal:
        words = f"one of {', '.join(get_args(inner))}"
    elif origin is tuple:
        words = _describe_tuple(get_args(inner), rule)
    elif origin is Mapping:
        words = f"weights by task, each {_describe(float, rule)}"
    else:
        words = f"{_EXAMPLES[inner]}{rule.range_text if inner in (int, float) else ''}"
    return f"{words}, or none" if optional else words


def _describe_tuple(kinds: tuple[Any, ...], rule: FieldRule) -> str:
    if rule.choices:
        return f"some of {', '.join(rule.choices)}, separated by commas"
    if kinds[-1] is not Ellipsis:
        return f"{len(kinds)} numbers separated by a comma, each{rule.range_text}"
    if kinds[0] is str:
        return "names separated by commas"
    return 'pairs such as ((0, "easy"), (20000, "full"))'


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 80 else f"{words[:77]}..."
